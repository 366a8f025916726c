"""The statistics, against closed forms, published constants, brute force and simulation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomark.suites.records import _stats


# computed with scipy 1.17 (scipy.stats.t.ppf)
@pytest.mark.parametrize(
    ("p", "dof", "t"),
    [
        (0.975, 1, 12.706204736),
        (0.975, 2, 4.30265273),
        (0.975, 2.5, 3.574654842),
        (0.975, 10, 2.228138852),
        (0.975, 30, 2.042272456),
        (0.8, 7.3, 0.893671357),
        (0.995, 1.4, 21.224762465),
    ],
)
def test_t_quantile_constants(p: float, dof: float, t: float) -> None:
    assert _stats.t_quantile(p, dof) == pytest.approx(t, rel=1e-6)
    assert _stats.t_quantile(1 - p, dof) == pytest.approx(-t, rel=1e-6)


@given(st.floats(-50, 50))
@settings(deadline=None)
def test_t_cdf_closed_forms(t: float) -> None:
    assert _stats.t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-9)
    assert _stats.t_cdf(t, 2) == pytest.approx(0.5 + t / 2 / math.sqrt(2 + t * t), abs=1e-9)


@given(st.floats(0.001, 0.999), st.floats(1, 200))
@settings(deadline=None)
def test_t_quantile_inverts_t_cdf(p: float, dof: float) -> None:
    assert _stats.t_cdf(_stats.t_quantile(p, dof), dof) == pytest.approx(p, abs=1e-7)


# computed with scipy 1.17 (binomtest(k, n).proportion_ci(method="wilson"))
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (8, 10, 0.4901624715, 0.9433178486),
        (0, 10, 0.0, 0.2775327999),
        (10, 10, 0.7224672001, 1.0),
        (943, 1000, 0.9268629323, 0.9557465596),
    ],
)
def test_wilson_constants(k: int, n: int, low: float, high: float) -> None:
    assert _stats.wilson(k, n) == pytest.approx((low, high), abs=1e-9)


def test_wilson_covers() -> None:
    """Exact coverage, summed over the binomial distribution, averaged over p."""
    n, covered = 40, []
    for p in np.linspace(0.05, 0.95, 91):
        inside = 0.0
        for k in range(n + 1):
            found = _stats.wilson(k, n)
            assert found
            if found.low <= p <= found.high:
                inside += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        covered.append(inside)
    assert 0.94 < np.mean(covered) < 0.965
    assert min(covered) > 0.91
    assert _stats.wilson(0, 0) is None


def test_paired_difference_by_hand() -> None:
    # 10 lost, 2 won of 100: (2.5 - 10.5) / 102, se = sqrt(13 - 64 / 102) / 102
    a, b = "1" * 90 + "0" * 10, "1" * 80 + "0" * 10 + "11" + "0" * 8
    found = _stats.paired_difference(a, b)
    assert found
    assert found.value == pytest.approx(-0.08)
    se = math.sqrt(13 - 64 / 102) / 102
    assert found.low == pytest.approx(-8 / 102 - 1.959964 * se, abs=1e-6)
    assert found.high == pytest.approx(-8 / 102 + 1.959964 * se, abs=1e-6)
    assert found.p == pytest.approx(2 * 0.5 * math.erfc(8 / 102 / se / math.sqrt(2)))


@pytest.mark.parametrize(("a", "b"), [("", ""), ("11", "1"), ("", "1")])
def test_paired_difference_needs_the_same_examples(a: str, b: str) -> None:
    assert _stats.paired_difference(a, b) is None


@given(st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=1))
@settings(deadline=None)
def test_paired_difference_is_antisymmetric(pairs: list[tuple[str, str]]) -> None:
    a, b = ("".join(side) for side in zip(*pairs, strict=True))
    there, back = _stats.paired_difference(a, b), _stats.paired_difference(b, a)
    assert there
    assert back
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert back[:3] == pytest.approx((-there.value, -there.high, -there.low))
    assert back.p == pytest.approx(there.p)
    if a == b:
        assert there.value == 0
        assert there.p == 1


def test_paired_difference_covers() -> None:
    rng, covered = np.random.default_rng(1), 0
    for _ in range(1000):
        both = rng.random(150)
        a = "".join("01"[int(x)] for x in both < 0.8)
        b = "".join("01"[int(x)] for x in both + rng.normal(0, 0.05, 150) < 0.75)
        found = _stats.paired_difference(a, b)
        assert found
        covered += found.low <= -0.05 <= found.high
    assert 0.93 < covered / 1000 < 0.975


@pytest.mark.parametrize(("p", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_percentile_needs_samples(p: int, needed: int) -> None:
    samples = list(np.random.default_rng(0).exponential(size=needed))
    assert _stats.percentile(samples[1:], p) is None
    assert _stats.percentile(samples, p) == pytest.approx(np.percentile(samples, p))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.5, 0.9, 1.0])
def test_quantiles_are_those_of_numpy(share: float) -> None:
    samples = list(np.random.default_rng(1).exponential(size=37))
    assert _stats.quantile(samples, share) == pytest.approx(np.quantile(samples, share))
    assert _stats.quantile([7.0], share) == 7.0


def test_a_ratio_has_the_interval_of_students_t() -> None:
    found = _stats.ratio(math.log(1.1), 0.01, 5)
    half = 0.01 * 2.570581836  # scipy.stats.t.ppf(0.975, 5)
    ends = math.log(1.1) - half, math.log(1.1) + half
    assert (math.log(found.low), math.log(found.high)) == pytest.approx(ends)
    assert found.value == pytest.approx(1.1)


def test_minimum_detectable_effect_is_found_in_four_of_five() -> None:
    """Comparisons with a true effect of the stated size: 80 % are significant."""
    rng, n, noise = np.random.default_rng(4), 8, 0.03
    known = _stats.Ratio(1, 1, 1, noise * math.sqrt(2 / n), 2 * n - 2)
    effect = math.log1p(_stats.minimum_detectable_effect(known))
    found = 0
    for _ in range(1500):
        a, b = rng.normal(0, noise, n), rng.normal(effect, noise, n)
        error = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
        value = math.exp(b.mean() - a.mean())
        found += _stats.p_different(_stats.Ratio(value, 1, 1, error, 2 * n - 2)) < 0.05
    assert 0.77 < found / 1500 < 0.84


def test_what_is_detectable_is_more_among_many_claims_and_above_a_least() -> None:
    ratio = _stats.Ratio(1, 1, 1, 0.005, 10)
    alone = _stats.minimum_detectable_effect(ratio)
    assert alone < _stats.minimum_detectable_effect(ratio, claims=34)
    assert _stats.minimum_detectable_effect(ratio, least=0.05) > 0.05


def test_benjamini_hochberg_constants() -> None:
    # scipy.stats.false_discovery_control
    adjusted = _stats.benjamini_hochberg([0.01, 0.02, 0.03, 0.5, 0.04])
    assert adjusted == pytest.approx([0.05, 0.05, 0.05, 0.5, 0.05])
    assert _stats.benjamini_hochberg([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
@settings(deadline=None)
def test_benjamini_hochberg_keeps_order(p: list[float]) -> None:
    adjusted = _stats.benjamini_hochberg(p)
    assert all(raw <= q <= 1 for raw, q in zip(p, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(p, adjusted, strict=True))]
    assert all(x <= y for x, y in pairwise(ranked))


def test_benjamini_hochberg_controls_false_discoveries() -> None:
    rng, shares = np.random.default_rng(5), []
    for _ in range(400):
        p = np.concatenate([rng.random(40), rng.random(10) * 1e-4])
        called = np.array(_stats.benjamini_hochberg([float(x) for x in p])) <= 0.05
        shares.append(called[:40].sum() / max(1, called.sum()))
    assert np.mean(shares) < 0.05
