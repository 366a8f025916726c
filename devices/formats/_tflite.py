"""What a TFLite file says about its operators, without a runtime that could run them.

Read by the schema that ai-edge-litert brings along (schema.fbs of TensorFlow Lite, version 3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Port, require
from paretomark.suites.spec._errors import UserError

IDENTIFIER = b"TFL3"
# What following offsets out of a damaged file raises; the generated readers verify nothing.
DAMAGE = (struct.error, LookupError, AttributeError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph: `type` as in the schema ("INT8"); -1 in `shape` is not fixed.

    A constant has its values in the file; everything else is computed or given.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    constant: bool


@dataclass(frozen=True)
class Operator:
    """An operator: the name of the builtin ("CONV_2D") or of the custom one.

    Omitted optional inputs are left out. `options` are the bytes that a custom operator is given.
    """

    name: str
    custom: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Subgraph:
    """Operators in the order in which they run, and the tensors that come in and go out."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(file: Path) -> tuple[Subgraph, ...]:
    """The subgraphs of a TFLite file; the first is the one that runs.

    Raises UserError where the file is not TFLite or is damaged, and Unavailable where
    ai-edge-litert is not installed.
    """
    require("ai-edge-litert", "litert")
    from ai_edge_litert import schema_py_generated as schema

    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; give a .tflite file that can be read") from None
    if data[4:8] != IDENTIFIER:
        raise UserError(f"{file} is not a TFLite file: it does not have {IDENTIFIER!r} at byte 4")
    try:
        model = schema.Model.GetRootAs(data, 0)
        graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
        found = tuple(_subgraph(schema, model, graph) for graph in graphs)
    except DAMAGE as error:
        raise UserError(f"{file} is a damaged TFLite file ({error}); export it again") from None
    if not found:
        raise UserError(f"{file} is a TFLite file without a graph; export it again")
    return found


def port(details: Any) -> Port:
    """An input or output, from what an interpreter says of it."""
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    dtype = np.dtype(details["dtype"]).name
    return Port(details["name"], shape, dtype, float(scale), int(zero_point))


def _subgraph(schema: Any, model: Any, graph: Any) -> Subgraph:
    types, builtins = _names(schema.TensorType), _names(schema.BuiltinOperator)
    tensors = []
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        # The signature has -1 where `shape` has a stand-in for a size that is not fixed.
        signed = tensor.ShapeSignatureLength() > 0
        size = tensor.ShapeSignature if signed else tensor.Shape
        rank = tensor.ShapeSignatureLength() if signed else tensor.ShapeLength()
        tensors.append(
            Tensor(
                index=index,
                name=(tensor.Name() or b"").decode(errors="replace"),
                type=types[tensor.Type()],
                shape=tuple(size(i) for i in range(rank)),
                constant=_has_data(model.Buffers(tensor.Buffer())),
            )
        )

    def chosen(item: Any, side: str) -> tuple[Tensor, ...]:
        count = getattr(item, f"{side}Length")()
        numbers = [getattr(item, side)(i) for i in range(count)]
        return tuple(tensors[number] for number in numbers if number >= 0)

    operators = []
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        code = model.OperatorCodes(operator.OpcodeIndex())
        # Codes above 126 do not fit the old field, and old files do not have the new one.
        name = builtins[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        custom = name == "CUSTOM"
        operators.append(
            Operator(
                name=(code.CustomCode() or b"").decode(errors="replace") if custom else name,
                custom=custom,
                inputs=chosen(operator, "Inputs"),
                outputs=chosen(operator, "Outputs"),
                options=_options(operator) if custom else b"",
            )
        )
    return Subgraph(tuple(operators), chosen(graph, "Inputs"), chosen(graph, "Outputs"))


def _has_data(buffer: Any) -> bool:
    """Whether a buffer holds values: in its place, or, in large files, behind the flatbuffer."""
    return bool(buffer.DataLength() > 0 or buffer.Size() > 0)


def _options(operator: Any) -> bytes:
    return operator.CustomOptionsAsNumpy().tobytes() if operator.CustomOptionsLength() else b""


def _names(enum: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}
