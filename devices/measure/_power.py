"""The energy of visits: what a meter tells over their slices, less what the machine draws idle.

The parent reads the meters, right before and after each slice, while all other members of the crew
are idle. What they draw so, loaded and waiting, is measured before the first round. A slice counts
if it is `PERIODS` times as long as its meter's steps are apart, and if others left the machine
alone in it. Where slices are too short for a meter, as for those of GPUs, a visit gets a stretch of
calls for its energy alone, after its slices, which enters no latency.

Without a meter none of this takes any time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from paretomark.devices import _counters, _device, _energy, _host
from paretomark.devices._device import Unavailable
from paretomark.devices._energy import Lost, Source
from paretomark.suites.records._record import Probe

PERIODS = 20  # of a meter, that a stretch is long at least: then its steps are worth 5 % at most
LONGEST_S = 5.0  # of a stretch for energy alone
STRETCH_CALLS = 1_000_000
IDLE_S, IDLE_TRIES = 1.0, 3
COUNTERS, ENERGY = "hardware counters", {"host": "energy", "nvidia": "energy of NVIDIA GPUs"}


@dataclass(frozen=True)
class Idle:
    """A meter, and the watts that it tells while nothing runs; `quiet` if nothing else did."""

    source: Source
    watts: float
    quiet: bool = True


class Account:
    """The energy of one visit; without a meter it stays empty."""

    def __init__(self, meter: Idle | None = None) -> None:
        self._meter, self._why = meter, ""
        if meter is not None and not meter.quiet:
            self._why = "others kept the machine busy while its idle draw was to be measured"
        self._joules, self._calls = 0.0, 0
        self._before: tuple[float, float] | None = None
        self._longest_s = 0.0

    def start(self) -> None:
        """Begin a stretch."""
        self._before = self._now()

    def stop(self, calls: object, quiet: bool) -> None:
        """End a stretch of so many calls, as the child tells; `quiet` if nothing else ran."""
        before, after = self._before, self._now()
        if self._meter is None or not self._meter.quiet or before is None or after is None:
            return
        seconds = after[1] - before[1]
        self._longest_s = max(self._longest_s, seconds)
        if seconds < PERIODS * self._meter.source.period_s:
            return
        if not quiet:
            self._why = "others kept the machine busy"
        elif not isinstance(calls, int) or calls <= 0:
            self._why = "the worker does not tell its calls"
        else:
            self._joules += after[0] - before[0] - self._meter.watts * seconds
            self._calls += calls

    @property
    def lacks_s(self) -> float:
        """How long a stretch has to be for the meter, where all so far were too short; else 0."""
        if self._meter is None or self._calls or self._why:
            return 0.0
        least_s = 1.1 * PERIODS * self._meter.source.period_s
        return least_s if least_s <= LONGEST_S else 0.0

    def told(self) -> dict[str, Any]:
        """Give fields of a record; none without a meter."""
        if self._meter is None:
            return {}
        source = self._meter.source
        told = {"energy_source": source.name, "idle_w": self._meter.watts}
        if self._calls:  # below 0 too: what chance adds to other visits it takes off this one
            return {**told, "energy_j": self._joules / self._calls}
        why = self._why or (
            f"too short: a slice takes {1e3 * self._longest_s:.0f} ms, where {source.name} "
            f"moves every {1e3 * source.period_s:.0f} ms"
        )
        return {**told, "energy_why": why}

    def _now(self) -> tuple[float, float] | None:
        """Joules and seconds so far."""
        if self._meter is None:
            return None
        try:
            return self._meter.source.joules(), time.monotonic()
        except Lost as error:
            self._why = str(error)
            return None


class Power(ExitStack):
    """The meters of a crew, which are closed with it. Others may keep `limit_cores` busy."""

    def __init__(self, limit_cores: float) -> None:
        super().__init__()
        self._limit_cores = limit_cores
        self._meters: dict[str, Idle] = {}

    def rest(self, targets: Iterable[str]) -> None:
        """Open the meters of these targets, and measure what is drawn while nothing runs."""
        sources: dict[str, Source] = {}
        for kind in dict.fromkeys(filter(None, map(_device.meter, targets))):
            try:
                sources[kind] = self.enter_context(_energy.source(kind))
            except Unavailable:  # the header of the run says why
                continue
        for _ in range(IDLE_TRIES if sources else 0):
            self._meters, quiet = self._idle(sources)
            if quiet:
                return

    def _idle(self, sources: dict[str, Source]) -> tuple[dict[str, Idle], bool]:
        """What each of them tells while nothing runs, and whether others left it at that."""
        before, busy_s, start = _joules(sources), _host.busy_s(), time.monotonic()
        time.sleep(max(IDLE_S, *(PERIODS * source.period_s for source in sources.values())))
        seconds, after = time.monotonic() - start, _joules(sources)
        others = 0.0 if busy_s is None else ((_host.busy_s() or busy_s) - busy_s) / seconds
        quiet = others <= self._limit_cores
        watts = {k: (after[k] - before[k]) / seconds for k in before.keys() & after.keys()}
        return {k: Idle(sources[k], w, quiet) for k, w in watts.items()}, quiet

    def account(self, target: str) -> Account:
        """Open the account of a visit to a target."""
        return Account(self._meters.get(_device.meter(target)) if self._meters else None)


def _joules(sources: dict[str, Source]) -> dict[str, float]:
    told = {}
    for kind, source in sources.items():
        try:
            told[kind] = source.joules()
        except Lost:
            continue
    return told


def meters(targets: Iterable[str]) -> tuple[Probe, ...]:
    """Say which counters and meters there are for these targets, and why there are no others."""
    probes = []
    try:
        _counters.opened().close()
        probes.append(Probe(device=COUNTERS, available=True, chip="perf_event_open"))
    except Unavailable as error:
        probes.append(_absent(COUNTERS, error))
    for kind in dict.fromkeys(filter(None, map(_device.meter, targets))):
        name = ENERGY.get(kind, f"energy: {kind}")
        try:
            with _energy.source(kind) as source:
                probes.append(Probe(device=name, available=True, chip=source.name))
        except Unavailable as error:
            probes.append(_absent(name, error))
    return tuple(probes)


def _absent(name: str, error: Unavailable) -> Probe:
    return Probe(device=name, available=False, reason=str(error), remedy=error.remedy)
