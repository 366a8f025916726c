"""Real pictures and trained weights: what is measured must be what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paretomark import bench
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row
from paretomark.suites.spec import _suite

pytestmark = pytest.mark.build

# Top-1 in percent, measured by independent code on the same files.
KNOWN = {
    "mobilenet_v1_0_25": 58.4,
    "squeezenet1_0": 56.9,
    "resnet20_cifar": 91.5,
    "mobilenet_v1_0_25_128_quant": 47.6,
    "mobilenet_v1_0_5_160_quant": 68.3,
    "mobilenet_v2_1_0_224_quant": 85.6,
    "mlperf_tiny_resnet8": 88.1,
    "mlperf_tiny_resnet8_int8": 87.8,
}


@pytest.fixture(scope="module")
def rows(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The rows of the suite `real`, shortened: one block, and no fine-tuning."""
    folder = tmp_path_factory.mktemp("real")
    text = _suite.text(_suite.locate("real"))
    text = text.replace("blocks = 3", "blocks = 1").replace("seconds = 0.4", "seconds = 0.02")
    (folder / "real.toml").write_text(text)
    recipes = [f"--recipe={name}" for name in ("fp32", "int8", "as-is", "pruned50")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETOMARK_DATA", str(real_data))
        arguments = ["run", str(folder / "real.toml"), *recipes, "--out", str(folder / "out")]
        assert bench.main([*arguments, "--json"]) == 0
    return list(_summary.summarise(_store.read(folder / "out")).rows)


@pytest.mark.parametrize("model", KNOWN)
def test_accuracy_is_what_is_known(rows: list[Row], model: str) -> None:
    measured = {
        r.device: r.accuracy
        for r in rows
        if r.model == model and r.recipe in ("fp32", "as-is") and r.status == "ok"
    }
    floats = ("mobilenet_v1_0_25", "squeezenet1_0", "resnet20_cifar")
    assert len(measured) == (3 if model in floats else 1)
    for device, accuracy in measured.items():
        assert accuracy is not None
        assert abs(100 * accuracy - KNOWN[model]) <= 0.6, device


def test_int8_costs_a_residual_net_little_on_both_runtimes(rows: list[Row]) -> None:
    deltas = {
        r.device: r.delta
        for r in rows
        if r.model == "resnet20_cifar" and r.recipe == "int8" and r.status == "ok"
    }
    assert deltas.keys() == {"litert:xnnpack", "onnxruntime:cpu"}
    assert all(delta is not None and delta >= -0.01 for delta in deltas.values())


def test_what_int8_costs_a_mobilenet_is_shown_with_its_interval(rows: list[Row]) -> None:
    int8 = [r for r in rows if r.model == "mobilenet_v1_0_25" and r.recipe == "int8"]
    measured = [r for r in int8 if r.status == "ok"]
    assert {r.device for r in measured} == {"litert:xnnpack", "onnxruntime:cpu"}
    for row in measured:
        assert row.delta is not None
        assert row.delta_low is not None
        assert row.delta_high is not None
        assert row.delta_low < row.delta < row.delta_high
        assert row.delta < 0
        assert row.parity_top1 is not None
        assert row.parity_top1 < 0.95


def test_a_deep_compressed_net_is_seen_to_be_sparse(rows: list[Row]) -> None:
    row = next(r for r in rows if r.model == "squeezenet1_0" and r.recipe == "fp32")
    assert row.parameters == 1_248_424
    assert row.nonzeros is not None
    assert row.nonzeros / row.parameters == pytest.approx(0.334, abs=0.003)


def test_pruning_by_layer_shows_in_the_zeros(rows: list[Row]) -> None:
    pruned = [r for r in rows if r.recipe == "pruned50" and r.model == "resnet20_cifar"]
    assert len(pruned) == 3
    for row in pruned:
        assert row.sparsity == pytest.approx(0.5, abs=0.01)
