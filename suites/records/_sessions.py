"""How far runs of one machine lie apart though nothing has changed: learnt from its history.

Two runs of different hours differ by more than their visits tell: all cells of one are a little
slower at once, and each cell by itself lies a little off. Of runs of the same files by the same
runtimes (A/A) both can be told, in excess of what visits explain. With few such pairs, or none,
what is usual stands in: it counts as `PRIOR` pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from paretomark.suites.records._levels import FEW, Level

PRIOR = 8
_NORMAL_MEDIAN = 1.4826  # standard deviations, of a median of absolute values


@dataclass(frozen=True)
class Sessions:
    """Standard deviations of the logarithm of a latency, between runs: of what all cells of a run
    have in common, and of each cell by itself; and of how many pairs of runs they are learnt."""

    together: float
    own: float
    pairs: int = 0

    @property
    def variance(self) -> float:
        """Of the difference of a cell between two runs, beyond what their visits tell."""
        return 2 * (self.together**2 + self.own**2)

    @property
    def variance_of_each(self) -> float:
        """Likewise, without what all cells have in common."""
        return 2 * self.own**2

    @property
    def dof(self) -> float:
        """Degrees of freedom of that."""
        return float(PRIOR + self.pairs)


# By `tests/benchmarks/sessions.py`, on a shared virtual machine with two cores.
USUAL = Sessions(together=0.010, own=0.007)


def learnt(runs: Sequence[Mapping[str, Level]]) -> Sessions:
    """Learn it from runs in the order of their time: of each the levels by what was measured, which
    is equal in two runs only if file and runtime are the same."""
    found = [_excess(a, b) for a, b in pairwise(runs) if a.keys() & b.keys()]
    if not found:
        return USUAL
    kept = []
    for usual, excess in zip((USUAL.together, USUAL.own), zip(*found, strict=True), strict=True):
        total = PRIOR * 2 * usual**2 + sum(excess)
        # Excess is a difference of noisy numbers: its sum may fall below what can be.
        kept.append(math.sqrt(max(total, usual**2 / 2) / (PRIOR + len(found)) / 2))
    together, own = kept
    return Sessions(together, own, len(found))


def _excess(a: Mapping[str, Level], b: Mapping[str, Level]) -> tuple[float, float]:
    """What the variance of a difference is beyond the visits': in common, and of each cell."""
    both = [(a[key], b[key]) for key in a.keys() & b.keys()]
    steps = [y.log - x.log for x, y in both]
    variances = [x.variance + y.variance for x, y in both]
    if len(both) < FEW:  # which cannot be told apart
        excess = fmean(step**2 for step in steps) - fmean(variances)
        share = USUAL.together**2 / (USUAL.together**2 + USUAL.own**2)
        return share * excess, (1 - share) * excess
    shift = median(steps)
    seen = (_NORMAL_MEDIAN * median(abs(step - shift) for step in steps)) ** 2
    of_shift = 1.57 * seen / len(steps)  # of a median: π/2 times that of a mean
    return shift**2 - of_shift, seen - median(variances)
