"""What differs between two runs as wholes, as far as their cells can tell.

A machine has better and worse days: all cells are a little slower at once, and each differs by a
little more than the visits of one run can know. Both are estimated from the cells of the two runs
themselves, most of which are taken to be unchanged (an empirical null, Efron, JASA 99, 2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._levels import FEW, Level
from paretomark.suites.records._stats import Ratio, t_quantile

# Times what is seen of it: what is seen is off by some 15 %, and hardly ever by more than 40 %.
WIDER, SURE = 1.15, 1.4
# Times the noise that a comparison shows, to tell what another one would find: both know it from a
# few visits and cells only. By simulation, see `tests/benchmarks/rules.py`.
UNSURE = 1.25


@dataclass(frozen=True)
class Common:
    """What two runs have in common: `shift` is the logarithm of b / a, 0 where it is not known;
    `spread` how many times as far apart cells lie as their visits let expect."""

    cells: int = 0
    shift: float = 0.0
    error: float = 0.0  # standard error of `shift`
    spread: float = 1.0

    @property
    def known(self) -> bool:
        """Whether there were cells enough."""
        return self.cells >= FEW

    @property
    def ratio(self) -> Ratio:
        """The shift, as b / a, with its 95 % interval."""
        return _stats.ratio(self.shift, self.error, max(1.0, self.cells - 1.0))

    def compare(self, a: Level, b: Level) -> Ratio:
        """Return b / a of one cell, without what is common to all."""
        return _levels.ratio(a, b, self.shift, self.spread, self.error)


def detectable(ratio: Ratio, claims: int, least: float) -> float:
    """Return the change of one cell that a comparison such as this one finds with 80 % power, among
    so many claims, if it must look larger than `least`."""
    unsure = ratio._replace(se=UNSURE * ratio.se)
    return _stats.minimum_detectable_effect(unsure, claims, least)


def common(pairs: Sequence[tuple[Level, Level]]) -> Common:
    """Tell what is common to cells that were measured in both runs."""
    if len(pairs) < FEW:
        return Common(len(pairs))
    ratios = [_levels.ratio(a, b) for a, b in pairs]
    shift = median(math.log(ratio.value) for ratio in ratios)
    off = [abs(math.log(ratio.value) - shift) / ratio.se for ratio in ratios]
    # Where half of them lie if nothing but their own noise parts them.
    expected = t_quantile(0.75, median(ratio.dof for ratio in ratios))
    seen = median(off) / expected
    # Visits of a cell may also differ more than runs do, as where a block is worse for some cells
    # in every run. So intervals may become narrower, but only beyond what chance does to `seen`.
    spread = max(WIDER * seen, min(1.0, SURE * seen))
    # Of a median, that of the mean times 1.25 (for normal noise).
    error = 1.25 * spread * median(ratio.se for ratio in ratios) / math.sqrt(len(ratios))
    return Common(len(ratios), shift, error, spread)
