"""A file that the user brings, on runtimes that load its format, and on those that do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from paretomark import bench
from paretomark.models.export import onnx, pt2, tflite, xml
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SUITE = """
devices = ["openvino:cpu", "onnxruntime:cpu", "litert:xnnpack", "fake:ok"]
blocks = 1
seconds = 0.02
foreign_load_cores = 99.0
[model.float]
net = "file:net.onnx"
data = "npz:coloured.npz"
preprocess = { size = [16, 16] }
[model.integer]
net = "file:int8.onnx"
data = "npz:coloured.npz"
preprocess = { size = [16, 16] }
[model.ir]
net = "file:net.xml"
data = "npz:coloured.npz"
preprocess = { size = [16, 16] }
[model.flat]
net = "file:net.tflite"
data = "npz:coloured.npz"
preprocess = { size = [16, 16] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that tells red from blue, in several formats, and pictures of these colours."""
    place = tmp_path_factory.mktemp("loads")
    rng = np.random.default_rng(0)
    classes = np.arange(40) % 2
    pixels = (
        rng.integers(0, 60, (40, 16, 16, 3))
        + 180 * np.eye(3, dtype=int)[2 * classes][:, None, None]
    )
    np.savez(place / "coloured.npz", x_test=pixels.astype(np.uint8), y_test=classes)
    layer = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, -1], [-1, 0, 1]]).reshape(2, 3, 1, 1))
    net = nn.Sequential(layer, nn.ReLU(), nn.AvgPool2d(16), nn.Flatten()).eval()
    sample = torch.rand(1, 3, 16, 16)
    for form, exporter in (("onnx", onnx), ("xml", xml), ("tflite", tflite), ("pt2", pt2)):
        exporter.export(net, sample, place / f"net.{form}")
    calibration = (pixels / 255).transpose(0, 3, 1, 2).astype(np.float32)
    onnx.quantize(place / "net.onnx", place / "int8.onnx", "int8", calibration)
    return place


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[tuple[str, str], Row]:
    (folder / "s.toml").write_text(SUITE)
    assert bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"]) == 0
    summary = _summary.summarise(_store.read(folder / "out"))
    return {(row.model, row.device.partition(":")[0]): row for row in summary.rows}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        ("float", "openvino"),
        ("float", "onnxruntime"),
        ("integer", "openvino"),
        ("integer", "onnxruntime"),
        ("ir", "openvino"),
        ("flat", "litert"),
    ],
)
def test_every_runtime_that_loads_the_format_answers_right(
    rows: dict[tuple[str, str], Row], model: str, runtime: str
) -> None:
    row = rows[model, runtime]
    assert (row.status, row.accuracy) == ("ok", 1.0), row.reason


def test_one_file_is_one_thing_on_every_runtime(rows: dict[tuple[str, str], Row]) -> None:
    """Its times on them compare."""
    assert rows["float", "openvino"].identity == rows["float", "onnxruntime"].identity
    assert rows["float", "openvino"].identity != rows["integer", "openvino"].identity


@pytest.mark.parametrize(
    ("model", "runtime", "reason"),
    [
        ("flat", "openvino", "openvino:cpu loads .xml and .onnx, not .tflite"),
        ("flat", "onnxruntime", "onnxruntime:cpu loads .onnx, not .tflite"),
        ("ir", "onnxruntime", "onnxruntime:cpu loads .onnx, not .xml"),
        ("float", "litert", "litert:xnnpack loads .tflite, not .onnx"),
        ("integer", "fake", "fake:ok loads .npz, not .onnx"),
    ],
)
def test_a_runtime_that_does_not_is_a_row_that_says_so(
    rows: dict[tuple[str, str], Row], model: str, runtime: str, reason: str
) -> None:
    row = rows[model, runtime]
    assert (row.status, row.stage, row.reason) == ("unsupported", "plan", reason)
    assert len(rows) == 16


def test_a_profile_takes_what_a_run_takes(
    folder: Path, tmp_path: Path, call: Callable[..., Called]
) -> None:
    file = f"file:{folder / 'net.onnx'}"
    command = ("profile", file, "--runs", "3", "--out", tmp_path / "p")
    assert call(*command, "--device", "openvino:cpu").code == 0
    called = call(*command, "--device", "litert:xnnpack")
    assert called.code == bench.USER_ERROR
    assert "litert:xnnpack loads .tflite files, not" in called.err
    assert "onnxruntime:cpu, " in called.err
    assert "openvino:cpu" in called.err


def test_it_is_an_error_if_what_loads_it_is_not_here(
    folder: Path, tmp_path: Path, call: Callable[..., Called]
) -> None:
    """Others of the suite that are here would leave nothing but rows of excuses."""
    shutil.copy(folder / "coloured.npz", tmp_path)
    shutil.copy(folder / "net.onnx", tmp_path)
    text = SUITE[: SUITE.index("[model.integer]")]
    devices = '["tensorrt", "litert:xnnpack"]'
    (tmp_path / "s.toml").write_text(f"devices = {devices}\n{text.partition(']')[2]}")
    called = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert called.code == bench.USER_ERROR
    assert "no device is available: tensorrt: " in called.err
    assert "litert" not in called.err
    assert not (tmp_path / "out").exists()
