"""What zeros brought: only time, compared with the same net without pruning, counts as speed."""

from __future__ import annotations

import dataclasses

import pytest

from paretomark.suites.records._row import Row
from paretomark.suites.records._sparsity import with_verdict
from paretomark.suites.records._stats import Ratio

PRUNED = Row(
    cell="c", model="m", recipe="pruned", steps="magnitude(sparsity=0.8)", status="ok",
    device="litert:xnnpack", valid_visits=3, visits=3, sparsity=0.8, artifact_bytes=1000,
)  # fmt: skip
WHOLE = Row(
    cell="d", model="m", recipe="fp32", status="ok", device="litert:xnnpack", valid_visits=3,
    visits=3, sparsity=0.0, artifact_bytes=1000,
)  # fmt: skip


def ratio(*factors: float) -> Ratio:
    return Ratio(factors[1], factors[0], factors[2], 0.02, 4)


FASTER, SAME = ratio(1.9, 2.0, 2.1), ratio(0.99, 1.0, 1.01)


def changed(row: Row, **fields: object) -> Row:
    return dataclasses.replace(row, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "twin", "times", "verdict"),
    [
        (PRUNED, WHOLE, FASTER, "faster"),
        (PRUNED, WHOLE, SAME, "no gain"),
        (changed(PRUNED, artifact_bytes=500), WHOLE, SAME, "size only"),
        (PRUNED, WHOLE, ratio(1.019, 1.02, 1.021), "no gain"),  # chance does that, among many cells
        (PRUNED, WHOLE, ratio(0.8, 2.0, 3.0), "no gain"),  # the interval reaches below 1
        (PRUNED, WHOLE, None, "not shown"),
        (PRUNED, None, None, "not shown"),
        (PRUNED, changed(WHOLE, valid_visits=0), FASTER, "not shown"),
        (changed(PRUNED, sparsity=0.01), WHOLE, FASTER, ""),  # nothing was pruned
        (PRUNED, changed(WHOLE, sparsity=0.8), FASTER, ""),  # nor more than there was
    ],
)
def test_the_verdict(row: Row, twin: Row | None, times: Ratio | None, verdict: str) -> None:
    assert with_verdict(row, twin, times, ()).zeros == verdict


def test_a_gain_is_told_with_its_interval() -> None:
    why = with_verdict(PRUNED, WHOLE, FASTER, ()).zeros_why
    assert why.startswith("2.00 times as fast [")
    assert why.endswith("] as fp32")


@pytest.mark.parametrize(
    ("device", "path", "features", "reason"),
    [
        ("onnxruntime:cpu", "", (), "its kernels multiply zeros too"),
        ("litert:reference", "", (), "without XNNPACK"),
        ("litert:xnnpack", "", ("neon",), 'storage = "sparse"'),
        ("litert:xnnpack", "sparse: all of it", ("avx2",), "nothing sparse on x86 with AVX"),
        ("litert:xnnpack", "dense: CONV_2D 3 is 5x5", ("neon",), "dense: CONV_2D 3 is 5x5"),
        ("tensorrt", "", (), "as fp32"),
    ],
)
def test_where_nothing_is_gained_the_reason_is_told(
    device: str, path: str, features: tuple[str, ...], reason: str
) -> None:
    row = changed(PRUNED, device=device, sparse_path=path)
    assert reason in with_verdict(row, WHOLE, SAME, features).zeros_why
