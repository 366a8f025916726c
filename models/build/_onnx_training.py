"""Operators of an .onnx file that act as in training: exported without eval(), a net answers by
chance, or by what else is in its batch."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from paretomark.models.build._protobuf import fields, parts

# Numbers of fields, by onnx.proto.
_GRAPH, _FUNCTIONS = 7, 25  # of a model
_NODES, _CONSTANTS, _BODY = 1, 5, 7  # of a graph; of a function
_INPUTS, _OUTPUTS, _KIND, _ATTRIBUTES = 1, 2, 4, 5  # of a node
_CALLED, _NUMBER, _TENSOR, _ONE, _SEVERAL = 1, 3, 5, 6, 11  # of an attribute
_NAME, _FLOATS, _INTEGERS, _RAW = 8, 4, 5, 9  # of a tensor


def warnings(file: Path) -> list[str]:
    """Say which operators of a model file act as in training, as far as it is a sound .onnx file;
    nothing if none does."""
    if file.suffix != ".onnx":
        return []
    try:
        with file.open("rb") as stream:
            whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        kinds = {kind for graph in parts(whole, _GRAPH) for kind in _acting(graph, _NODES, {})}
        kinds |= {kind for body in parts(whole, _FUNCTIONS) for kind in _acting(body, _BODY, {})}
    except (IndexError, RecursionError, ValueError):  # empty or damaged, as its runtime says
        return []
    names = ", ".join(sorted(kinds))
    return [f"{names} of the file acts as in training: export the net after eval()"] * bool(kinds)


def _acting(graph: memoryview, nodes: int, known: Mapping[str, bool]) -> Iterator[str]:
    """Those of a graph and of the graphs in it. `known`: of constants around it, whether any number
    in them is not 0."""
    constants = {**known}
    for tensor in parts(graph, _CONSTANTS) if nodes == _NODES else ():
        constants |= {bytes(name).decode(): _is_any(tensor) for name in parts(tensor, _NAME)}
    for node in parts(graph, nodes):
        [kind, *_] = [*map(bytes, parts(node, _KIND)), b""]
        inputs, outputs = _texts(node, _INPUTS), _texts(node, _OUTPUTS)
        attributes = {_texts(a, _CALLED)[0]: a for a in parts(node, _ATTRIBUTES)}
        if kind == b"Constant":
            for tensor in parts(attributes.get("value", memoryview(b"")), _TENSOR):
                constants[outputs[0]] = _is_any(tensor)
        elif kind == b"Dropout":
            given = [*inputs, "", "", ""]
            if constants.get(given[2]) and constants.get(given[1], True):
                yield "Dropout"
        elif kind == b"BatchNormalization":
            flag = dict(fields(attributes.get("training_mode", memoryview(b"")))).get(_NUMBER)
            if flag or sum(map(bool, outputs)) > 1:  # which says so before opset 14
                yield "BatchNormalization"
        for attribute in attributes.values():
            for inner in (*parts(attribute, _ONE), *parts(attribute, _SEVERAL)):
                yield from _acting(inner, _NODES, constants)


def _texts(message: memoryview, number: int) -> list[str]:
    return [bytes(text).decode() for text in parts(message, number)]


def _is_any(tensor: memoryview) -> bool:
    """Whether any number of a tensor is not 0."""
    numbers = [v for n, v in fields(tensor) if n in (_FLOATS, _INTEGERS, _RAW)]
    return any(v if isinstance(v, int) else any(v) for v in numbers)
