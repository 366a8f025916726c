"""Storing a TFLite file sparse: the zeros of 1x1 convolutions are left out of it.

A filter (O, 1, 1, I) becomes a constant with sparsity parameters, compressed by rows: the schema's
SPARSE_CSR on its last dimension, and its nonzeros one after the other. A DENSIFY restores it when
the file is loaded, and is at the same time what XNNPACK's sparse inference is switched on by.
Source: schema.fbs of TensorFlow Lite (`SparsityParameters`), and the XNNPACK delegate.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from paretomark.models.export import _sparse_check, _sparse_graph, _tflite_model
from paretomark.suites.spec._errors import UserError

ALIGNMENT = 16  # of constants, by the schema
DENSIFIED = ("FLOAT32", "FLOAT16", "INT8")  # the types that DENSIFY knows
REDUCED_PRECISION = b"reduced_precision_support"  # lets XNNPACK compute in float16, where it can
# The types that the schema has for positions, from the smallest to the largest.
VECTORS = {"uint8": "Uint8Vector", "uint16": "Uint16Vector", "int32": "Int32Vector"}


def sparsify(model: Path, out: Path) -> None:
    """Write `model` with every 1x1 filter stored sparse that gets smaller by it.

    float32, float16 or int8 behind a DEQUANTIZE, and int8; what the file computes stays the same,
    and a file with nothing to gain, as one with weights in int4, is copied. Raises UserError if
    LiteRT would not load it, or XNNPACK give wrong answers on some processors (`_sparse_check`).
    """
    net = _sparse_graph.load(model)
    smaller = leave_out_zeros(net)
    verdict = _sparse_check.judge(_sparse_graph.graph(net))
    if verdict.kind == "unsafe":
        raise UserError(
            f"{model}: stored sparse, it would give wrong answers on AArch64, mostly without an "
            f"error, because of {verdict.operator or 'an output'}: {verdict.reason}; store it "
            "dense, or change the net so that only 1x1 and depthwise convolutions lie between its "
            f"first convolution and {_sparse_check.LAST}"
        )
    if smaller:
        write(net, out)
    else:
        out.write_bytes(model.read_bytes())


def leave_out_zeros(net: Any) -> bool:
    """Store a ModelT sparse, in place, safe or not; whether anything in it gets smaller."""
    if not any([store(net, number) for number in filters(net)]):
        return False
    _part_classifier(net)
    net.metadata = [m for m in net.metadata or [] if m.name != REDUCED_PRECISION]
    return True


def write(net: Any, out: Path) -> None:
    """Write a ModelT as a TFLite file."""
    builder = _Builder(1 << 20)
    builder.Finish(net.Pack(builder), file_identifier=_tflite_model.IDENTIFIER)
    out.write_bytes(bytes(builder.Output()))


def filters(net: Any) -> list[int]:
    """Return the constants of the first subgraph that are 1x1 filters, as they are stored.

    Raises UserError for weights in int8 that meet activations in float32: LiteRT 2.3 does not load
    such a file when it is stored sparse.
    """
    main = net.subgraphs[0]
    constant = {i for i, t in enumerate(main.tensors) if _tflite_model.stored(net, t) is not None}
    unpacked, order = {}, []
    for operator in main.operators:
        kind = _tflite_model.kind(net, operator)
        if kind == "DEQUANTIZE":
            unpacked[int(operator.outputs[0])] = int(operator.inputs[0])
        if kind == "CONV_2D":
            number = int(operator.inputs[1])
            pair = [_tflite_model.type_name(main.tensors[i]) for i in operator.inputs[:2]]
            if pair == ["FLOAT32", "INT8"]:
                raise UserError(
                    "a file that quantizes its activations anew in every inference cannot be "
                    "stored sparse, for LiteRT does not load it; take another precision, as "
                    "int8-weights, or store it dense"
                )
            number = unpacked.get(number, number)
            if number in constant and _tflite_model.shape(main.tensors[number])[1:3] == (1, 1):
                order.append(number)
    return list(dict.fromkeys(order))


def store(net: Any, number: int) -> bool:
    """Leave the zeros of a filter (O, 1, 1, I) out, if it gets smaller by that; whether it did."""
    from ai_edge_litert import schema_py_generated as schema

    main = net.subgraphs[0]
    tensor = main.tensors[number]
    numbers = _tflite_model.stored(net, tensor)
    shared = sum(t.buffer == tensor.buffer for t in main.tensors) > 1
    listed = _tflite_model.type_name(tensor) in DENSIFIED
    if numbers is None or not listed or shared or tensor.sparsity is not None:
        return False
    outputs, _, _, inputs = _tflite_model.shape(tensor)
    rows, columns = np.nonzero(numbers.reshape(outputs, inputs))
    if not rows.size:  # one zero stays, for a constant without bytes is none to a reader
        rows = columns = np.zeros(1, np.int64)
    nonzeros = numbers.reshape(outputs, inputs)[rows, columns]
    segments = np.concatenate([[0], np.bincount(rows, minlength=outputs).cumsum()])
    segments, indices = _narrowest(segments), _narrowest(columns)
    if nonzeros.nbytes + segments.nbytes + indices.nbytes >= numbers.nbytes:
        return False
    sparse = schema.DimensionMetadataT(format=schema.DimensionType.SPARSE_CSR)
    sparse.arraySegmentsType, sparse.arraySegments = _vector(segments)
    sparse.arrayIndicesType, sparse.arrayIndices = _vector(indices)
    dense = [schema.DimensionMetadataT(denseSize=size) for size in (outputs, 1, 1)]
    kept = copy.copy(tensor)
    kept.name = (tensor.name or b"") + b"/sparse"
    kept.sparsity = schema.SparsityParametersT(
        traversalOrder=[0, 1, 2, 3], dimMetadata=[*dense, sparse]
    )
    net.buffers[kept.buffer].data = nonzeros.view(np.uint8)
    tensor.buffer = 0  # which is empty, as of all that is computed
    main.tensors.append(kept)
    insert(net, 0, "DENSIFY", [len(main.tensors) - 1], number)
    return True


def _narrowest(numbers: NDArray[Any]) -> NDArray[Any]:
    """In the smallest type that the schema has for them."""
    largest = int(numbers.max(initial=0))
    return numbers.astype(next(t for t in VECTORS if largest <= np.iinfo(t).max))


def _vector(numbers: NDArray[Any]) -> tuple[int, Any]:
    """Numbers as a member of the schema's union SparseIndexVector."""
    from ai_edge_litert import schema_py_generated as schema

    name = VECTORS[numbers.dtype.name]
    return getattr(schema.SparseIndexVector, name), getattr(schema, f"{name}T")(values=numbers)


