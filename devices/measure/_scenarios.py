"""Visits of the scenarios in which nothing else is alive: server, cold start, sustained.

Each is a process of its own, started when the one before has ended. What they are is said in
`suites/spec/_scenario.py`; what is made of them in `suites/records/_scenarios.py`.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from paretomark.devices import _host
from paretomark.devices.measure import _crew, _outcome, _process
from paretomark.devices.measure._crew import FOREIGN, QUOTA, THROTTLED, Rules, Task
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.suites.records import _levels, _stats
from paretomark.suites.spec._scenario import COLD, SERVER, SUSTAINED, Server, Sustained

Turn = Callable[[int, int], None]
# Of a trial at least: fewer tell no p99. At most, so that a record stays small.
FEWEST, MOST = _stats.NEEDED[99], 10_000
NEAR, MOST_TRIALS = 0.03, 9  # the search ends when what passed and what did not lie so near
LOOK_S, LOOK_MOST = 0.2, 500  # of calls, that tell how fast one worker could be at best
SLICE_S, LEAST_SLICES, MOST_CALLS = 1.0, 12, 500_000  # of a sustained visit
KEPT = 40_000  # calls of a sustained visit that a record keeps, evenly out of each slice


def visits(
    tasks: Iterable[Task], rules: Rules, server: Server, sustained: Sustained, turn: Turn
) -> Iterator[tuple[Task, Visit]]:
    """Make every visit, one after the other. Never raises for what a child does.

    One that others have disturbed is repeated once; a sustained one, which takes long, is not.
    """
    for task in tasks:
        for _ in range(1 + _crew.REPEATS):
            visit = _visit(task, rules, server, sustained, turn)
            yield task, visit
            disturbed = {FOREIGN, QUOTA, THROTTLED} & {*visit.flags}
            if task.spec.scenario == SUSTAINED or not disturbed:
                break


class _Failed(Exception):
    """A child that cannot go on, and why."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit.reason)
        self.visit = visit


def _visit(
    task: Task, rules: Rules, server: Server, sustained: Sustained, turn: Turn
) -> Visit:  # fmt: skip
    if why := task.obstacle():
        return Visit("failed", "load", why)
    spec = task.spec
    module = "_cold" if spec.scenario == COLD else "_visit"
    with _process.Child(module, spec, rules.deadline_s) as child:
        alone = _Alone(child, rules)
        try:
            told = alone.begun(cold=spec.scenario == COLD)
            if spec.scenario == COLD:
                told |= _cold(told, child)
            elif spec.scenario == SERVER:
                told |= _serve(alone, server, rules.seed, turn) | alone.ask("finish")
            else:
                told |= _sustain(alone, sustained, turn) | alone.ask("finish")
        except _Failed as failed:
            return failed.visit
        except (KeyError, TypeError, ValueError) as error:
            return Visit("failed", "answer", f"it tells what a visit must not: {error}")
        child.end()
        if told.get("peak_memory_bytes") is None:
            told["peak_memory_bytes"] = alone.peak_bytes or child.most_bytes
    return alone.visit(told, spec)


class _Alone:
    """A child that nothing of ours runs beside, and what others did meanwhile."""

    def __init__(self, child: _process.Child, rules: Rules) -> None:
        self._child, self._rules = child, rules
        self._others: list[float] = []  # cores in use by others, of each part that was timed
        self._held: list[bool] = []  # whether a quota has stopped it, likewise
        self.peak_bytes: int | None = None

    def begun(self, cold: bool) -> dict[str, Any]:
        """Wait until it is ready. Raise _Failed for what is not measured, but predicted."""
        told = self._watched(self._child.answer)
        if not cold:
            told |= self.ask("load")
        if "predicted_s" in told:
            why = "the latency of this device is only predicted, of single calls and batches"
            raise _Failed(Visit("unsupported", "load", why))
        return told

    def ask(self, word: str, seconds: float = 0.0) -> dict[str, Any]:
        """Tell it what to do, which should take so many seconds, and return its answer."""
        return self._watched(lambda: self._child.ask(word, self._rules.deadline_s + seconds))

    def _watched(self, answered: Callable[[], _process.Answer]) -> dict[str, Any]:
        busy_s, quota_s, start = _host.busy_s(), _host.throttled_s(), time.monotonic()
        answer = answered()
        wall_s = time.monotonic() - start
        if answer.table is None:
            raise _Failed(Visit("failed", answer.stage, answer.error))
        self.peak_bytes = answer.peak_bytes or self.peak_bytes
        if "cpu_s" in answer.table:  # a part that is timed
            used_s = float(answer.table.pop("cpu_s"))
            self._held.append(_host.throttled_s() > quota_s)
            if busy_s is not None:
                others_s = (_host.busy_s() or busy_s) - busy_s - used_s
                self._others.append(max(0.0, others_s / max(wall_s, 1e-3)))
        return answer.table

    def visit(self, told: dict[str, Any], spec: VisitSpec) -> Visit:
        """Make the visit of all that was told."""
        if self._others:
            told["foreign_load_cores"] = sum(self._others) / len(self._others)
        reasons = [str(reason) for reason in told.get("throttled", ())]
        if spec.scenario == SUSTAINED and reasons:  # which is what it is made to show
            said = f"throttled while it was sustained: {', '.join(reasons)}"
            told["warnings"], reasons = [*told.get("warnings", ()), said], []
        limit = self._rules.foreign_load_cores
        flags = {
            FOREIGN: _crew.nearly_all([cores > limit for cores in self._others]),
            QUOTA: _crew.nearly_all(self._held),
            THROTTLED: bool(reasons),
        }
        return _outcome.of(told, spec, tuple(flag for flag, is_so in flags.items() if is_so))


