"""What the compiler of the Edge TPU maps and what it leaves, and what that does to a prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from paretomark.devices import _edgetpu_model, _edgetpu_time
from paretomark.devices.formats import _edgetpu_file, _tflite
from paretomark.devices.formats._edgetpu_mapping import AFTER, mapped, why_not
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor
from paretomark.models.export import _tflite_model
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _edgetpu_published
from paretomark.tests._tflite_nets import Net

PICTURE = (1, 16, 16, 8)


def test_the_model_leaves_what_the_compiler_left(real_data: Path) -> None:
    """Operator by operator, in all pairs of files that are there."""
    compiled = sorted(real_data.glob("*/*_edgetpu.tflite"))
    assert compiled
    for after in compiled:
        before = _edgetpu_model.read(after.with_name(after.name.replace("_edgetpu", "")))
        (left,) = _tflite.read(after)
        on_cpu = [o for o in left.operators if o.name != _edgetpu_file.CUSTOM_OP]
        predicted = [before.operators[index] for index in sorted(mapped(before).left)]
        assert list(map(likeness, predicted)) == list(map(likeness, on_cpu)), after.name


def likeness(operator: Operator) -> tuple[Any, ...]:
    tensors = (*operator.inputs, *operator.outputs)
    return operator.name, [(t.type, t.shape, t.constant) for t in tensors]


def test_the_time_on_the_cpu_enters_the_prediction(tmp_path: Path) -> None:
    """A net with a resize that is left, against one with a resize that is mapped."""
    left = whole(Net(32).conv(64, 3).resize(96).conv(64, 3).conv(64, 3), tmp_path / "left.tflite")
    kept = whole(Net(48).conv(64, 3).resize(96).conv(64, 3).conv(64, 3), tmp_path / "kept.tflite")
    assert not mapped(kept).left
    assert mapped(left).left == {
        1: "resizes 32 x 32 to 96 x 96, further than was seen mapped",
        2: AFTER,
        3: AFTER,
    }
    rows = _edgetpu_time.predict(left)
    host_ns = [row.ns for row in rows if row.unit == "cpu"]
    macs = 96 * 96 * 64 * 64 * 9
    assert host_ns[1] > 1e9 * macs / _edgetpu_time.HOST_MACS_S
    assert sum(row.ns for row in rows) > 5 * sum(row.ns for row in _edgetpu_time.predict(kept))
    said = _edgetpu_model.warnings(left, rows)[1]
    assert "3 of 4 operators stay on the host's processor: RESIZE_BILINEAR" in said
    assert f"they take {sum(host_ns) / 1e6:.3g}" in said


def test_what_does_not_need_the_one_that_is_left_is_mapped(tmp_path: Path) -> None:
    net = Net(16).conv(8, 3)
    trunk = net.at
    net.unary("HARD_SWISH").conv(8)
    swished = net.at
    net.at = trunk
    net.conv(8, 3).add(swished)
    graph = whole(net, tmp_path / "branches.tflite")
    names = [o.name for o in graph.operators]
    assert names == ["CONV_2D", "HARD_SWISH", "CONV_2D", "CONV_2D", "ADD"]
    assert mapped(graph).left == {1: "is not supported", 2: AFTER, 4: AFTER}


def test_margins_axes_and_fused_activations_are_read_from_the_file(tmp_path: Path) -> None:
    net = Net(16).pad((1, 1)).conv(6, 3).mean((3,), keep=True)
    assert mapped(whole(net, tmp_path / "depth.tflite")).left == {
        2: "reduces a depth of 6, no multiple of 4"
    }
    net = Net(16).conv(6, 3).mean((1, 2)).dense(4).unary("SOFTMAX")
    assert not mapped(whole(net, tmp_path / "head.tflite")).left


def constant(*shape: int, values: tuple[int, ...] = (), kind: str = "INT8") -> Tensor:
    return Tensor(50 + len(shape), "c", "INT32" if values else kind, shape, True, values)


def made(
    name: str,
    into: Sequence[int] = PICTURE,
    out: Sequence[int] = PICTURE,
    *others: Tensor,
    kind: str = "INT8",
    **fields: float,
) -> Operator:
    data = Tensor(0, "in", kind, tuple(into), False)
    result = Tensor(1, "out", "INT8", tuple(out), False)
    inputs = (*others, data) if name in ("SPLIT", "TRANSPOSE_CONV") else (data, *others)
    return Operator(name, False, inputs, (result,), fields=fields)


def axes(*values: int) -> Tensor:
    return constant(len(values), values=values)


WEIGHTS = constant(8, 3, 3, 8)
COMPUTED = Tensor(9, "computed", "INT8", (8, 64), False)
AXES = Tensor(9, "axes", "INT32", (2,), False)
MAPPED = [
    made("CONV_2D", PICTURE, PICTURE, WEIGHTS, dilationWFactor=2, dilationHFactor=2),
    made("SOFTMAX", (1, 16_000), (1, 16_000)),
    made("FULLY_CONNECTED", (1, 64), (1, 8), constant(8, 64)),
    made("MEAN", PICTURE, (1, 8), axes(1, 2)),
    made("MEAN", PICTURE, (1, 16, 16), axes(-1)),
    made("PAD", PICTURE, (1, 18, 18, 8), constant(4, 2, values=(0, 0, 1, 1, 1, 1, 0, 0))),
    made("CONCATENATION", PICTURE, (1, 16, 16, 16), Tensor(8, "t", "INT8", PICTURE, False), axis=3),
    made("STRIDED_SLICE", PICTURE, PICTURE, axes(0, 0), axes(1, 8), axes(1, 1)),
    made("PRELU", PICTURE, PICTURE, constant(1, 1, 8)),
    made("RESIZE_NEAREST_NEIGHBOR", PICTURE, (1, 32, 32, 8), axes(32, 32)),
    made("RESIZE_BILINEAR", (1, 64, 64, 8), (1, 128, 128, 8), axes(128, 128)),
    made("SPLIT", PICTURE, (1, 16, 16, 4), constant(values=(3,))),
    made("PACK", (1, 16, 8), (1, 2, 16, 8), axis=1),
    made("TRANSPOSE_CONV", PICTURE, (1, 32, 32, 8), axes(1, 32, 32, 8), WEIGHTS),
    made("MAX_POOL_2D", kind="UINT8"),
]
LEFT = [
    (made("ARG_MAX"), "is not supported"),
    (made("LEAKY_RELU"), "is not supported"),
    (dataclasses.replace(made("ADD"), custom=True), "is not supported"),
    (made("ADD", kind="INT16"), "works on INT16"),
    (made("ADD", (2, 16, 16, 8)), "has a tensor of more than three dimensions (2, 16, 16, 8)"),
    (made("FULLY_CONNECTED", (1, 64), (1, 8), COMPUTED), "has weights that are computed"),
    (made("CONV_2D", PICTURE, PICTURE, WEIGHTS, dilationWFactor=2), "is dilated differently"),
    (made("SOFTMAX", (1, 16_001), (1, 16_001)), "is over more than 16000 elements"),
    (made("SOFTMAX"), "has an input of more than one dimension"),
    (made("FULLY_CONNECTED", (4, 64), (4, 8), constant(8, 64)), "has an output of more than one"),
    (made("MEAN", PICTURE, (1, 8), AXES), "works on INT32"),
    (made("MEAN", PICTURE, PICTURE, axes(0)), "reduces the batch"),
    (made("SUM", PICTURE, PICTURE, axes(-4)), "reduces the batch"),
    (made("PAD", PICTURE, PICTURE, constant(4, 2, values=(1, 0) + (0,) * 6)), "pads the batch"),
    (made("MAX_POOL_2D", fusedActivationFunction=1), "has an activation fused"),
    (made("CONCATENATION", PICTURE, PICTURE, constant(*PICTURE)), "concatenates a constant"),
    (made("STRIDED_SLICE", PICTURE, PICTURE, axes(0), axes(1), axes(2)), "has strides other"),
    (made("STRIDED_SLICE", PICTURE, PICTURE, axes(0), axes(1), axes(1), newAxisMask=1), "new axis"),
    (made("PRELU", PICTURE, PICTURE, constant(16, 16, 8)), "has a slope of more than one"),
    (made("RESIZE_NEAREST_NEIGHBOR", PICTURE, (1, 48, 32, 8)), "resizes 16 x 16 to 48 x 32"),
    (made("RESIZE_BILINEAR", (1, 256, 256, 8), (1, 512, 512, 8)), "resizes 256 x 256 to 512"),
    (made("SPLIT", PICTURE, PICTURE, constant(values=(0,))), "splits the batch"),
    (made("PACK", (16, 8), (2, 16, 8), axis=0), "packs the batch"),
]


@pytest.mark.parametrize("operator", MAPPED, ids=lambda o: o.name)
def test_an_operator_within_the_limits_is_mapped(operator: Operator) -> None:
    assert why_not(operator) == ""


@pytest.mark.parametrize(("operator", "reason"), LEFT, ids=[reason for _, reason in LEFT])
def test_an_operator_outside_the_limits_is_left_with_the_reason(
    operator: Operator, reason: str
) -> None:
    assert reason in why_not(operator)


@pytest.mark.parametrize("name", ["UNIDIRECTIONAL_SEQUENCE_LSTM", "WHILE", "CONV_3D"])
def test_a_net_whose_time_nothing_tells_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "net.tflite"
    whole(Net(8).conv(8), file)
    model = _tflite_model.load(file)
    model.operatorCodes[0].builtinCode = getattr(schema.BuiltinOperator, name)
    model.operatorCodes[0].deprecatedBuiltinCode = 0
    write(model, file)
    with pytest.raises(UserError, match=rf"net.tflite has operators whose time .*: {name};"):
        _edgetpu_model.read(file)


def test_the_stated_error_is_that_of_nets_that_a_fit_has_not_seen() -> None:
    held_out = _edgetpu_published.held_out()
    mean, worst = _edgetpu_model.HELD_OUT_ERROR
    assert _edgetpu_published.mean(held_out.values()) == pytest.approx(mean, abs=0.01)
    assert max(map(abs, held_out.values())) == pytest.approx(worst, abs=0.02)
    assert mean < 0.20


def test_the_numbers_in_the_code_are_those_that_a_fit_finds() -> None:
    found = dataclasses.asdict(_edgetpu_published.fit(_edgetpu_published.ROWS))
    assert dataclasses.asdict(_edgetpu_time.FITTED) == pytest.approx(found, rel=0.01)


def test_of_the_published_nets_only_one_is_mapped_in_part() -> None:
    left = {net: len(mapped(g).left) for net, g in _edgetpu_published.graphs().items()}
    assert {net: count for net, count in left.items() if count} == {"deeplabv3_mnv2_dm05": 8}


@pytest.mark.parametrize("net", ["mobilenetv2_100", "vgg16", "deeplabv3_mnv2_dm05"])
def test_the_rows_add_up_to_what_was_fitted(net: str) -> None:
    rows = _edgetpu_time.predict(_edgetpu_published.graphs()[net])
    seconds = _edgetpu_published.demands()[net].seconds(_edgetpu_time.FITTED)
    assert sum(row.ns for row in rows) / 1e9 == pytest.approx(seconds)


def whole(net: Net, file: Path) -> Subgraph:
    """The graph of a net as a full integer file: floats become 8 bit, biases 32."""
    model = _tflite_model.load(net.save(file))
    kinds = schema.TensorType
    for tensor in model.subgraphs[0].tensors:
        if tensor.type != kinds.FLOAT32:
            continue
        stored = _tflite_model.stored(model, tensor)
        bias = stored is not None and len(tensor.shape) == 1
        tensor.type = kinds.INT32 if bias else kinds.INT8
        if stored is not None:
            numbers = np.rint(stored).astype(np.int32 if bias else np.int8)
            model.buffers[tensor.buffer].data = np.frombuffer(numbers.tobytes(), np.uint8)
    write(model, file)
    return _edgetpu_model.read(file)


def write(model: Any, file: Path) -> None:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    file.write_bytes(bytes(builder.Output()))
