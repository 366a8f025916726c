"""The scores of one visit, one per example: what they are on average, and how they differ.

Of a classification they are a text of 0 and 1, wrong or right, and of other tasks numbers from 0
to 1. Examples are the unit of replication, as visits are of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from paretomark.suites.records import _stats
from paretomark.suites.records._stats import Difference, Interval

Scores = str | Sequence[float]


def mean(scores: Scores) -> float:
    """The share that is right, or the mean; there must be at least one."""
    return scores.count("1") / len(scores) if isinstance(scores, str) else fmean(scores)


def interval(scores: Scores) -> Interval | None:
    """Of the mean: Wilson's for shares, Student's t for numbers. None where there are too few."""
    if isinstance(scores, str):
        return _stats.wilson(scores.count("1"), len(scores))
    if len(scores) < 2:
        return None
    middle, half = fmean(scores), _half(scores)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def difference(a: Scores, b: Scores) -> Difference | None:
    """b minus a on the same examples, in order: Agresti and Min for shares, for numbers t.

    None if the examples are not as many, too few, or scored by different measures.
    """
    if isinstance(a, str) and isinstance(b, str):
        return _stats.paired_difference(a, b)
    if isinstance(a, str) or isinstance(b, str) or len(a) != len(b) or len(a) < 2:
        return None
    steps = [y - x for x, y in zip(a, b, strict=True)]
    value, half = fmean(steps), _half(steps)
    if half == 0:  # the same answers, or shifted by the same amount everywhere
        return Difference(value, value, value, 0.0 if value else 1.0)
    dof = len(steps) - 1
    t = abs(value) / math.sqrt(variance(steps) / len(steps))
    p = min(1.0, 2 * (1 - _stats.t_cdf(t, dof)))
    return Difference(value, max(-1.0, value - half), min(1.0, value + half), p)


def detectable(change: Difference) -> float:
    """Return the difference that is found with 80 % power where one is known as well as this."""
    return (change.high - change.low) / 2 * (1 + _stats.NORMAL.inv_cdf(_stats.POWER) / _stats.Z)


def _half(numbers: Sequence[float]) -> float:
    """The half width of the 95 % t interval of their mean."""
    return _stats.t_quantile(0.5 + _stats.CONFIDENCE / 2, len(numbers) - 1) * math.sqrt(
        variance(numbers) / len(numbers)
    )
