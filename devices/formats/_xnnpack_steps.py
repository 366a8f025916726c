"""Which operators of a graph the steps are that XNNPACK says it has run.

XNNPACK names a step by its kernel ("Convolution (NHWC, F32) DWConv") and by nothing else. It runs
steps in the order of the graph; some operators become part of others (paddings, activations), and
a 1x1 convolution becomes a fully connected step. What has weights is never left out: so steps with
weights are counted off against operators with weights, and what lies between two of them against
what lies between the same two of the graph: where it is not as many, by the first word of the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from paretomark.devices.formats._counts import Node

WEIGHTED = ("Convolution", "Deconvolution", "Fully Connected", "Batch Matrix Multiply")
T = TypeVar("T")


def match(steps: Sequence[str], graph: Sequence[Node]) -> list[Node]:
    """Find the operator of each step, with the step as its kind.

    A step that cannot be told from others has its own name, and its number among its like.
    """
    nodes = [_unknown(step, steps[:i].count(step) + 1) for i, step in enumerate(steps)]
    anchors, heavy = _where(steps, _weighted), _where(graph, lambda node: node.macs != 0)
    pairs = list(zip(anchors, heavy, strict=False))
    if len(anchors) != len(heavy) or not all(
        "DEPTHWISE" in graph[j].kind.upper() for i, j in pairs if "DWConv" in steps[i]
    ):
        return nodes
    for (i, j), (next_i, next_j) in pairwise([(-1, -1), *pairs, (len(steps), len(graph))]):
        between, candidates = list(range(i + 1, next_i)), list(range(j + 1, next_j))
        if len(between) == len(candidates):
            pairs += zip(between, candidates, strict=True)
        else:
            pairs += _by_word(between, candidates, steps, graph)
    for i, j in pairs:
        nodes[i] = Node(graph[j].name, steps[i], graph[j].macs, graph[j].bytes)
    return nodes


def _by_word(
    between: Sequence[int], candidates: list[int], steps: Sequence[str], graph: Sequence[Node]
) -> Iterator[tuple[int, int]]:
    """Steps with the next operator that begins as they do: "Add (ND)" and "ADD"."""
    for i in between:
        word = steps[i].removeprefix("Static ").partition(" ")[0].upper()
        for place, j in enumerate(candidates):
            kind = graph[j].kind.partition("_")[0].upper()
            if word.startswith(kind) or kind.startswith(word):
                yield i, j
                candidates = candidates[place + 1 :]
                break


def _unknown(step: str, number: int) -> Node:
    return Node(f"{step} #{number}", step, None if _weighted(step) else 0, None)


def _weighted(step: str) -> bool:
    return any(kind in step for kind in WEIGHTED)


def _where(items: Sequence[T], holds: Callable[[T], bool]) -> list[int]:
    return [i for i, item in enumerate(items) if holds(item)]
