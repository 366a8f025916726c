"""ONNX files as TensorRT takes them: a graph whose own types say in what precision it computes.

TensorRT's networks are strongly typed: always in 11, which has no builder flags for precision any
more, and here in 10 as well. A file is thus computed in the types that it has, but for two cases:

- A file that models/export/onnx.py has marked, in its metadata, as fp16 or bf16 has half
  weights behind casts and computes in float32 as it stands. Here the casts are turned round: the
  weights stay as they are, inputs are narrowed and outputs widened.
- ONNX Runtime's quantizer writes activations as uint8 with zero points, biases as int32, and drops
  a Relu where quantization to [0, hi] clips anyway. TensorRT takes int8 without zero points and
  float biases. So scales become max(|lo|, |hi|) / 127, of the range [lo, hi] that was calibrated,
  constants are rounded anew, and every Relu that was dropped is put back. An activation that is
  never negative has half as many steps as in the file, as it has with any int8 of TensorRT's.

Sources: NVIDIA's guides Migrating from TensorRT 10.x to 11.x, and Explicit Quantization.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paretomark.models.export.onnx import MARK

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

    Constants = Mapping[str, TensorProto]

Array = NDArray[np.float64]
HALVES = {"fp16": "FLOAT16", "bf16": "BFLOAT16"}
BFLOAT16_OPSET = 22  # the first in which Conv and the poolings take it
POSITIVE = ("Relu", "Sigmoid", "Softmax")  # of which nothing negative comes ...
KEEP_SIGN = (  # ... and of these neither, if nothing negative went in
    *("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Concat"),
    *("Flatten", "Reshape", "Squeeze", "Transpose", "Identity"),
)


def read(model: Path) -> tuple[bytes, str]:
    """Read the graph to give to TensorRT's parser, and the precision that the file is marked with.

    That is "" where it is not marked.
    """
    import onnx
    from onnx import version_converter

    proto = onnx.load(model)
    mark = {entry.key: entry.value for entry in proto.metadata_props}.get(MARK, "")
    if mark == "bf16" and proto.opset_import[0].version < BFLOAT16_OPSET:
        proto = version_converter.convert_version(proto, BFLOAT16_OPSET)
    if mark in HALVES:
        _narrow(proto.graph, onnx.TensorProto.DataType.Value(HALVES[mark]))
    _symmetric(proto.graph)
    return proto.SerializeToString(), mark


def _narrow(graph: GraphProto, half: int) -> None:
    """Compute in a half type what is float32; inputs and outputs stay float32.

    A net with casts or constant nodes of its own is left with mixed types, which TensorRT refuses.
    """
    from onnx import TensorProto, helper

    stored = {weight.name for weight in graph.initializer if weight.data_type == half}
    for node in [n for n in graph.node if n.op_type == "Cast" and n.input[0] in stored]:
        next(w for w in graph.initializer if w.name == node.input[0]).name = node.output[0]
        graph.node.remove(node)
    for port in [p for p in graph.input if p.type.tensor_type.elem_type == TensorProto.FLOAT]:
        _rename(graph, port.name, port.name + "_half")
        cast = helper.make_node("Cast", [port.name], [port.name + "_half"], to=half)
        graph.node.insert(0, cast)
    for port in [p for p in graph.output if p.type.tensor_type.elem_type == TensorProto.FLOAT]:
        _rename(graph, port.name, port.name + "_half")
        cast = helper.make_node("Cast", [port.name + "_half"], [port.name], to=TensorProto.FLOAT)
        graph.node.append(cast)
    del graph.value_info[:]


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """A tensor, wherever a node reads or writes it."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _symmetric(graph: GraphProto) -> None:
    """Quantize as TensorRT does."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {weight.name: weight for weight in graph.initializer}
    quantizers = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in quantizers:
        data = constants.get(node.input[0])
        if data is not None and data.data_type == TensorProto.INT32:
            scale = numpy_helper.to_array(constants[node.input[1]])
            bias = (numpy_helper.to_array(data) * scale).astype(scale.dtype)
            graph.initializer.append(numpy_helper.from_array(bias, node.output[0]))
            graph.node.remove(node)
    ranges = {n.output[0]: r for n in quantizers if (r := _off_centre(constants, n)) is not None}
    made_by = {name: node for node in graph.node for name in node.output}
    clipping = [
        node
        for node in quantizers
        if node.op_type == "QuantizeLinear"
        and _starts_at_zero(ranges, node.output[0])
        and not _is_positive(node.input[0], made_by, ranges)
    ]
    for node in (n for n in quantizers if n.output[0] in ranges):
        old, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
        scale = (np.abs(ranges[node.output[0]]).max(axis=0) / 127).astype(old.dtype)
        parts = {1: scale, 2: np.zeros(old.shape, np.int8)}
        if node.input[0] in constants:
            data = numpy_helper.to_array(constants[node.input[0]])
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % max(1, data.ndim)
            view = [-1 if i == axis and old.size > 1 else 1 for i in range(data.ndim)]
            steps = (data.astype(np.float64) - zero.reshape(view)) * (old / scale).reshape(view)
            parts[0] = np.rint(steps).clip(-127, 127).astype(np.int8)
        for i, value in parts.items():
            node.input[i] = f"{node.output[0]}_symmetric_{i}"
            graph.initializer.append(numpy_helper.from_array(value, node.input[i]))
    for node in clipping:
        positive = f"{node.output[0]}_relu"
        relu = helper.make_node("Relu", [node.input[0]], [positive], name=positive)
        graph.node.insert(list(graph.node).index(node), relu)
        node.input[0] = positive
    # The parser converts every constant, also of types that TensorRT lacks.
    used = {name for node in graph.node for name in node.input}
    for constant in [c for c in graph.initializer if c.name not in used]:
        graph.initializer.remove(constant)
    if quantizers:
        del graph.value_info[:]


def _off_centre(constants: Constants, node: NodeProto) -> Array | None:
    """The lowest and highest real numbers that an 8 bit quantizer keeps, (2,) or per channel
    (2, channels); None if TensorRT takes it as it is, or it is of a kind not known here."""
    from onnx import TensorProto, numpy_helper

    scale, point = (constants.get(name) for name in (*node.input, "", "")[1:3])
    eight = (TensorProto.UINT8, TensorProto.INT8)
    if scale is None or point is None or point.data_type not in eight:
        return None
    step, zero = numpy_helper.to_array(scale), numpy_helper.to_array(point)
    if zero.dtype == np.int8 and not zero.any():
        return None
    limits = np.iinfo(zero.dtype)
    return np.stack([step * (end - zero.astype(np.float64)) for end in (limits.min, limits.max)])


def _starts_at_zero(ranges: Mapping[str, Array], name: str) -> bool:
    return name in ranges and not ranges[name][0].any()


def _is_positive(name: str, made_by: Mapping[str, NodeProto], ranges: Mapping[str, Array]) -> bool:
    """Whether a tensor is known never to be negative, so that no Relu was dropped there."""
    if name not in made_by:
        return False
    node = made_by[name]
    if node.op_type in POSITIVE or _starts_at_zero(ranges, name):
        return True
    inputs = node.input if node.op_type == "Concat" else node.input[:1]
    return node.op_type in KEEP_SIGN and all(_is_positive(i, made_by, ranges) for i in inputs)
