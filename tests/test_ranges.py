"""Ranges of activations: each method against what a search by brute force finds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paretomark.models.export import _ranges
from paretomark.suites.spec._errors import UserError

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
TENSORS = {
    "relu": np.maximum(RNG.laplace(0, 1, 50_000), 0),
    "signed": RNG.laplace(0.3, 2, 50_000),
    "outlier": np.append(RNG.normal(0, 1, 50_000), 60),
    "small": RNG.normal(0, 1e-6, 50_000),
}
Values = NDArray[np.float32]
TENSORS = {name: values.astype(np.float32) for name, values in TENSORS.items()}
CASES = [(name, symmetric) for name in TENSORS for symmetric in (False, True)]


def ends(method: str, symmetric: bool, *batches: Values) -> tuple[float, float]:
    seen = _ranges.Range(method, symmetric)
    for batch in batches:
        seen.add(batch)
    return seen.ends()


def error(values: Values, low: float, high: float) -> float:
    """The mean square of what 256 levels do to the values."""
    step = (high - low) / 255
    zero = round(-low / step)
    return float(
        np.mean((values - (np.clip(np.rint(values / step), -zero, 255 - zero) * step)) ** 2)
    )


@pytest.mark.parametrize(("name", "symmetric"), CASES)
def test_the_percentile_leaves_out_one_in_ten_thousand_at_each_end(
    name: str, symmetric: bool
) -> None:
    values = TENSORS[name]
    low, high = ends("percentile", symmetric, values)
    bin_width = 2 * float(np.abs(values).max()) / 4096
    if symmetric:
        expected = float(np.quantile(np.abs(values), 1 - 1e-4))
        assert -low == high == pytest.approx(expected, abs=bin_width)
    else:
        assert low == pytest.approx(float(np.quantile(values, 1e-4)), abs=bin_width)
        assert high == pytest.approx(float(np.quantile(values, 1 - 1e-4)), abs=bin_width)
    assert name != "outlier" or high < 10


@pytest.mark.parametrize(("name", "symmetric"), CASES)
def test_no_range_on_a_fine_grid_has_a_much_smaller_error(name: str, symmetric: bool) -> None:
    values = TENSORS[name]
    chosen = ends("mse", symmetric, values)
    largest = float(np.abs(values).max())
    lows = np.linspace(min(float(values.min()), 0), 0, 25)[:-1] if values.min() < 0 else [0.0]
    highs = np.linspace(0, float(values.max()), 100)[1:]
    pairs = [(-h, h) for h in np.linspace(0, largest, 400)[1:]] if symmetric else [
        (low, high) for low in lows for high in highs
    ]  # fmt: skip
    best = min(error(values, float(low), float(high)) for low, high in pairs)
    assert error(values, *chosen) <= 1.1 * best
    assert error(values, *chosen) <= 1.001 * error(values, *ends("minmax", symmetric, values))


@pytest.mark.parametrize("name", ["relu", "outlier", "small"])
def test_entropy_takes_the_range_that_diverges_least(name: str) -> None:
    """The same definition, loop by loop, on bins counted at once."""
    values = np.abs(TENSORS[name])
    values = values[values != 0]
    largest = float(values.max())
    width = 2.0 ** math.frexp(largest)[1] / 4096
    counts = np.histogram(values, 4096, (0, 4096 * width))[0].astype(float)
    divergences = {}
    for step in range(64, 0, -1):
        high = step / 64 * largest
        if high >= 128 * width:
            divergences[high] = divergence(counts, math.floor(high / width) + 1)
    best = min(divergences, key=lambda high: divergences[high])
    low, high = ends("entropy", True, TENSORS[name])
    assert -low == high
    assert high == pytest.approx(best)
    assert best < largest


def divergence(counts: NDArray[Any], size: int) -> float:
    true = counts[:size].copy()
    true[-1] += counts[size:].sum()
    kept = np.zeros(size)
    for level in range(128):
        inside = [i for i in range(size) if i * 128 // size == level]
        hit = [i for i in inside if true[i] > 0]
        for i in hit:
            kept[i] = max(sum(counts[j] for j in inside) / len(hit), 1)
    p, q = true / true.sum(), kept / kept.sum()
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def test_entropy_keeps_all_of_values_that_lie_on_a_few_levels() -> None:
    """Zeros do not count: they are exact in any range, and ReLU makes them a peak."""
    values = (RNG.integers(0, 17, 5_000) / 16).astype(np.float32)
    assert ends("entropy", False, values) == (0, 1)
    assert ends("entropy", True, values) == (-1, 1)
    padded = np.append(TENSORS["relu"], np.zeros(10**6, np.float32))
    assert ends("entropy", False, padded) == ends("entropy", False, TENSORS["relu"])


@pytest.mark.parametrize("method", _ranges.METHODS)
def test_the_order_of_pictures_and_their_batches_do_not_count(method: str) -> None:
    quiet, loud = TENSORS["small"], TENSORS["outlier"]
    nothing = np.zeros(9, np.float32)
    together = ends(method, False, nothing, quiet, loud)
    assert together == ends(method, False, loud, quiet, nothing)
    assert together == ends(method, False, np.concatenate([quiet, loud, nothing]))
    assert ends(method, True, nothing) == (0, 0)


def test_every_range_holds_zero_and_symmetric_ones_are_centred() -> None:
    above = TENSORS["relu"] + np.float32(3)
    for method in _ranges.METHODS:
        for values in (above, -above):
            low, high = ends(method, False, values)
            assert low <= 0 <= high
            assert low < high
        low, high = ends(method, True, above)
        assert -low == high > 0
    assert ends("minmax", False, above) == (0, float(above.max()))


def test_an_overflow_in_calibration_is_an_error() -> None:
    for bad in (np.inf, np.nan):
        with pytest.raises(UserError, match="not finite"):
            ends("mse", False, np.array([1, bad], np.float32))
