"""Did a front move? Which points joined or left it between two runs, and what it encloses.

The true values of both runs are drawn together (see `_front.py`): the same examples for all cells
of both, so that a cell whose answers have not changed moves nothing, and latencies without what all
cells of the second run have in common.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from paretomark.suites.records import _front, _stats
from paretomark.suites.records._common import Common
from paretomark.suites.records._front import Hypervolume, Measured, Reference
from paretomark.suites.records._row import SIGNIFICANT, Group, Row
from paretomark.suites.spec import _margin
from paretomark.suites.spec._margin import Margin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Drawn = Mapping[str, NDArray[np.bool_]]  # by cell, whether it is on the front

LIKELY = 0.5  # points with this probability are told
SURE = 0.99  # and with this one they are said to have joined or left: of ties, chance picks one


class Point(NamedTuple):
    """A cell, and the probability that it truly joined the front, or left it."""

    cell: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The front of a group before and after. `change` is in the unit of `Hypervolume`, and has its
    95 % interval where the noise is known; where it is not, points are as they lie."""

    group: Group
    before: Hypervolume
    after: Hypervolume
    joined: tuple[Point, ...]
    left: tuple[Point, ...]
    change: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None

    @property
    def surely(self) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
        """The points that joined, and those that left, beyond doubt."""
        joined, left = (
            tuple(point for point in points if point.probability >= SURE)
            for points in (self.joined, self.left)
        )
        return joined, left

    @property
    def answer(self) -> str:
        """Either "larger", "smaller", or "" where it may be chance."""
        if self.q is None or self.q >= SIGNIFICANT:
            return ""
        return "larger" if self.change > 0 else "smaller"


Side = tuple[Sequence[Row], Mapping[str, Measured]]


def moved(
    a: Side, b: Side, both: Common, names: Mapping[str, str], margin: Margin = _margin.NONE
) -> list[Moved]:
    """Compare the fronts of each group that both sides have.

    `names` says what cells of b are called in a, where that is something else.
    """
    groups = [_front.groups(rows) for rows, _ in (a, b)]
    found = [
        _of_group(group, groups[0][group], groups[1][group], a[1], b[1], both, names, margin)
        for group in groups[0]
        if group in groups[1]
    ]
    known = [i for i, each in enumerate(found) if each.p is not None]
    corrected = _stats.benjamini_hochberg([found[i].p or 0.0 for i in known])
    for i, q in zip(known, corrected, strict=True):
        found[i] = dataclasses.replace(found[i], q=q)
    return found


def _of_group(
    group: Group,
    rows_a: Sequence[Row],
    rows_b: Sequence[Row],
    visits_a: Mapping[str, Measured],
    visits_b: Mapping[str, Measured],
    both: Common,
    names: Mapping[str, str],
    margin: Margin,
) -> Moved:
    shift = math.exp(both.shift)
    cells = [row.cell for row in rows_a], [names.get(row.cell, row.cell) for row in rows_b]
    points = (
        [(row.latency_s or 0.0, row.accuracy or 0.0) for row in rows_a],
        [((row.latency_s or 0.0) / shift, row.accuracy or 0.0) for row in rows_b],
    )
    corner = Reference(_front.BEYOND * max(t for side in points for t, _ in side))
    seen = [_front.area(side, corner) for side in points]
    of_a, of_b = _front.known(rows_a, visits_a), _front.known(rows_b, visits_b)
    if of_a is None or of_b is None:
        on = [
            _front.pareto([t for t, _ in side], [score for _, score in side], margin)
            for side in points
        ]
        sides = [{c for c, is_on in zip(cells[i], on[i], strict=True) if is_on} for i in (0, 1)]
        return Moved(
            group=group,
            before=Hypervolume(seen[0], None, None, corner),
            after=Hypervolume(seen[1], None, None, corner),
            joined=tuple(Point(cell, 1.0) for cell in sorted(sides[1] - sides[0])),
            left=tuple(Point(cell, 1.0) for cell in sorted(sides[0] - sides[1])),
            change=seen[1] - seen[0],
        )
    (times_a, outcomes_a), (times_b, outcomes_b) = of_a, of_b
    own = both.own
    times = [
        *((log, math.hypot(both.spread * error, own), dof) for log, error, dof in times_a),
        *(
            (log - both.shift, math.hypot(both.spread * error, own), dof)
            for log, error, dof in times_b
        ),
    ]
    drawn_times, drawn_scores = _front.drawn(times, [*outcomes_a, *outcomes_b])
    cut = len(times_a)
    day = both.day(len(drawn_times))
    sides_drawn = [
        (drawn_times[:, :cut], drawn_scores[:, :cut]),
        (drawn_times[:, cut:] + day, drawn_scores[:, cut:]),
    ]
    areas, chances = [], []
    for i in (0, 1):
        side = sides_drawn[i]
        areas.append(_front.areas(*side, corner))
        chances.append(dict(zip(cells[i], _front.on_front(*side, margin).T, strict=True)))
    steps = areas[1] - areas[0]
    step = seen[1] - seen[0]
    low, middle, high = _basic(step, steps)
    worse = float((2 * step - steps <= 0).mean())
    least = 1 / (len(steps) + 1)
    return Moved(
        group=group,
        before=Hypervolume(*_bounded(seen[0], areas[0]), corner),
        after=Hypervolume(*_bounded(seen[1], areas[1]), corner),
        joined=_points(chances[1], chances[0]),
        left=_points(chances[0], chances[1]),
        change=middle,
        low=low,
        high=high,
        p=1.0 if not steps.any() else min(1.0, 2 * max(least, min(worse, 1 - worse))),
    )


def _points(now: Drawn, then: Drawn) -> tuple[Point, ...]:
    """The cells that are likely on one front and not on the other, the likeliest first."""
    found = []
    for cell, on in now.items():
        share = float((on & ~then[cell]).mean() if cell in then else on.mean())
        if share >= LIKELY:
            found.append(Point(cell, share))
    return tuple(sorted(found, key=lambda point: (-point.probability, point.cell)))


def _basic(seen: float, drawn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Low end, middle, and high end, by the basic bootstrap, see `_front.hypervolume`."""
    import numpy as np

    edge = (1 - _stats.CONFIDENCE) / 2
    high, middle, low = (2 * seen - float(np.quantile(drawn, q)) for q in (edge, 0.5, 1 - edge))
    return low, middle, high


def _bounded(seen: float, drawn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Value, low and high end of an area."""
    low, middle, high = (max(0.0, end) for end in _basic(seen, drawn))
    return middle, low, high
