"""Visits, checks and profiles, each in a process of its own, and what is made of their answers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from paretomark.devices import _host
from paretomark.devices.measure import _crew, _outcome, _process, _profile_child
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.suites.records._record import Malformed, Probe

PROBE_DEADLINE_S = 120.0


def probe(targets: Sequence[str]) -> dict[str, Probe]:
    """Ask every target, each in a process of its own, whether it is here."""

    def ask(target: str) -> Probe:
        answer = _process.ask("_probe", target, PROBE_DEADLINE_S)
        try:
            return Probe.from_json({"device": target, **(answer.table or {})})
        except Malformed as error:
            reason = f"the probe failed: {answer.error or error}"
            return Probe(device=target, available=False, reason=reason)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return dict(zip(targets, threads.map(ask, targets), strict=True))


def visit(spec: VisitSpec, deadline_s: float, foreign_load_cores: float) -> Visit:
    """Make one visit, in a fresh process, by itself.

    Never raises for what the child does. More than `foreign_load_cores` in use by others, in nearly
    all of its slices, is a flag.
    """
    rules = _crew.Rules(deadline_s, foreign_load_cores)
    return next(visit for _, visit in _crew.visits([_crew.Task("", spec)], rules))


def profile(spec: VisitSpec, runs: int, deadline_s: float, foreign_load_cores: float) -> Visit:
    """Visit with a profiler: `measured` also has `operators` (of Operator) and `peaks`, or None.

    Peaks are those of the host, so only a target that runs there has them. The latency is
    unprofiled (`samples_ns`) or, of an absent chip, predicted. Never raises for what a child does.
    """
    result = _profiled(spec, deadline_s, foreign_load_cores, str(runs))
    if result.status == "failed":
        return result
    operators = _profile_child.operators(result.measured)
    if not operators:
        return Visit("failed", "answer", "no operators, or not such")
    peaks: dict[str, Any] = {"peaks": None}
    if result.measured["on_host"]:
        answer = _process.ask("_peak", spec, deadline_s)
        peaks = {"peaks": answer.table, "no_peaks": answer.error}
    return replace(result, measured={**result.measured, "operators": operators, **peaks})


def verify(spec: VisitSpec, deadline_s: float) -> list[tuple[str, str, bool, str]]:
    """Run the conformance checks of a device: name, what is asked, whether it held, detail."""
    answer = _process.ask("_verify", spec, deadline_s)
    if answer.table is None:
        return [(answer.stage, "It survives the checks.", False, answer.error)]
    return [(name, rule, held, detail) for name, rule, held, detail in answer.table["checks"]]


def _profiled(spec: VisitSpec, deadline_s: float, foreign_load_cores: float, runs: str) -> Visit:
    """What a child has measured, as it says, with the flags that the parent sees."""
    busy_s, quota_s, start = _host.busy_s(), _host.throttled_s(), time.monotonic()
    answer = _process.ask("_profile_child", spec, deadline_s, runs)
    wall_s = time.monotonic() - start
    if answer.table is None:
        return Visit("failed", answer.stage, answer.error)
    measured, flags = dict(answer.table), []
    if busy_s is not None:
        others = max(0.0, ((_host.busy_s() or busy_s) - busy_s - answer.cpu_s) / wall_s)
        measured["foreign_load_cores"] = others
        if others > foreign_load_cores:
            flags.append("foreign load")
    if _host.throttled_s() > quota_s:
        flags.append("quota")
    return _outcome.of(measured, spec, tuple(flags))
