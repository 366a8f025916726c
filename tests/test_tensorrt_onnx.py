"""What TensorRT is given to read: the files of the ONNX exporter, and foreign ones like them.

The graphs are run by ONNX Runtime and by ONNX's reference, not by TensorRT.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from paretomark.devices.formats import _tensorrt_onnx
from paretomark.models.export import onnx as exporter
from paretomark.tests._tensorrt_fake import SHAPE, answer, pictures

pytestmark = pytest.mark.build

HALF = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


class Net(torch.nn.Module):
    """Two Relu, which ONNX Runtime both drops, and a pooling of what is never negative."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = torch.nn.Conv2d(1, 8, 3), torch.nn.Conv2d(8, 8, 1)
        self.pool, self.last = torch.nn.MaxPool2d(2), torch.nn.Linear(72, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.one(x))
        x = self.pool(torch.relu(self.two(x) + x))
        out: torch.Tensor = self.last(x.flatten(1))
        return out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The net in every precision, as the exporter writes it."""
    folder = tmp_path_factory.mktemp("files")
    found = {p: folder / f"{p}.onnx" for p in exporter.PRECISIONS}
    exporter.export(Net().eval(), torch.zeros(SHAPE), found["fp32"])
    for precision in exporter.PRECISIONS[1:]:
        exporter.quantize(found["fp32"], found[precision], precision, pictures(32))
    return found


@pytest.mark.parametrize("precision", HALF)
def test_a_file_marked_half_computes_in_it_from_end_to_end(
    files: dict[str, Path], precision: str
) -> None:
    graph, mark = _tensorrt_onnx.read(files[precision])
    proto = onnx.load_from_string(graph)
    onnx.checker.check_model(proto, full_check=True)
    assert mark == precision
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    inside = {v.type.tensor_type.elem_type for v in inferred.value_info}
    weights = {w.data_type for w in inferred.initializer} - {TensorProto.INT64}
    assert inside == weights == {HALF[precision]}
    ports = [*inferred.input, *inferred.output]
    assert {p.type.tensor_type.elem_type for p in ports} == {TensorProto.FLOAT}
    image = pictures(1)
    exact, (found,) = (
        answer(files["fp32"], image),
        ReferenceEvaluator(proto).run(None, {"input": image}),
    )
    error = np.abs(np.asarray(found) - exact).mean() / exact.std()
    assert 1e-5 < error < 0.03


def test_other_files_are_left_as_they_are(files: dict[str, Path]) -> None:
    for precision in ("fp32", "tf32"):
        graph, mark = _tensorrt_onnx.read(files[precision])
        assert graph == onnx.load(files[precision]).SerializeToString()
        assert mark == ("" if precision == "fp32" else "tf32")


def test_int8_is_symmetric_and_has_its_relu_again(files: dict[str, Path]) -> None:
    graph, mark = _tensorrt_onnx.read(files["int8"])
    proto = onnx.load_from_string(graph)
    onnx.checker.check_model(proto, full_check=True)
    kinds = {w.data_type for w in proto.graph.initializer}
    assert mark == ""
    assert not kinds & {TensorProto.UINT8, TensorProto.INT32}
    constants = {w.name: numpy_helper.to_array(w) for w in proto.graph.initializer}
    quantizers = [n for n in proto.graph.node if n.op_type.endswith("antizeLinear")]
    points = [constants[n.input[2]] for n in quantizers]
    assert len(points) >= 8
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    before = [n.op_type for n in onnx.load(files["int8"]).graph.node].count("Relu")
    after = [n.op_type for n in proto.graph.node].count("Relu")
    assert (before, after) == (0, 2)  # and none where nothing was dropped
    images = pictures(64)
    exact, stored, found = (answer(g, images) for g in (files["fp32"], files["int8"], graph))
    assert np.abs(found - exact).mean() < 3 * np.abs(stored - exact).mean() < 0.3 * exact.std()


def test_a_constant_with_zero_points_is_rounded_anew(tmp_path: Path) -> None:
    """Per channel as well; real numbers stay what they were, but for half a step."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (3, 50), np.uint8)
    scale, zero = np.array([0.1, 0.5, 2.0], np.float32), np.array([0, 100, 255], np.uint8)
    constants = [
        numpy_helper.from_array(array, name)
        for name, array in (("w", values), ("scale", scale), ("zero", zero))
    ]
    node = helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["output"], axis=0)
    port = helper.make_tensor_value_info("output", TensorProto.FLOAT, values.shape)
    graph = helper.make_graph([node], "g", [], [port], constants)
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    proto = onnx.load_from_string(_tensorrt_onnx.read(tmp_path / "model.onnx")[0])
    (found,) = ReferenceEvaluator(proto).run(None, {})
    real = (values.astype(np.float32) - zero[:, None]) * scale[:, None]
    largest = scale * np.maximum(zero, 255 - zero.astype(int))
    assert (np.abs(np.asarray(found) - real) <= 0.501 * largest[:, None] / 127).all()
    kinds = {w.data_type for w in proto.graph.initializer}
    assert kinds == {TensorProto.INT8, TensorProto.FLOAT}


def test_symmetric_int8_is_left_as_it_is(tmp_path: Path) -> None:
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["output"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (4,)) for n in ("input", "output")]
    model = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], constants))
    onnx.save(model, tmp_path / "model.onnx")
    assert _tensorrt_onnx.read(tmp_path / "model.onnx")[0] == model.SerializeToString()
