"""Multiply-accumulates and bytes of operators, from the shapes of their tensors.

The profilers share this. Both are of the operator as the net has it: weights that are zero count,
and so do bytes that a cache keeps from reaching memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Shape = Sequence[int]


@dataclass(frozen=True)
class Node:
    """An operator as a file describes it; `macs` and `bytes` as in Operator of _device.py."""

    name: str
    kind: str
    macs: int | None
    bytes: int | None


def macs(swept: Shape, weight: Shape, channels: int) -> int:
    """Count the MACs of an operator with weights: prod(swept) * prod(weight) / channels.

    `swept` is the tensor each element of which takes part in as many of them: the output, but of a
    transposed convolution the input. `channels` are its own; so groups and the layout of the weight
    do not matter. Of a matrix product it is macs(output, matrix, columns of the output), where the
    matrix has neither batch nor heads. Padding counts, as in torch's FlopCounterMode.
    """
    return math.prod(swept) * math.prod(weight) // channels


def stored_bytes(tensors: Iterable[tuple[Shape, int | None]]) -> int | None:
    """Sum up (shape, bits of an element) in bytes, each rounded up; None if one is unknown."""
    total = 0
    for shape, bits in tensors:
        if bits is None:
            return None
        total += -(-math.prod(shape) * bits // 8)
    return total
