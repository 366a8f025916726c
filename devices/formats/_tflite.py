"""What a TFLite file says about its operators, and an interpreter of it about where they run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Port, require
from paretomark.models.export import _tflite_model

DELEGATE = "DELEGATE"  # how interpreters call a node that stands for what a delegate has taken
MOST_VALUES = 16


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph: `type` as in the schema ("INT8"); -1 in `shape` is not fixed.

    A constant has its values in the file; everything else is computed or given. `values` are those
    of an INT32 constant of up to MOST_VALUES: axes, margins, sizes.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    constant: bool
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Operator:
    """An operator: the name of the builtin ("CONV_2D") or of the custom one.

    Omitted optional inputs are left out. `options` are the bytes that a custom operator is given,
    `fields` the numbers and flags that a builtin one is, by their names in the schema ("strideH").
    """

    name: str
    custom: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: bytes = field(default=b"", repr=False)
    fields: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Subgraph:
    """Operators in the order in which they run, and the tensors that come in and go out."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(file: Path) -> tuple[Subgraph, ...]:
    """Read the subgraphs of a TFLite file; the first is the one that runs.

    Raise UserError where the file is not TFLite or is damaged, and Unavailable where
    ai-edge-litert is not installed.
    """
    require("ai-edge-litert", "litert")
    model = _tflite_model.load(file)
    with _tflite_model.damage_of(file):
        return tuple(_subgraph(model, graph) for graph in model.subgraphs)


def port(details: Mapping[str, Any]) -> Port:
    """Make a port of what an interpreter says of an input or output in `get_input_details()`."""
    scale, zero_point = details["quantization"]
    # The signature has -1 where `shape` has a stand-in for a size that is not fixed.
    signature = details.get("shape_signature", ())
    open_sizes = len(signature) == len(details["shape"])
    shape = tuple(int(size) for size in (signature if open_sizes else details["shape"]))
    dtype = np.dtype(details["dtype"]).name
    return Port(details["name"], shape, dtype, float(scale), int(zero_point))


def operators_by_unit(nodes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count operators by unit, "xnnpack" and "builtin", in an interpreter's `_get_ops_details()`.

    A DELEGATE node took all that lies between its inputs and outputs. The interpreter goes on
    listing the operators that a delegate has replaced, so they are found by walking back from the
    delegate's outputs to its inputs.
    """
    own = [node for node in nodes if node["op_name"] != DELEGATE]
    producer = {int(t): node["index"] for node in own for t in node["outputs"]}
    sources = {node["index"]: [int(t) for t in node["inputs"]] for node in own}
    taken: set[int] = set()
    for delegate in (node for node in nodes if node["op_name"] == DELEGATE):
        border = {int(t) for t in delegate["inputs"]}
        open_tensors = [int(t) for t in delegate["outputs"]]
        while open_tensors:
            index = producer.get(open_tensors.pop())
            if index is not None and index not in taken:
                taken.add(index)
                open_tensors += [t for t in sources[index] if t not in border]
    return {"xnnpack": len(taken), "builtin": len(own) - len(taken)}


def _subgraph(model: Any, graph: Any) -> Subgraph:
    tensors = [_tensor(model, index, tensor) for index, tensor in enumerate(graph.tensors or ())]

    def chosen(numbers: Sequence[int] | None) -> tuple[Tensor, ...]:
        return tuple(tensors[number] for number in _numbers(numbers) if number >= 0)

    operators = []
    for operator in graph.operators or ():
        kind = _tflite_model.kind(model, operator)
        custom = kind == "CUSTOM"
        code = model.operatorCodes[operator.opcodeIndex].customCode or b""
        operators.append(
            Operator(
                name=code.decode(errors="replace") if custom else kind,
                custom=custom,
                inputs=chosen(operator.inputs),
                outputs=chosen(operator.outputs),
                options=_bytes(operator.customOptions) if custom else b"",
                fields=_fields(operator.builtinOptions),
            )
        )
    return Subgraph(tuple(operators), chosen(graph.inputs), chosen(graph.outputs))


def _tensor(model: Any, index: int, tensor: Any) -> Tensor:
    # The signature has -1 where `shape` has a stand-in for a size that is not fixed.
    signature = _numbers(tensor.shapeSignature)
    return Tensor(
        index=index,
        name=(tensor.name or b"").decode(errors="replace"),
        type=_tflite_model.type_name(tensor),
        shape=tuple(signature) if signature else _tflite_model.shape(tensor),
        constant=_tflite_model.is_constant(model, tensor),
        values=_values(model, tensor),
    )


def _values(model: Any, tensor: Any) -> tuple[int, ...]:
    small = math.prod(_tflite_model.shape(tensor)) <= MOST_VALUES
    if not small or _tflite_model.type_name(tensor) != "INT32":
        return ()
    stored = _tflite_model.stored(model, tensor)
    return () if stored is None else tuple(int(value) for value in stored)


def _fields(options: Any) -> dict[str, float]:
    given = vars(options) if options is not None else {}
    return {name: value for name, value in given.items() if isinstance(value, (int, float))}


def _numbers(vector: Sequence[int] | None) -> list[int]:
    """A vector of the schema, which is an array, a list, or None where the file has none."""
    return [] if vector is None else [int(number) for number in vector]


def _bytes(vector: Any) -> bytes:
    return b"" if vector is None else np.asarray(vector, np.uint8).tobytes()