def _part_classifier(net: Any) -> None:
    """Put a RESHAPE between a MEAN and the FULLY_CONNECTED operators that read it.

    XNNPACK would count their weights with those of the 1x1 convolutions.
    """
    from ai_edge_litert import schema_py_generated as schema

    main = net.subgraphs[0]
    kinds = [(_tflite_model.kind(net, operator), operator) for operator in main.operators]
    for operator in [operator for kind, operator in kinds if kind == "MEAN"]:
        mean = int(operator.outputs[0])
        classifiers = [o for kind, o in kinds if kind == "FULLY_CONNECTED"]
        readers = [o for o in classifiers if int(o.inputs[0]) == mean]
        if not readers:
            continue
        shape = np.array(_tflite_model.shape(main.tensors[mean]), np.int32)
        net.buffers.append(schema.BufferT(data=shape.view(np.uint8)))
        sizes = schema.TensorT(
            name=b"reshape/shape", shape=[len(shape)], type=schema.TensorType.INT32,
            buffer=len(net.buffers) - 1, hasRank=True,
        )  # fmt: skip
        reshaped = copy.copy(main.tensors[mean])
        reshaped.name = (reshaped.name or b"") + b"/reshape"
        main.tensors += [sizes, reshaped]
        number = len(main.tensors) - 1
        insert(net, main.operators.index(operator) + 1, "RESHAPE", [mean, number - 1], number)
        for reader in readers:
            reader.inputs = [number, *reader.inputs[1:]]


def insert(net: Any, place: int, kind: str, inputs: list[int], output: int) -> None:
    """Insert a new operator without options, to run after `place` others."""
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, kind)
    codes = [code.builtinCode for code in net.operatorCodes]
    if number not in codes:
        code = schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=number)
        net.operatorCodes.append(code)
        codes.append(number)
    operator = schema.OperatorT(codes.index(number), inputs, [output])
    net.subgraphs[0].operators.insert(place, operator)


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns constants, which the generated classes write as if they were bytes."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        self.Prep(ALIGNMENT, x.nbytes)
        offset: int = super().CreateNumpyVector(x)
        return offset