def _cold(told: dict[str, Any], child: _process.Child) -> dict[str, Any]:
    """The parts of a start, of which the parent alone knows when it began."""
    start = {name: told[name] for name in ("load_s", "compile_s", "first_s")}
    start["import_s"] = told.pop("import_s")
    start["interpreter_s"] = (int(told.pop("first_line_ns")) - child.spawned_ns) / 1e9
    return {"cold": start}


def _serve(alone: _Alone, server: Server, seed: str, turn: Turn) -> dict[str, Any]:
    """Make a trial of each rate, and look for the highest rate under the bound."""
    call_s = _levels.floor([alone.ask(f"slice {LOOK_S} {LOOK_MOST}", LOOK_S)["ns"]]) / 1e9
    number, bound_s = zlib.crc32(seed.encode()), server.bound_s
    planned = len(server.rates) + (MOST_TRIALS if bound_s else 0)
    trials: list[dict[str, Any]] = []

    def make(rate: float, bound_ns: int = 0) -> dict[str, Any]:
        count = min(MOST, max(FEWEST, math.ceil(rate * server.seconds)))
        # Queries that come too fast are answered one after the other.
        seconds = 2 * count / rate + 10 * count * call_s
        ns = alone.ask(f"serve {rate} {count} {number} {bound_ns}", seconds)["ns"]
        trials.append(
            {"rate": rate, "queries": count, "latencies_ns": ns, "searched": bound_ns > 0}
        )
        turn(len(trials), max(planned, len(trials)))
        return trials[-1]

    for rate in server.rates:
        make(float(rate))
    if bound_s is None:
        return {"trials": trials}
    bound_ns = math.ceil(bound_s * 1e9)

    def passes(rate: float) -> bool:
        made = make(rate, bound_ns)
        ns, count = made["latencies_ns"], made["queries"]
        return len(ns) == count and _stats.quantile(ns, 0.99) <= bound_s * 1e9

    search(passes, 1 / call_s)
    return {"trials": trials, "p99_bound_s": bound_s}


def search(passes: Callable[[float], bool], above: float) -> float | None:
    """Find by bisection the highest rate that passes, to 3 %, below one that none can be `above`.

    None where not even a small part of that passes.
    """
    best, worst = 0.0, above
    for _ in range(MOST_TRIALS):
        if worst - best <= NEAR * worst:
            break
        middle = (best + worst) / 2
        if passes(middle):
            best = middle
        else:
            worst = middle
    return best or None


def _sustain(alone: _Alone, sustained: Sustained, turn: Turn) -> dict[str, Any]:
    """Call without a pause, in slices, and read clock and temperature after each of them."""
    length_s = min(SLICE_S, sustained.seconds / LEAST_SLICES)
    planned = math.ceil(sustained.seconds / length_s)
    kept = max(1, KEPT // planned)
    end = time.monotonic() + sustained.seconds
    told: dict[str, Any] = {"slices_ns": [], "slices_at_s": [], "inference_ns": [], "readings": []}
    while not told["slices_ns"] or time.monotonic() < end:
        part = alone.ask(f"slice {length_s} {MOST_CALLS}", length_s)
        for name, of_part in (("slices_ns", part["ns"]), ("inference_ns", part["inside_ns"])):
            if of_part:
                told[name].append(of_part[:: -(-len(of_part) // kept)])
        told["slices_at_s"].append(part["at_s"])
        told["readings"].append(alone.ask("state"))
        turn(min(len(told["slices_ns"]), planned), planned)
    return told
