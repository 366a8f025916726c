"""Which part of its values a quantized tensor keeps, by what calibration pictures make of it.

minmax       all of them
percentile   all but a share of `TAIL` at each end
mse          the range whose 256 levels are nearest to the values in the mean square, the ends taken
             from `STEPS` fractions of the smallest and the largest value
entropy      the range in which the values, put on levels, diverge least from what they were
             (Kullback-Leibler), as in Migacz, "8-bit inference with TensorRT", GTC 2017

Every range holds 0, which padding and ReLU need exact. A symmetric one is as far from 0 on either
side. Values that lie outside are clipped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[Any]

Ends = tuple[float, float]
METHODS = ("minmax", "percentile", "mse", "entropy")
TAIL = 1e-4
STEPS = 64
LEVELS = 256
_BINS = 4096  # on each side of 0, of which at least half are in reach of the largest value
_SMALLEST = -100  # whose bins float32 can still tell apart


class Range:
    """The range of a tensor, by the values that `add` is shown.

    They are counted in bins as wide as a power of two, with an edge at 0. When a value does not
    fit, bins double their width by adding up pairs: so the order of the pictures does not count.
    """

    def __init__(self, method: str, symmetric: bool) -> None:
        self._method, self._symmetric = method, symmetric
        self._low = self._high = 0.0
        self._exponent = _SMALLEST  # 2 to this is more than the largest value
        self._counts: Counts = np.zeros(2 * _BINS)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in the values of one batch. Raises UserError if one is not finite."""
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            raise UserError("a tensor is not finite on the calibration pictures: look for overflow")
        self._low, self._high = min(self._low, low), max(self._high, high)
        if self._method == "minmax":
            return
        if self._method == "entropy":
            values = values[values != 0]  # exact on any levels, and a peak that hides all else
        largest = max(-low, high)
        exponent = max(self._exponent, math.frexp(largest)[1] if largest else _SMALLEST)
        wider = (np.arange(2 * _BINS) - _BINS) >> min(exponent - self._exponent, 63)
        counts = np.bincount(wider + _BINS, self._counts, 2 * _BINS)
        self._exponent = exponent
        bins = np.floor(values.ravel() / self._width).astype(np.int64)
        self._counts = counts + np.bincount(bins + _BINS, minlength=2 * _BINS)

    def ends(self) -> Ends:
        """Return what is kept: from where to where."""
        largest = max(-self._low, self._high)
        if self._method == "minmax" or not largest:
            return (-largest, largest) if self._symmetric else (self._low, self._high)
        search = _SEARCH[self._method]
        if not self._symmetric:
            return search(self._counts, self._width, self._low, self._high, LEVELS)
        counts = np.concatenate([np.zeros(_BINS), self._counts[_BINS:]])
        counts[_BINS:] += self._counts[:_BINS][::-1]
        _, high = search(counts, self._width, 0.0, largest, LEVELS // 2)
        return -high, high

    @property
    def _width(self) -> float:
        return math.ldexp(1 / _BINS, self._exponent)


def estimate(
    batches: Iterable[Mapping[str, NDArray[Any]]], method: str, symmetric: bool
) -> dict[str, Ends]:
    """Return the range of every tensor, by its name; batches give the tensors' values."""
    by_tensor: dict[str, Range] = {}
    for batch in batches:
        for name, values in batch.items():
            by_tensor.setdefault(name, Range(method, symmetric)).add(values)
    return {name: seen.ends() for name, seen in by_tensor.items()}


def _percentile(counts: Counts, width: float, low: float, high: float, _: int) -> Ends:
    below, tail = np.cumsum(counts), TAIL * counts.sum()
    first = np.searchsorted(below, tail, "right")
    last = np.searchsorted(below, below[-1] - tail)
    low = max(low, float(first - _BINS) * width)
    return min(low, 0.0), max(min(high, float(last + 1 - _BINS) * width), 0.0)


def _mse(counts: Counts, width: float, low: float, high: float, levels: int) -> Ends:
    used = np.flatnonzero(counts)
    values, counts = (used - _BINS + 0.5) * width, counts[used]

    def error(ends: Ends) -> float:
        step = (ends[1] - ends[0]) / (levels - 1)
        zero = round(-ends[0] / step)
        kept = np.clip(np.rint(values / step), -zero, levels - 1 - zero) * step
        return float(counts @ (values - kept) ** 2)

    fractions = np.arange(STEPS, 0, -1) / STEPS
    lows, highs = (np.unique(end * fractions) for end in (low, high))
    return min(((float(a), float(b)) for a, b in itertools.product(lows, highs)), key=error)


def _entropy(counts: Counts, width: float, low: float, high: float, levels: int) -> Ends:
    def divergence(ends: Ends) -> float:
        first = _BINS + math.floor(ends[0] / width)
        last = _BINS + math.floor(ends[1] / width) + 1
        inside, true = counts[first:last], counts[first:last].copy()
        true[0] += counts[:first].sum()
        true[-1] += counts[last:].sum()
        level = np.arange(len(inside)) * levels // len(inside)
        hit = true > 0
        share = np.bincount(level, inside) / np.maximum(np.bincount(level, hit), 1)
        # Where clipping alone puts values, one counts as seen, or nothing could be clipped.
        kept = np.maximum(share[level][hit], 1)
        p, q = true[hit] / true.sum(), kept / kept.sum()
        return float(p @ np.log(p / q))

    fractions = np.arange(STEPS, 0, -1) / STEPS
    wide = [f for f in fractions if f * (high - low) >= levels * width] or [1.0]
    return min(((float(f * low), float(f * high)) for f in wide), key=divergence)


_SEARCH: Mapping[str, Callable[[Counts, float, float, float, int], Ends]] = {
    "percentile": _percentile, "mse": _mse, "entropy": _entropy,
}  # fmt: skip
