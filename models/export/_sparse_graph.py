"""The graph of a TFLite file as XNNPACK sees it: constants unpacked, paddings folded.

It is made of what `_tflite_model` reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.models.export import _tflite_model
from paretomark.models.export._tflite_model import kind, shape, stored, type_name

FLOATS = {"FLOAT32", "FLOAT16"}
SAME = 0  # of the schema's enum Padding
Pair = tuple[int, int]


@dataclass(frozen=True)
class Filter:
    """The weights of a convolution or fully connected operator. Pairs are (height, width).

    `padding` is (top, right, bottom, left); None if it follows from the size of the picture, as
    TensorFlow's SAME does under a stride.
    """

    shape: tuple[int, ...]
    weights: int
    zeros: int
    is_stored_sparse: bool
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[int, int, int, int] | None = (0, 0, 0, 0)
    groups: int = 1
    multiplier: int = 1

    @property
    def kernel(self) -> Pair:
        """Its height and width."""
        return self.shape[1], self.shape[2]


@dataclass(frozen=True)
class Node:
    """An operator. Tensors are given by their numbers; of `operands`, `inputs` are computed."""

    name: str  # "CONV_2D 12": its kind, and its place among the operators that unpack no constant
    kind: str
    operands: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_float: bool
    filter: Filter | None = None
    axes: tuple[int, ...] = ()  # of a reduction

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a 1x1 convolution."""
        return self.kind == "CONV_2D" and self.filter is not None and self.filter.kernel == (1, 1)


@dataclass(frozen=True)
class Graph:
    """The operators in order; of each tensor its shape and how often it is read."""

    nodes: tuple[Node, ...]
    shapes: Mapping[int, tuple[int, ...]]
    uses: Mapping[int, int]  # to be an output of the graph is a use
    outputs: frozenset[int]


def load(file: Path) -> Any:
    """Return the ModelT of a TFLite file, of which `graph` can be made.

    Raises UserError as `_tflite_model.load` does.
    """
    model = _tflite_model.load(file)
    with _tflite_model.damage_of(file):
        graph(model)
    return model


def graph(model: Any) -> Graph:
    """Return the first subgraph, which is the one that runs, of a ModelT."""
    main = model.subgraphs[0]
    constants = {i: t for i, t in enumerate(main.tensors) if stored(model, t) is not None}
    outputs = frozenset(map(int, main.outputs))
    uses = Counter([int(t) for o in main.operators for t in o.inputs]) + Counter(outputs)
    nodes: dict[int, Node] = {}
    paddings: dict[int, tuple[int, NDArray[Any]]] = {}  # by padded tensor: the PAD, and how much
    position = -1
    for operator in main.operators:
        name = kind(model, operator)
        inputs = [int(i) for i in operator.inputs if i >= 0]
        if name in ("DENSIFY", "DEQUANTIZE") and inputs[0] in constants:
            # XNNPACK unpacks it when it loads the file.
            constants[int(operator.outputs[0])] = constants[inputs[0]]
            continue
        position += 1
        node = _node(model, operator, f"{name} {position}", constants)
        if node.kind == "PAD" and len(inputs) == 2 and inputs[1] in constants:
            margins = stored(model, constants[inputs[1]])
            assert margins is not None
            paddings[node.outputs[0]] = position, margins.reshape(-1, 2)
        elif node.inputs and node.inputs[0] in paddings and uses[node.inputs[0]] == 1:
            number, margins = paddings[node.inputs[0]]
            if folded := _folded(nodes[number], margins, node):
                del nodes[number]
                node = folded
        nodes[position] = node
    shapes = {i: shape(tensor) for i, tensor in enumerate(main.tensors)}
    return Graph(tuple(nodes.values()), shapes, uses, outputs)


def _node(model: Any, operator: Any, name: str, constants: Mapping[int, Any]) -> Node:
    tensors = model.subgraphs[0].tensors
    inputs = [int(i) for i in operator.inputs if i >= 0]
    computed, outputs = [i for i in inputs if i not in constants], list(map(int, operator.outputs))
    what = name.partition(" ")[0]
    axes: tuple[int, ...] = ()
    weights = None
    if what in ("MEAN", "SUM") and inputs[1] in constants:
        rank, told = len(shape(tensors[inputs[0]])), stored(model, constants[inputs[1]])
        axes = tuple(sorted(int(axis) % rank for axis in told)) if told is not None else ()
    if what in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and inputs[1] in constants:
        weights = _filter(model, operator, what, constants[inputs[1]])
    types = {type_name(tensors[i]) for i in [*computed, *outputs]}
    if weights:
        types.add(type_name(tensors[inputs[1]]))
    return Node(
        name=name,
        kind=what,
        operands=tuple(inputs),
        inputs=tuple(computed),
        outputs=tuple(outputs),
        is_float=types <= FLOATS,
        filter=weights,
        axes=axes,
    )


def _filter(model: Any, operator: Any, what: str, tensor: Any) -> Filter:
    numbers, size = stored(model, tensor), shape(tensor)
    assert numbers is not None
    weights = int(np.prod(size))
    weight = Filter(
        shape=size,
        weights=weights,
        zeros=weights - int(np.count_nonzero(numbers)),
        is_stored_sparse=tensor.sparsity is not None,
    )
    if what == "FULLY_CONNECTED":
        return weight
    options = operator.builtinOptions
    stride = options.strideH, options.strideW
    dilation = options.dilationHFactor, options.dilationWFactor
    spare = [(k - 1) * d for k, d in zip(weight.kernel, dilation, strict=True)]
    padding = (spare[0] // 2, -(-spare[1] // 2), -(-spare[0] // 2), spare[1] // 2)
    channels = shape(model.subgraphs[0].tensors[operator.inputs[0]])[3]
    return replace(
        weight,
        stride=stride,
        dilation=dilation,
        padding=(0, 0, 0, 0) if options.padding != SAME else padding if stride == (1, 1) else None,
        groups=channels // size[3] if what == "CONV_2D" else 1,
        multiplier=1 if what == "CONV_2D" else options.depthMultiplier,
    )


def _folded(pad: Node, margins: NDArray[Any], node: Node) -> Node | None:
    """The convolution with a padding of its own (`xnn_subgraph_fusion`); None if it cannot be."""
    if not node.filter or node.kind == "FULLY_CONNECTED" or node.filter.padding is None:
        return None
    if len(margins) != 4 or margins[0].any() or margins[3].any():
        return None
    (top, bottom), (left, right) = margins[1].tolist(), margins[2].tolist()
    own = node.filter.padding
    padding = (own[0] + top, own[1] + right, own[2] + bottom, own[3] + left)
    return replace(node, inputs=pad.inputs, filter=replace(node.filter, padding=padding))
