"""The shuffle of channels into pixels as one DEPTH_TO_SPACE, where litert-torch writes a chain.

litert-torch 0.10 takes `torch.nn.PixelShuffle` apart into reshapes and transpositions, which move
every number several times, and which XNNPACK cannot run in NCHW. A chain is replaced only if it
puts every number where DEPTH_TO_SPACE would; with more than one class, PyTorch's order of channels
is another one, and the chain stays.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from paretomark.models.export import _sparse_tflite, _tflite_model

MOVES = ("RESHAPE", "TRANSPOSE")


def restore(net: Any) -> bool:
    """Replace such chains of a ModelT, in place; whether there were any."""
    main = net.subgraphs[0]
    reads = Counter(int(t) for o in main.operators for t in o.inputs) + Counter(
        int(t) for t in main.outputs
    )
    changed = False
    for chain in _chains(net, reads):
        first, last = int(chain[0].inputs[0]), int(chain[-1].outputs[0])
        side = _side(net, chain, first, last)
        if not side:
            continue
        place = main.operators.index(chain[0])
        main.operators = [o for o in main.operators if not any(o is c for c in chain)]
        _sparse_tflite.insert(net, place, "DEPTH_TO_SPACE", [first], last)
        _set_side(main.operators[place], side)
        changed = True
    return changed


def _chains(net: Any, reads: Counter[int]) -> list[list[Any]]:
    """The longest runs of operators that only move numbers, each read by nothing but the next."""
    chains: list[list[Any]] = []
    for operator in net.subgraphs[0].operators:
        if _tflite_model.kind(net, operator) not in MOVES:
            continue
        source = int(operator.inputs[0])
        before = next((c for c in chains if int(c[-1].outputs[0]) == source), None)
        if before and reads[source] == 1:
            before.append(operator)
        else:
            chains.append([operator])
    return chains


def _side(net: Any, chain: list[Any], first: int, last: int) -> int:
    """How many pixels a side one pixel becomes; 0 if the chain is no DEPTH_TO_SPACE."""
    tensors = net.subgraphs[0].tensors
    before, after = (_tflite_model.shape(tensors[t]) for t in (first, last))
    if len(before) != 4 or len(after) != 4 or not before[1] or after[1] % before[1]:
        return 0
    side = after[1] // before[1]
    if side < 2 or after != (before[0], before[1] * side, before[2] * side, before[3] // side**2):
        return 0
    numbers = np.arange(np.prod(before)).reshape(before)
    moved = numbers
    for operator in chain:
        if _tflite_model.kind(net, operator) == "TRANSPOSE":
            order = _tflite_model.stored(net, tensors[int(operator.inputs[1])])
            if order is None:
                return 0
            moved = moved.transpose([int(axis) for axis in order.reshape(-1)])
        else:
            moved = moved.reshape(_tflite_model.shape(tensors[int(operator.outputs[0])]))
    parts = numbers.reshape(*before[:3], side, side, after[3])
    expected = parts.transpose(0, 1, 3, 2, 4, 5).reshape(after)
    return side if np.array_equal(moved, expected) else 0


def _set_side(operator: Any, side: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    operator.builtinOptionsType = schema.BuiltinOptions.DepthToSpaceOptions
    operator.builtinOptions = schema.DepthToSpaceOptionsT(blockSize=side)
