"""Zeros are counted in the file that a device loads, not only in the net that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretomark.models.build import _float_net
from paretomark.models.compress import _budgets, _step
from paretomark.models.data import _data
from paretomark.models.export import _export, _zeros
from paretomark.models.nets import digits_cnn, digits_mlp
from paretomark.models.nets._zoo import weights

torch = pytest.importorskip("torch")
for package in ("onnxruntime", "openvino", "ai_edge_quantizer", "torchao", "coremltools"):
    pytest.importorskip(package)
# The tool chains warn of each other's versions.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)
FORMS = ("onnx", "tflite", "xml", "pt2", "mlpackage")


def pruned(module: Any, name: str) -> Any:
    """The net with 70 % zeros, but in its first convolution and depthwise ones."""
    from safetensors.torch import load_file
    from torch.fx.experimental.optimization import fuse

    net = module.net().eval()
    net.load_state_dict(load_file(weights(name)))
    step = {"method": "magnitude", "sparsity": 0.7}
    return fuse(_step.apply(net, step, CTX).eval())


def expected(net: Any) -> tuple[int, int]:
    layers = _budgets.prunable(net, first=True, depthwise=True).values()
    return _zeros.counted(layer.weight.detach().numpy() for layer in layers)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pruned net in float32, by format."""
    built = {}
    for form in FORMS:
        built[form] = tmp_path_factory.mktemp("zeros") / f"model.{form}"
        sample = torch.zeros(1, 1, 8, 8)
        _export.module(form).export(pruned(digits_cnn, "digits_cnn"), sample, built[form])
    return built


@pytest.mark.parametrize("form", FORMS)
def test_a_float_file_holds_the_zeros_of_the_net(files: dict[str, Path], form: str) -> None:
    total, zeros = expected(pruned(digits_cnn, "digits_cnn"))
    assert zeros > 0.5 * total
    assert _export.module(form).zeros(files[form]) == (total, zeros)


@pytest.mark.parametrize(
    ("form", "precision"),
    [(f, p) for f in FORMS for p in _export.module(f).PRECISIONS if p not in ("fp32", "tf32")],
)
def test_no_quantizer_loses_them(
    files: dict[str, Path], form: str, precision: str, tmp_path: Path
) -> None:
    images = _data.load("digits", "calibration", 16, digits_cnn.PREPROCESS).images
    ready = np.ascontiguousarray(np.moveaxis(_data.normalise(digits_cnn.PREPROCESS, images), -1, 1))
    out = tmp_path / f"model.{form}"
    _export.module(form).quantize(files[form], out, precision, ready)
    total, zeros = _export.module(form).zeros(files[form])
    held, found = _export.module(form).zeros(out)
    assert held == total
    rounded = 0.35 if "4" in precision else 0.1  # of small weights; four bits round many
    assert zeros <= found <= zeros + rounded * total


@pytest.mark.parametrize(
    ("form", "precision", "bits"),
    [
        *((form, "int8", 8) for form in ("onnx", "tflite", "xml", "pt2")),
        *((form, "int8-weights", 8) for form in ("onnx", "tflite", "xml")),
        ("onnx", "int8-dynamic", 8),
        ("onnx", "int4-weights", 4),
        ("tflite", "int8-dynamic", 8),
        ("tflite", "int4-weights", 4),
    ],
)
def test_integer_files_are_encoded_as_the_integers_that_they_hold(
    files: dict[str, Path], form: str, precision: str, bits: int, tmp_path: Path
) -> None:
    exporter = _export.module(form)
    images = _data.load("digits", "calibration", 16, digits_cnn.PREPROCESS).images
    ready = np.ascontiguousarray(np.moveaxis(_data.normalise(digits_cnn.PREPROCESS, images), -1, 1))
    exporter.quantize(files[form], out := tmp_path / f"model.{form}", precision, ready)
    total, zeros = exporter.zeros(files[form])
    arrays = exporter.weights(out)
    integers = [a for a in arrays.values() if a.ndim > 1 and a.dtype.itemsize == 1]
    assert sum(a.size for a in integers) >= total * bits / 8
    whole = _float_net.encoded(exporter.weights(files[form]))
    assert _float_net.encoded(arrays) < whole - (total - zeros) * 2
    assert _float_net.encoded(arrays) < 1.1 * sum(a.nbytes for a in arrays.values())


def test_zeros_that_are_left_out_of_a_file_count(files: dict[str, Path], tmp_path: Path) -> None:
    tflite = _export.module("tflite")
    tflite.sparsify(files["tflite"], tmp_path / "sparse.tflite")
    assert (tmp_path / "sparse.tflite").stat().st_size < files["tflite"].stat().st_size
    assert tflite.zeros(tmp_path / "sparse.tflite") == tflite.zeros(files["tflite"])


def test_the_fake_devices_format_counts_too(tmp_path: Path) -> None:
    net = pruned(digits_mlp, "digits_mlp")
    _export.module("npz").export(net, torch.zeros(1, 1, 8, 8), tmp_path / "model.npz")
    assert _export.module("npz").zeros(tmp_path / "model.npz") == expected(net)


def test_biases_and_scales_are_no_weights() -> None:
    bias, scale, weight = np.zeros(8), np.zeros((8, 1, 1, 1)), np.eye(4)
    assert _zeros.counted([bias, scale, weight]) == (16, 12)
