"""Fronts of accuracy over latency: what is on one, with which probability, and what it encloses.

Where the true values may lie, given what was measured, is drawn for both axes at once: a latency by
Student's t, and examples with the same indices for all cells (a bootstrap, Efron & Tibshirani
1993), so that differences stay paired.

A point is on a front if none *beats* it. Another does that if it is better in one and as good in
the other, which is Pareto's front; and also if it is better by more than the margin in one, and
worse by no more than that in the other. Nothing can beat itself by way of others, for what beats
another has a larger sum of both, counted in margins: so there is always a front.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from paretomark.suites.records import _stats
from paretomark.suites.records._levels import Level
from paretomark.suites.records._row import Group, Row
from paretomark.suites.records._scores import Scores
from paretomark.suites.spec import _margin
from paretomark.suites.spec._margin import Margin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1000
BEYOND = 1.1  # times the slowest latency: so far a front counts
_EXACT = 2**24  # whole numbers below are exact in 32-bit floats
_AT_ONCE = 2_000_000  # answers drawn, held in memory

# Of each cell: the logarithm of its latency in seconds, the standard error of that, its freedom.
Times = Sequence[tuple[float, float, float]]
Outcomes = Sequence[str | Sequence[float]]


class Reference(NamedTuple):
    """The corner that hypervolumes are measured from: what is slower or worse adds nothing."""

    latency_s: float
    accuracy: float = 0.0


class Hypervolume(NamedTuple):
    """The area that a front dominates, up to a reference, and its 95 % interval, None if not known.

    It is accuracy (from 0 to 1, less that of the reference) times doublings of speed (the logarithm
    to base 2 of the reference's latency over a latency): 0.9 more is a front at 90 % accuracy that
    begins at half of the latency.
    """

    value: float
    low: float | None
    high: float | None
    reference: Reference


class Measured(Protocol):
    """What has to be known of a cell, see `Visits`."""

    @property
    def level(self) -> Level | None: ...

    @property
    def outcomes(self) -> Scores: ...


def pareto(
    latencies: Sequence[float], accuracies: Sequence[float], margin: Margin = _margin.NONE
) -> list[bool]:
    """Which points nothing beats; latencies in one unit, and accuracies from 0 to 1.

    Of equal points all are on the front, or none.
    """
    import numpy as np

    sides = np.log(np.array([latencies], float)), np.array([accuracies], float)
    return [bool(on) for on in on_front(*sides, margin)[0]] if len(latencies) else []


def front_probability(
    times: Times, outcomes: Outcomes, margin: Margin = _margin.NONE, seed: int = 0
) -> list[float]:
    """For each cell the probability that it truly is on the front, given what was measured.

    It is not how often it would be there if the run were repeated. `outcomes` are the scores per
    example by cell, as text of 0 and 1 or as numbers.
    """
    if len(times) == 1:
        return [1.0]
    on = on_front(*drawn(times, outcomes, seed), margin)
    return [float(share) for share in on.mean(axis=0)]


def hypervolume(
    times: Times, outcomes: Outcomes, reference: Reference, seed: int = 0
) -> Hypervolume:
    """The area that the front of these cells dominates (Zitzler & Thiele 1999), of both axes as in
    `front_probability`.

    The best of several looks better than it is, and what is drawn around it looks better once more,
    by as much. So the interval is the basic one, which takes that off (Davison & Hinkley, Bootstrap
    Methods, 1997, 5.2), and so does the value.
    """
    import numpy as np

    logs = np.array([[log for log, _, _ in times]])
    seen = float(areas(logs, np.array([[_numbers(o).mean() for o in outcomes]]), reference)[0])
    found = areas(*drawn(times, outcomes, seed), reference)
    edge = (1 - _stats.CONFIDENCE) / 2
    low, middle, high = (max(0.0, 2 * seen - float(np.quantile(found, share)))
                         for share in (1 - edge, 0.5, edge))  # fmt: skip
    return Hypervolume(middle, low, high, reference)


def area(points: Sequence[tuple[float, float]], reference: Reference) -> float:
    """The area that points of latency in seconds and accuracy dominate, as they lie."""
    import numpy as np

    times, accuracies = np.array(points, float).T[:, None, :]
    return float(areas(np.log(times), accuracies, reference)[0])


def with_fronts(
    rows: Sequence[Row], visits: Mapping[str, Measured], margin: Margin = _margin.NONE
) -> list[Row]:
    """Mark the fronts of the groups of the rows, whose visits are given by cell."""
    marks = {}
    for members in groups(rows).values():
        points = [r.latency_s or 0 for r in members], [r.accuracy or 0 for r in members]
        front = pareto(*points, margin)
        noise = known(members, visits)
        chances = front_probability(*noise, margin) if noise else [None] * len(members)
        for row, on, chance in zip(members, front, chances, strict=True):
            marks[row.cell] = (on, chance)
    return [
        dataclasses.replace(r, on_front=marks[r.cell][0], front_probability=marks[r.cell][1])
        if r.cell in marks
        else r
        for r in rows
    ]


def hypervolumes(
    rows: Sequence[Row],
    visits: Mapping[str, Measured],
    references: Mapping[Group, Reference] | None = None,
) -> dict[Group, Hypervolume]:
    """The hypervolume of the front of each group of the rows.

    The reference of a group is given, as where two runs are to have one in common, or it is that of
    its own rows, see `reference`. Where the noise is not known the area is that of the points as
    they lie, without an interval.
    """
    found = {}
    for group, members in groups(rows).items():
        corner = (references or {}).get(group) or reference(members)
        noise = known(members, visits)
        points = [(r.latency_s or 0, r.accuracy or 0) for r in members]
        found[group] = (
            hypervolume(*noise, corner)
            if noise
            else Hypervolume(area(points, corner), None, None, corner)
        )
    return found


def reference(rows: Sequence[Row]) -> Reference:
    """The usual reference of a group: a tenth slower than its slowest row, so that this counts too
    (Ishibuchi et al., Evolutionary Computation 26, 2018), and an accuracy of 0, for not every task
    has a score that chance reaches."""
    return Reference(BEYOND * max(row.latency_s or 0 for row in rows))


def groups(rows: Sequence[Row]) -> dict[Group, list[Row]]:
    """Return the rows that may stand on a front, by what may share one."""
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        if row.sound and not row.guesses and row.accuracy is not None and row.latency_s:
            groups.setdefault(row.group, []).append(row)
    return groups


def known(
    rows: Sequence[Row], visits: Mapping[str, Measured]
) -> tuple[list[tuple[float, float, float]], list[Scores]] | None:
    """Return the times and outcomes of rows; None if the noise of one of them is not known."""
    of_rows = [visits[row.cell] for row in rows]
    times = [(v.level.log, v.level.error, v.level.dof) for v in of_rows if v.level]
    return (times, [v.outcomes for v in of_rows]) if len(times) == len(rows) else None


def drawn(
    times: Times, outcomes: Outcomes, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw where the true logarithms of latencies, and the true accuracies may lie: each a line for
    every draw, and a column for every cell."""
    keys = (tuple(times), tuple(o if isinstance(o, str) else tuple(o) for o in outcomes), seed)
    return _draw(*keys)


@functools.lru_cache(maxsize=2)  # the probabilities and the area of a front are of the same draws
def _draw(
    times: Times, outcomes: Outcomes, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn_times = np.empty((RESAMPLES, len(times)))
    for i, (log, error, dof) in enumerate(times):
        drawn_times[:, i] = log + error * rng.standard_t(dof, RESAMPLES)
    right = np.empty((RESAMPLES, len(times)))
    for n in sorted({len(o) for o in outcomes}):
        cells = [i for i, o in enumerate(outcomes) if len(o) == n]
        answers = np.array([_numbers(outcomes[i]) for i in cells]).T
        if all(isinstance(outcomes[i], str) for i in cells) and n < _EXACT:
            answers = answers.astype(np.float32)  # whole numbers: as exact, in half the time
        # In few products: each wakes all threads, which then spin beside what else is computed.
        chunk = max(1, _AT_ONCE // n)
        for at in range(0, RESAMPLES, chunk):
            count = min(chunk, RESAMPLES - at)
            drawn = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(count)]
            # Rounded, lest the order in which sums are taken should part equal scores.
            sums = (np.array(drawn, answers.dtype) @ answers).astype(float)
            right[at : at + count, cells] = np.round(sums / n, 9)
    return drawn_times, right


def on_front(
    times: NDArray[np.float64], accuracies: NDArray[np.float64], margin: Margin = _margin.NONE
) -> NDArray[np.bool_]:
    """Tell which points nothing beats, of each line of points by themselves; times are logarithms
    of latencies."""
    import numpy as np

    slower, points = math.log1p(margin.slower), margin.points
    on = np.empty(times.shape, bool)
    # Rounded, lest what is added should part equal scores.
    orders = np.argsort(times, axis=1)  # what is looked up in order is found sooner
    for i, order in enumerate(orders):
        t, a = times[i, order], np.round(accuracies[i, order], 9)
        # The most accurate of those that are so quick; before the first there is none.
        best = np.concatenate(([-np.inf], np.maximum.accumulate(a)))
        nothing_beats = np.ones(len(t), bool)
        for by, less in {(0.0, 0.0), (slower, points)}:
            as_quick = best[np.searchsorted(t, t + by, side="right")]
            quicker = best[np.searchsorted(t, t - by, side="left")]
            nothing_beats &= (as_quick <= np.round(a + less, 9)) & (quicker < np.round(a - less, 9))
        on[i, order] = nothing_beats
    return on


def areas(
    logs: NDArray[np.float64], accuracies: NDArray[np.float64], reference: Reference
) -> NDArray[np.float64]:
    """Return the area below the front of each line: steps from one latency to the next, in
    doublings, each as high as the best so far."""
    import numpy as np

    order = np.argsort(logs, axis=1)
    end = math.log(reference.latency_s)
    starts = np.minimum(np.take_along_axis(logs, order, axis=1), end)
    best = np.maximum.accumulate(np.take_along_axis(accuracies, order, axis=1), axis=1)
    widths = np.diff(starts, axis=1, append=end) / math.log(2)
    found: NDArray[np.float64] = (widths * np.maximum(0, best - reference.accuracy)).sum(axis=1)
    return found


def _numbers(scores: str | Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    if isinstance(scores, str):
        return np.frombuffer(scores.encode(), np.uint8).astype(float) - ord("0")
    return np.asarray(scores, float)
