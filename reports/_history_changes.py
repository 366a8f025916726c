"""What changed in the history of cells: latency, accuracy, memory, file size, and failing or not.

Steps are found by `suites/records/_changepoints.py`. Each is named by the two runs that it lies
between, and by what was another in what they measured.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from paretomark.reports import _digest
from paretomark.reports._beside import MEMORY, ONCE, SIZE
from paretomark.reports._digest import Seen
from paretomark.suites.records import _changepoints, _changes
from paretomark.suites.records._changepoints import Days, Series, Step
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.spec._gate import Gate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ALL = "all cells"
LATENCY, ACCURACY, STATE = "latency", "accuracy", "state"
LIMITS = {LATENCY: "latency", ACCURACY: "accuracy", SIZE: "size", MEMORY: "memory"}
LEAST_SIZE = 0.001
SAME = "the same file and versions: the code that runs it, or the machine"
ON_THE_DAY = "the same files and versions in most cells: the machine, or code that all cells share"


@dataclass(frozen=True)
class Point:
    """A cell in the run of this number."""

    run: int
    seen: Seen


@dataclass(frozen=True, kw_only=True)
class Change:
    """A step of one number of a cell between two runs, by their numbers. `value` is a share of what
    it was, or for accuracies a difference; None where something fails, or does so no more."""

    kind: str
    cell: str
    before: int
    after: int
    answer: Literal["slower", "faster", "better", "worse", "more", "less", "fails", "mended"]
    why: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    alarm: bool = False  # for the worse, beyond the limits of the suite, and not undone since


class Searches:
    """The search for changes, a kind of number after the other."""

    def __init__(
        self,
        cells: Mapping[str, tuple[Point, ...]],
        days: Days,
        sessions: Sessions,
        least: float,
        runs: int,
    ) -> None:
        self._cells, self._days, self._sessions, self._least = cells, days, sessions, least
        self._runs = runs

    def found(self, everything: bool) -> list[Change]:
        """All changes of the cells; with `everything` also of what all have in common."""
        found = [*self._latencies(everything), *self._accuracies(), *self._memories()]
        for cell, points in self._cells.items():
            found += _sizes(cell, points)
            found += _states(cell, points)
        return found

    def _latencies(self, everything: bool) -> Iterator[Change]:
        places, searches = {}, {}
        for cell, points in self._cells.items():
            measured = [point for point in points if point.seen.measured]
            if len(measured) > 1:
                places[cell] = measured
                searches[cell] = self._search(self._of_cell(measured))
        known = [i for i in range(self._runs) if self._days.known[i]]
        if everything and len(known) > 1:
            searches[ALL] = self._search(self._of_days(known))
        for cell, steps in _changepoints.selected(searches).items():
            for step in steps:
                answer: Literal["slower", "faster"] = "slower" if step.value > 1 else "faster"
                if cell == ALL:
                    ends, why = (known[step.at - 1], known[step.at]), ON_THE_DAY
                else:
                    one, other = places[cell][step.at - 1], places[cell][step.at]
                    ends, why = (one.run, other.run), _why(one.seen, other.seen)
                yield _of_ratio(LATENCY, cell, ends, step, answer, why)

    def _search(self, series: Series, least: float | None = None) -> Callable[[float], list[Step]]:
        least = self._least if least is None else least
        return functools.partial(_changepoints.steps, series, self._sessions, least)

    def _of_cell(self, points: Sequence[Point]) -> Series:
        days, logs, variances = self._days, [], []
        for point in points:
            assert point.seen.level is not None
            logs.append(point.seen.level.log - days.offsets[point.run])
            known = days.errors[point.run] ** 2 + self._sessions.own**2
            variances.append(point.seen.level.variance + known)
        loose = [False]
        for one, other in pairwise(points):
            loose.append(any(days.loose[one.run + 1 : other.run + 1]))
        return Series(logs, variances, _told(points), loose)

    def _of_days(self, known: Sequence[int]) -> Series:
        days, together = self._days, self._sessions.together
        return Series(
            [days.offsets[i] for i in known],
            [days.errors[i] ** 2 + together**2 for i in known],
            [False] * len(known),
        )

    def _accuracies(self) -> Iterator[Change]:
        import numpy as np

        places: dict[str, list[Point]] = {}
        searches: dict[str, Callable[[float], list[Step]]] = {}
        numbers = functools.cache(_numbers)
        for cell, points in self._cells.items():
            for i, part in enumerate(_of_same_examples(points, numbers)):
                scores = [numbers(point.seen.scores) for point in part]
                if any(not np.array_equal(scores[0], other) for other in scores[1:]):
                    places[f"{i} {cell}"] = part
                    searches[f"{i} {cell}"] = functools.partial(_changepoints.paired, scores)
        for key, steps in _changepoints.selected(searches).items():
            part = places[key]
            for step in steps:
                one, other = part[step.at - 1], part[step.at]
                yield Change(
                    kind=ACCURACY,
                    cell=one.seen.cell,
                    before=one.run,
                    after=other.run,
                    answer="better" if step.value > 0 else "worse",
                    why=_why(one.seen, other.seen),
                    value=step.value,
                    low=step.low,
                    high=step.high,
                    p=step.p,
                )

    def _memories(self) -> Iterator[Change]:
        noise, places, searches = ONCE[MEMORY], {}, {}
        for cell, points in self._cells.items():
            told = [p for p in points if p.seen.valid and p.seen.peak_memory_bytes]
            if len(told) > 1:
                logs = [math.log(p.seen.peak_memory_bytes or 1) for p in told]
                series = Series(logs, [noise.usual**2] * len(told), _told(told))
                places[cell], searches[cell] = told, self._search(series, noise.margin)
        for cell, steps in _changepoints.selected(searches).items():
            for step in steps:
                one, other = places[cell][step.at - 1], places[cell][step.at]
                answer: Literal["more", "less"] = "more" if step.value > 1 else "less"
                why = _why(one.seen, other.seen)
                yield _of_ratio(MEMORY, cell, (one.run, other.run), step, answer, why)


def _of_ratio(
    kind: str,
    cell: str,
    ends: tuple[int, int],
    step: Step,
    answer: Literal["slower", "faster", "more", "less"],
    why: str,
) -> Change:
    return Change(
        kind=kind,
        cell=cell,
        before=ends[0],
        after=ends[1],
        answer=answer,
        why=why,
        value=step.value - 1,
        low=step.low - 1,
        high=step.high - 1,
        p=step.p,
    )


def _told(points: Sequence[Point]) -> list[bool]:
    """Before which of the points something of what is measured is known to have changed."""
    things = [point.seen.thing for point in points]
    return [False, *(one != other for one, other in pairwise(things))]


def _numbers(name: str) -> Numbers:
    import numpy as np

    found = _digest.scores(name)
    if isinstance(found, str):
        return np.frombuffer(found.encode(), np.uint8).astype(float) - ord("0")
    return np.array(found or [], float)


def _of_same_examples(
    points: Sequence[Point], numbers: Callable[[str], Numbers]
) -> Iterator[list[Point]]:
    """The runs of a cell that were scored, in parts: each of the same examples."""
    part: list[Point] = []
    for point in points:
        if not point.seen.scores or point.seen.status != "ok":
            continue
        if part:
            last = part[-1].seen
            same = last.data == point.seen.data and last.metric == point.seen.metric
            if not same or len(numbers(last.scores)) != len(numbers(point.seen.scores)):
                yield part
                part = []
        part.append(point)
    yield part


def _sizes(cell: str, points: Sequence[Point]) -> Iterator[Change]:
    """Where a file became another size: that is exact."""
    told = [point for point in points if point.seen.artifact_bytes]
    for one, other in pairwise(told):
        share = (other.seen.artifact_bytes or 1) / (one.seen.artifact_bytes or 1) - 1
        if abs(share) >= LEAST_SIZE:
            yield Change(
                kind=SIZE,
                cell=cell,
                before=one.run,
                after=other.run,
                answer="more" if share > 0 else "less",
                why=_why(one.seen, other.seen),
                value=share,
            )


def _states(cell: str, points: Sequence[Point]) -> Iterator[Change]:
    """Where a cell began to fail, or did so no more."""
    for one, other in pairwise(points):
        was, fails = one.seen.status == "ok", other.seen.status != "ok"
        if was == fails:
            yield Change(
                kind=STATE,
                cell=cell,
                before=one.run,
                after=other.run,
                answer="fails" if fails else "mended",
                why=f"{other.seen.status}: {other.seen.reason}" if fails else "",
            )


def _why(a: Seen, b: Seen) -> str:
    """What is known to be another after a step."""
    told = []
    if a.sha256 != b.sha256 or a.identity != b.identity:
        told.append(_changes.changes(a, b) or "another file of the same net and recipe")
    if others := versions(a.versions, b.versions):
        told.append(others)
    return "; ".join(told) or SAME


def versions(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """Say which versions are others in b than in a; "" if none is."""
    names = [name for name in dict.fromkeys((*a, *b)) if a.get(name) != b.get(name)]
    return ", ".join(f"{name} {a.get(name, 'none')} → {b.get(name, 'none')}" for name in names)


def with_alarm(
    change: Change, changes: Sequence[Change], cells: Mapping[str, Sequence[Point]], gate: Gate
) -> Change:
    """Return the change, as an alarm if it is one: what came after counts, for it may be undone. A
    change of all cells is the machine's, and none."""
    later = [
        each
        for each in changes
        if (each.cell, each.kind) == (change.cell, change.kind) and each.after > change.after
    ]
    if change.kind == STATE:
        return dataclasses.replace(change, alarm=change.answer == "fails" and not later)
    if change.cell == ALL:
        return change
    seen = cells[change.cell][-1].seen
    limit = gate.limit(LIMITS[change.kind], seen.model, seen.device)
    if limit is None or change.answer not in ("slower", "worse", "more"):
        return change
    if change.kind == ACCURACY:
        worse = -sum(each.value or 0.0 for each in (change, *later))
    else:
        worse = math.prod(1 + (each.value or 0.0) for each in (change, *later)) - 1
    beyond = abs(change.value or 0.0) > limit and worse > limit
    return dataclasses.replace(change, alarm=beyond)
