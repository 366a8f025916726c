"""Visits, checks and profiles, each in a process of its own, and what is made of their answers."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from paretomark.devices import _host
from paretomark.devices.measure import _process, _profile_child, _timing
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.suites.records._record import Malformed, Probe

PROBE_DEADLINE_S = 120.0
NO_FIELDS = ("home", "fell_back", "throttled")  # of a record, where status, reason, flags say it
T = TypeVar("T")


@dataclass(frozen=True)
class Visit:
    """What came of one visit: `status` ok, fallback or failed, and what was measured."""

    status: str
    stage: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)


def blocks(items: Sequence[T], count: int, seed: int) -> Iterator[tuple[int, T]]:
    """Give (block, item): in each of `count` blocks every item once, in seeded random order."""
    for block in range(count):
        order = list(items)
        random.Random(f"{seed}/{block}").shuffle(order)
        for item in order:
            yield block, item


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
    """Visit in a fresh process: `measured` has fields of a record.

    Never raises for what the child does. More than `foreign_load_cores` in use by others is a flag.
    """
    result = _visited("_visit", spec, deadline_s, foreign_load_cores)
    measured = {k: v for k, v in result.measured.items() if k not in NO_FIELDS}
    return replace(result, measured=measured)


def profile(spec: VisitSpec, runs: int, deadline_s: float, foreign_load_cores: float) -> Visit:
    """Visit with a profiler: `measured` also has `operators` (of Operator) and `peaks`, or None.

    Peaks are those of the host, so only a target that runs there has them. The latency is
    unprofiled (`samples_ns`) or, of an absent chip, predicted. Never raises for what a child does.
    """
    result = _visited("_profile_child", spec, deadline_s, foreign_load_cores, str(runs))
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


def _visited(
    module: str, spec: VisitSpec, deadline_s: float, foreign_load_cores: float, *arguments: str
) -> Visit:
    """What a child has measured, as it says, with the flags that the parent sees."""
    busy_s, quota_s, start = _host.busy_s(), _host.throttled_s(), time.monotonic()
    answer = _process.ask(module, spec, deadline_s, *arguments)
    wall_s = time.monotonic() - start
    if answer.table is None:
        return Visit("failed", answer.stage, answer.error)
    if why := _why_invalid(answer.table, spec):
        return Visit("failed", "answer", why)
    measured, flags = dict(answer.table), []
    if measured.get("peak_memory_bytes") is None:  # it is not told from inside
        measured["peak_memory_bytes"] = answer.peak_bytes
    if busy_s is not None:
        others = max(0.0, ((_host.busy_s() or busy_s) - busy_s - answer.cpu_s) / wall_s)
        measured["foreign_load_cores"] = others
        if others > foreign_load_cores:
            flags.append("foreign load")
    if _host.throttled_s() > quota_s:
        flags.append("quota")
    if measured.get("throttled"):
        flags.append("throttled")
    samples_ns = measured.get("samples_ns", ())
    if _timing.drifted(samples_ns):
        flags.append("drift")
    if _timing.unsteady(samples_ns):
        flags.append("unsteady")
    if not measured["fell_back"]:
        return Visit("ok", flags=tuple(flags), measured=measured)
    units = ", ".join(f"{unit} ({n})" for unit, n in measured["placement"].items() if n)
    reason = f"runs on {units}, not on {measured['home']}"
    return Visit("fallback", "load", reason, tuple(flags), measured)


def _why_invalid(answer: dict[str, Any], spec: VisitSpec) -> str:
    """What is wrong with an answer; "" if nothing is."""
    if answer.get("simulated") == "predicted":
        predicted = answer.get("predicted_s")
        if not isinstance(predicted, float) or not 0 < predicted < 1e4 or "samples_ns" in answer:
            return "a predicted latency is not a duration, or comes with samples"
        return _why_incomplete(answer, spec)
    samples = answer.get("samples_ns")
    if not isinstance(samples, list) or len(samples) < _timing.MIN_SAMPLES:
        return "fewer latency samples than a median needs"
    if not all(isinstance(s, int) and 0 < s < 10**13 for s in samples):
        return "a latency sample is not a positive number of nanoseconds"
    return _why_incomplete(answer, spec)


def _why_incomplete(answer: dict[str, Any], spec: VisitSpec) -> str:
    """What an answer lacks besides its latency; "" if nothing."""
    for name in ("load_s", "first_s"):
        value = answer.get(name)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            return f"{name} is not a duration"
    if spec.score and spec.labels and not (answer.get("outcomes") or answer.get("scores")):
        return "no scores, though it was asked to score"
    return ""
