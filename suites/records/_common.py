"""What differs between two runs as wholes, as far as their cells can tell.

A machine has better and worse days: all cells are a little slower at once, and each differs by a
little more than the visits of one run can know. Both are estimated from the cells of the two runs
themselves, most of which are taken to be unchanged (an empirical null, Efron, JASA 99, 2004).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._levels import FEW, Level
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.records._stats import Ratio, t_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Times what is seen of it: what is seen is off by some 15 %, and hardly ever by more than 40 %.
WIDER, SURE = 1.15, 1.4
# A cell lies far out, so that it is taken to have changed, beyond so many times the noise of all.
FAR, ROUNDS, MOSTLY = 4.0, 4, 2 / 3
# Another comparison finds what it does by its own noise, which is known from a few visits and cells
# only: it is taken to be larger than this one's by so much over the root of the number of cells. By
# simulation, see `tests/benchmarks/rules.py`.
UNSURE = 1.6
ENOUGH = 5  # cells that are known to be unchanged, to tell what is common
HISTORY = 2  # cells that the spread which is learnt from earlier runs counts as


@dataclass(frozen=True)
class Common:
    """What two runs have in common: `shift` is the logarithm of b / a, 0 where it is not known;
    `spread` how many times as far apart cells lie as their visits let expect."""

    cells: int = 0
    shift: float = 0.0
    error: float = 0.0  # standard error of `shift`
    spread: float = 1.0
    sessions: Sessions | None = None  # None: the two were timed side by side, in one
    unchanged: bool = False  # it is told by cells of which nothing is known to have changed

    @property
    def known(self) -> bool:
        """Whether there were cells enough."""
        return self.cells >= (ENOUGH if self.unchanged else FEW)

    @property
    def ratio(self) -> Ratio:
        """The shift, as b / a, with its 95 % interval."""
        return _stats.ratio(self.shift, self.error, max(1.0, self.cells - 1.0))

    @property
    def claim(self) -> Ratio:
        """The shift, with what runs differ by on other days: to tell whether all cells changed."""
        if self.sessions is None:
            return self.ratio
        error = math.hypot(self.error, math.sqrt(2) * self.sessions.together)
        return _stats.ratio(self.shift, error, self.sessions.dof)

    @property
    def own(self) -> float:
        """What a cell of either run lies off by itself, a standard deviation: 0 where `spread` has
        it, or both were timed side by side."""
        return 0.0 if self.known or self.sessions is None else self.sessions.own

    def day(self, draws: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw what is not known of what all cells have in common: logarithms, a line for each."""
        import numpy as np

        error = self.error
        if not self.known and self.sessions is not None:
            error = math.sqrt(2) * self.sessions.together
        return error * np.random.default_rng(seed).standard_normal((draws, 1))

    def compare(self, a: Level, b: Level) -> Ratio:
        """Return b / a of one cell, without what is common to all.

        How far apart cells lie is told by those of the two runs themselves. Where they are too few,
        it is what runs of this machine usually lie apart.
        """
        variance, dof = _levels.of_difference(a, b)
        step = b.log - a.log - self.shift
        if self.known:
            error = math.hypot(self.spread * math.sqrt(variance), self.error)
            return _stats.ratio(step, error, dof)
        if self.sessions is None:
            return _stats.ratio(step, math.sqrt(variance), dof)
        between = self.sessions.variance
        # Satterthwaite, Biometrics Bulletin 2, 1946.
        whole = (variance + between) ** 2 / (variance**2 / dof + between**2 / self.sessions.dof)
        return _stats.ratio(step, math.sqrt(variance + between), whole)


def detectable(ratio: Ratio, claims: int, least: float) -> float:
    """Return the change of one cell that a comparison such as this one finds with 80 % power, among
    so many claims, if it must look larger than `least`."""
    unsure = ratio._replace(se=(1 + UNSURE / math.sqrt(max(claims, FEW))) * ratio.se)
    return _stats.minimum_detectable_effect(unsure, claims, least)


def of_unchanged(pairs: Sequence[tuple[Level, Level]], sessions: Sessions) -> Common:
    """Tell what is common to cells by those of which nothing is known to have changed: `ENOUGH` of
    them at least. Where they are fewer than `FEW`, they are not taken to lie closer together than
    such runs usually do."""
    found = common(pairs, 1.0, sessions, ENOUGH)
    if len(pairs) < FEW:
        usual = median(a.variance + b.variance for a, b in pairs)
        spread = max(found.spread, math.sqrt(1 + sessions.variance_of_each / usual))
        error = _error(spread, math.sqrt(usual), len(pairs))
        found = dataclasses.replace(found, spread=spread, error=error)
    return dataclasses.replace(found, unchanged=True)


def common(
    pairs: Sequence[tuple[Level, Level]],
    unchanged: float = MOSTLY,
    sessions: Sessions | None = None,
    enough: int = FEW,
) -> Common:
    """Tell what is common to cells that were measured in both runs.

    Cells that truly changed must not count as noise. So those that lie far out are left out, and
    what is common is estimated anew, until no more do; the share `unchanged` is always kept.
    """
    if len(pairs) < enough:
        return Common(len(pairs), sessions=sessions)
    ratios = [_levels.ratio(a, b) for a, b in pairs]
    kept = ratios
    for _ in range(ROUNDS):
        shift = median(math.log(ratio.value) for ratio in kept)
        # Where half of them lie if nothing but their own noise parts them.
        expected = t_quantile(0.75, median(ratio.dof for ratio in kept))
        seen = median(_off(ratio, shift) for ratio in kept) / expected
        near = sorted(ratios, key=lambda ratio: _off(ratio, shift))
        count = sum(_off(ratio, shift) <= FAR * max(1.0, seen) for ratio in near)
        kept = near[: max(count, math.ceil(unchanged * len(near)))]
    if sessions and sessions.pairs:
        # What the history tells counts as a few cells more, where it tells of more noise.
        usual = median(a.variance + b.variance for a, b in pairs)
        history = 1 + sessions.variance_of_each / usual
        pooled = (len(kept) * seen**2 + HISTORY * history) / (len(kept) + HISTORY)
        seen = max(seen, math.sqrt(pooled))
    # Visits of a cell may also differ more than runs do, as where a block is worse for some cells
    # in every run. So intervals may become narrower, but only beyond what chance does to `seen`.
    # Nor may what was left out make them so.
    narrowest = min(1.0, SURE * seen) if len(kept) == len(ratios) else 1.0
    spread = max(WIDER * seen, narrowest)
    error = _error(spread, median(ratio.se for ratio in kept), len(kept))
    return Common(len(ratios), shift, error, spread, sessions)


def _error(spread: float, se: float, count: int) -> float:
    """Of the median of changes: that of their mean times 1.25 (for normal noise)."""
    return 1.25 * spread * se / math.sqrt(count)


def _off(ratio: Ratio, shift: float) -> float:
    """How many of its standard errors a change lies from what is common to all."""
    return abs(math.log(ratio.value) - shift) / ratio.se
