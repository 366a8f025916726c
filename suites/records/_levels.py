"""What a cell takes: the floor of its visits, how well that is known, and how two cells differ.

A machine that others use too is slow for moments, for seconds, or for a whole visit, and is never
faster than it can be. So noise has one side, and what a net takes is read where it is least:

    floor    of a visit: the 5 % quantile of its slices, of each the 5 % quantile of its calls.
             Slices lie apart in time, so some fall into quiet moments however busy the neighbours
             were. Not the least of them: that falls with their number, and a processor has moments
             in which its clock is faster than it stays.
    block    what slows all cells of a block alike, such as heat, is taken out of each of them.
    level    of a cell: the mean of the logarithms of its visits' floors, without visits that lie
             far above the others. A process may be slow as a whole, by where its memory came to
             lie, or by a neighbour that stayed.

The unit of replication is the visit, a fresh process. A variance of three visits says little by
itself; but a run has many cells, timed side by side. So the variance of a cell is shrunk towards
that of its like (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004): it
counts as so many visits, and theirs as `PRIOR_DOF` more. That weight is fixed: estimated from a few
dozen cells it promises too much, see docs/measurement.md. A cell with one visit has an interval by
its fellows alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from paretomark.suites.records import _stats
from paretomark.suites.records._stats import Interval, Ratio

QUANTILE = 0.05  # of the calls of a slice
QUIETEST = 0.05  # quantile of the slices of a visit
QUANTILE_OF_ONE = 0.02  # of the calls of a visit that was timed in one stretch
PRIOR_DOF = 2.0
KNOWN_DOF = 8
FEW = 8  # cells, below which what is common to all of them is not known
FAR = 4.0  # standard deviations above the others, by which a visit counts as disturbed
ROUNDS = 4  # in which that settles
AGREEING, AGREED = 3, 1.01  # quiet slices of a visit, how many times the least all of them are
LEAST = 2e-4  # standard deviation: clocks and caches do not repeat better than that
_NORMAL_QUARTILE = 0.6745


@dataclass(frozen=True)
class Level:
    """Where a cell lies: the logarithm of its latency in seconds, and how well that is known."""

    log: float
    variance: float  # of `log`
    dof: float  # degrees of freedom of `variance`
    visits: int  # that it rests on
    apart: int = 0  # visits that lie too far above the others to count

    @property
    def seconds(self) -> float:
        """The latency."""
        return math.exp(self.log)

    @property
    def error(self) -> float:
        """The standard error of `log`."""
        return math.sqrt(self.variance)

    @property
    def interval(self) -> Interval:
        """Its 95 % interval, in seconds."""
        _, low, high, *_ = _stats.ratio(self.log, self.error, self.dof)
        return Interval(low, high)


def floor(slices: Sequence[Sequence[float]]) -> float:
    """Return the floor of a visit, from the calls of each of its slices, in their unit."""
    if len(slices) == 1:
        return _stats.quantile(slices[0], QUANTILE_OF_ONE)
    return _ordered(slices)[_quiet(len(slices))]


def settled(slices: Sequence[Sequence[float]]) -> bool:
    """Tell whether the slices about the floor of a visit agree, so that it is no lucky one."""
    at = max(0, _quiet(len(slices)) - 1)
    least = _ordered(slices)[at : at + AGREEING]
    return len(least) == AGREEING and least[-1] <= AGREED * least[0]


def _ordered(slices: Sequence[Sequence[float]]) -> list[float]:
    """The floors of slices, the quietest first."""
    return sorted(_stats.quantile(samples, QUANTILE) for samples in slices)


def _quiet(count: int) -> int:
    """Which of so many slices in that order is the floor of the visit: of few the first."""
    return round(QUIETEST * (count - 1))


def mean(seconds: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(fmean(map(math.log, seconds)))


def levels(
    floors: Mapping[str, Mapping[int, float]], kinds: Mapping[str, str] | None = None
) -> dict[str, Level]:
    """Return the level of each cell of a run, from the floors of its visits in seconds, by block.

    `kinds` tells which cells are alike in how noisy they are, such as those of one runtime: their
    variance is shrunk towards that of their kind, where that has `KNOWN_DOF`, or else of all.

    A cell is left out if it has no visit, or if it has one, and no cell has two: then nothing is
    known of the noise.
    """
    logs = _without_blocks(
        {c: {b: math.log(f) for b, f in visits.items()} for c, visits in floors.items() if visits}
    )
    kinds = {cell: (kinds or {}).get(cell, "") for cell in logs}
    of_kind = {
        kind: _first_spread([v for c, v in logs.items() if kinds[c] == kind])
        for kind in dict.fromkeys(kinds.values())
    }
    spreads = {cell: of_kind[kinds[cell]] for cell in logs}
    # From the lower half, which is the least disturbed, to all that lie near.
    kept = {cell: sorted(visits)[: max(1, len(visits) // 2)] for cell, visits in logs.items()}
    for _ in range(ROUNDS):
        kept = {cell: _near(visits, kept[cell], spreads[cell]) for cell, visits in logs.items()}
        variances = _variances(kept, kinds)
        spreads = {cell: math.sqrt(variance) for cell, (variance, _) in variances.items()}
    found = {cell: _level(logs[cell], near, *variances[cell]) for cell, near in kept.items()}
    return {cell: level for cell, level in found.items() if level.dof > 0}


def _level(visits: Sequence[float], near: Sequence[float], variance: float, dof: float) -> Level:
    """The level of a cell, of its visits that are near each other; of all, by their own variance,
    if those are not most of them: then nobody knows which ones are disturbed."""
    if 2 * len(near) < len(visits):
        near, dof = visits, len(visits) - 1
        variance = _squares(visits) / dof
    return Level(fmean(near), variance / len(near), dof, len(near), len(visits) - len(near))


def _without_blocks(cells: Mapping[str, Mapping[int, float]]) -> dict[str, list[float]]:
    """The logarithms of each cell, without what its blocks do to all cells alike."""
    off: dict[int, list[float]] = {}
    for visits in cells.values():
        middle = median(visits.values())
        for block, log in visits.items() if len(visits) > 1 else ():
            off.setdefault(block, []).append(log - middle)
    known = {block: median(logs) for block, logs in off.items() if len(logs) >= FEW}
    usual = median(known.values()) if known else 0.0
    return {
        cell: [log - known.get(block, usual) + usual for block, log in visits.items()]
        for cell, visits in cells.items()
    }


def _first_spread(cells: Sequence[Sequence[float]]) -> float:
    """The usual standard deviation of visits of a cell: by how far the lower ones lie below the
    middle, for what lies above it may be disturbed."""
    below: list[float] = []
    for visits in map(sorted, cells):
        if len(visits) == 2:
            below.append((visits[1] - visits[0]) / math.sqrt(2))
        elif len(visits) > 2:
            middle = median(visits)
            below += [middle - log for log in visits[: len(visits) // 2]]
    return max(LEAST, median(below) / _NORMAL_QUARTILE) if below else LEAST


def _near(visits: Sequence[float], kept: Sequence[float], spread: float) -> list[float]:
    """The visits that do not lie far above those that are kept so far."""
    limit = median(kept) + FAR * spread * math.sqrt(1 + 1 / len(kept))
    return [log for log in visits if log <= limit]


def _variances(
    cells: Mapping[str, Sequence[float]], kinds: Mapping[str, str]
) -> dict[str, tuple[float, float]]:
    """The variance of a visit of each cell, shrunk towards that of its kind, and its freedom."""
    sums = {cell: _squares(visits) for cell, visits in cells.items()}
    dofs = {cell: len(visits) - 1 for cell, visits in cells.items()}
    pools = {"": list(cells)}
    for cell in cells:
        pools.setdefault(f"of {kinds[cell]}", []).append(cell)
    known = {pool: sum(dofs[cell] for cell in members) for pool, members in pools.items()}
    squares = {pool: sum(sums[cell] for cell in members) for pool, members in pools.items()}
    shrunk = {}
    for cell, own in sums.items():
        pool = f"of {kinds[cell]}"
        pool = pool if known[pool] >= KNOWN_DOF else ""
        total = known[pool]
        pooled = squares[pool] / total if total else 0.0
        # What the others know, so that a cell that is alone does not count twice.
        prior = min(PRIOR_DOF, total - dofs[cell])
        dof = prior + dofs[cell]
        variance = (prior * pooled + own) / dof if dof else pooled
        shrunk[cell] = max(LEAST**2, variance), dof
    return shrunk


def _squares(logs: Sequence[float]) -> float:
    mean = fmean(logs)
    return sum((log - mean) ** 2 for log in logs)


def ratio(
    a: Level, b: Level, shift: float = 0.0, inflation: float = 1.0, error: float = 0.0
) -> Ratio:
    """Return b / a, with its 95 % interval.

    `shift` is the logarithm of what is common to all cells and is taken out, `error` the standard
    error of that; `inflation` is by how much more than their visits tell cells differ between the
    two runs.
    """
    variance, dof = of_difference(a, b)
    spread = inflation * math.sqrt(variance)
    return _stats.ratio(b.log - a.log - shift, math.hypot(spread, error), dof)


def of_difference(a: Level, b: Level) -> tuple[float, float]:
    """Return the variance of the difference of two levels, and its degrees of freedom: neither side
    need be as noisy as the other (Welch, Biometrika 34, 1947)."""
    variance = a.variance + b.variance
    return variance, variance**2 / (a.variance**2 / a.dof + b.variance**2 / b.dof)
