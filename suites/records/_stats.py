"""Statistics of a benchmark: intervals and differences.

Every interval is two-sided at 95 %. The unit of replication of a time is the visit (a fresh
process), never the iteration (Georges, Buytaert & Eeckhout, OOPSLA 2007; Kalibera & Jones,
ISMM 2013); what is made of visits is in `_levels.py`, and of both axes in `_front.py`. Where the
data cannot carry an answer the answer is None, not a guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

CONFIDENCE = 0.95
POWER = 0.8
NEEDED = {50: 11, 90: 64, 95: 130, 99: 662}  # samples below which a percentile is not stated

_UPPER = 0.5 + CONFIDENCE / 2
NORMAL = NormalDist()
Z = NORMAL.inv_cdf(_UPPER)
_STEPS = 200  # of Simpson's rule: the quantile is good to six digits or more


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """b - a of two proportions, its 95 % interval, and the p value of no difference."""

    value: float
    low: float
    high: float
    p: float


class Ratio(NamedTuple):
    """b / a of two times, its 95 % interval; `se` and `dof` are those of its logarithm."""

    value: float
    low: float
    high: float
    se: float
    dof: float


def t_cdf(t: float, dof: float) -> float:
    """P(T <= t) for Student's t with `dof` >= 1 degrees of freedom, which may be fractional.

    With t = sqrt(dof) tan(a) the density becomes cos(a)^(dof - 1), smooth on a finite interval
    (Abramowitz & Stegun 1964, 26.7.3), so Simpson's rule does.
    """
    return 0.5 + _area(math.atan(t / math.sqrt(dof)), dof)


@lru_cache(maxsize=4096)
def t_quantile(p: float, dof: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1 and `dof` >= 1, which may be fractional."""
    if p < 0.5:
        return -t_quantile(1 - p, dof)
    angle, scale = 0.0, _density(dof)
    for _ in range(50):  # Newton; the area is concave in the angle, so it climbs without overshoot
        step = (p - 0.5 - _area(angle, dof)) / (scale * math.cos(angle) ** (dof - 1))
        angle += step
        if abs(step) < 1e-12:
            break
    return math.sqrt(dof) * math.tan(angle)


def _density(dof: float) -> float:
    return math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi)


def _area(angle: float, dof: float) -> float:
    """The probability between 0 and `angle` (see `t_cdf`), negative for a negative angle."""
    return _density(dof) * _power(angle, dof - 1)


def _power(angle: float, m: float) -> float:
    """The integral of cos(x)^m from 0 to `angle`."""
    if m < 4:  # by parts, to a power that is smooth at a right angle too
        edge = math.pow(math.cos(angle), m + 1) * math.sin(angle)
        return ((m + 2) * _power(angle, m + 2) - edge) / (m + 1)
    import numpy as np

    h = angle / _STEPS
    heights = np.cos(np.arange(1, _STEPS) * h) ** m
    inner = 4 * float(heights[::2].sum()) + 2 * float(heights[1::2].sum())
    return h / 3 * (1 + inner + math.pow(math.cos(angle), m))


def wilson(k: int, n: int) -> Interval | None:
    """Score interval of k right out of n (Wilson, JASA 22, 1927). None without examples."""
    if n < 1:
        return None
    centre = (k + Z**2 / 2) / (n + Z**2)
    half = Z * math.sqrt(k * (n - k) / n + Z**2 / 4) / (n + Z**2)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(0.0 if k == 0 else low, 1.0 if k == n else high)


def paired_difference(a: str, b: str) -> Difference | None:
    """Accuracy of b minus accuracy of a on the same examples, in order; '1' is a right answer.

    Adjusted Wald interval for matched pairs: half an observation is added to each of the four
    outcomes (Agresti & Min, Statistics in Medicine 24, 2005). The p value inverts the same
    interval. None if the examples are not the same number, or none.
    """
    n = len(a)
    if n != len(b) or n == 0:
        return None
    x, y = int(a, 2), int(b, 2)
    lost, won = (x & ~y).bit_count(), (y & ~x).bit_count()
    centre = (won - lost) / (n + 2)
    se = math.sqrt(won + lost + 1 - (won - lost) ** 2 / (n + 2)) / (n + 2)
    low, high = max(-1.0, centre - Z * se), min(1.0, centre + Z * se)
    p = 2 * NORMAL.cdf(-abs(centre) / se)
    return Difference((won - lost) / n, low, high, p)


def percentile(samples: Sequence[float], p: int) -> float | None:
    """The p-th percentile, p in NEEDED, or None where there are too few samples to state it."""
    if len(samples) < NEEDED[p]:
        return None
    return quantile(samples, p / 100)


def quantile(samples: Sequence[float], share: float) -> float:
    """The value that so large a share of the samples lies below, between two of them linearly."""
    ordered = sorted(samples)
    rank = (len(ordered) - 1) * share
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def ratio(log: float, se: float, dof: float) -> Ratio:
    """The ratio of that logarithm, with its 95 % interval by Student's t."""
    half = t_quantile(_UPPER, _rounded(dof)) * se
    return Ratio(math.exp(log), math.exp(log - half), math.exp(log + half), se, dof)


def _rounded(dof: float) -> float:
    """Three digits of it: quantiles of so many are remembered, and are off by 0.01 % at most."""
    return max(1.0, float(f"{dof:.3g}"))


def p_different(ratio: Ratio) -> float:
    """Two-sided p value of `the ratio is 1`."""
    return min(1.0, 2 * _p_above(abs(math.log(ratio.value)), ratio))


def p_same(ratio: Ratio, delta: float) -> float:
    """p value of `the ratio is outside 1/(1 + delta) .. 1 + delta`, by two one-sided tests.

    Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987. The margin is symmetric in
    the logarithm, so that swapping the sides cannot change the answer.
    """
    return _p_above(math.log1p(delta) - abs(math.log(ratio.value)), ratio)


def _p_above(log: float, ratio: Ratio) -> float:
    if ratio.se == 0:
        return 0.0 if log > 0 else 1.0
    return max(0.0, 1 - t_cdf(log / ratio.se, ratio.dof))


def minimum_detectable_effect(ratio: Ratio, claims: int = 1, least: float = 0.0) -> float:
    """The smallest change that a comparison as noisy as this one finds with 80 % power.

    0.05 means: a side that is truly 5 % slower is called so in four of five such comparisons
    (Bloom, Evaluation Review 19, 1995), where it is the only one of so many `claims` that is
    corrected for them (see `benjamini_hochberg`), and must look larger than `least` as well.
    """
    level = 1 - (1 - CONFIDENCE) / 2 / max(1, claims)
    dof = _rounded(ratio.dof)
    needed = max(t_quantile(level, dof) * ratio.se, math.log1p(least))
    return math.expm1(needed + t_quantile(POWER, dof) * ratio.se)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values: calling all below q real is wrong in at most a share q of the calls.

    Benjamini & Hochberg, J. Royal Statistical Society B 57, 1995.
    """
    adjusted, least = [1.0] * len(p), 1.0
    for rank, i in reversed(list(enumerate(sorted(range(len(p)), key=p.__getitem__), start=1))):
        least = min(least, p[i] * (len(p) / rank))
        adjusted[i] = least
    return adjusted
