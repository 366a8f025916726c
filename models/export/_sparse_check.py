"""Whether XNNPACK runs a TFLite file sparse: decided from the file alone, without a runtime.

XNNPACK runs a cluster of operators in NCHW, where its 1x1 convolutions skip zeros, if all of them
can (Elsen et al., "Fast Sparse ConvNets", 2020). This module repeats how it decides, rule by rule:
`xnn_check_nchw_compatibility` and `xnn_subgraph_rewrite_for_nchw` of src/subgraph.c in
https://github.com/google/XNNPACK.

One rule is missing there: that a cluster must end where NCHW can end. A cluster that runs into an
operator in NHWC hands it numbers in the wrong order, or a shape in the wrong order, and AArch64
gives wrong answers without an error, or, at best, does not load the file. Such a file is *unsafe*
(seen with ai-edge-litert 2.3.0, emulated). x86 with AVX never runs sparse, so nothing shows there.

The graph is taken to run in XNNPACK as a whole. An operator that XNNPACK does not know would cut
it into parts, of which some might be safe; here it interrupts a cluster like any other in NHWC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path

from paretomark.models.export import _sparse_graph
from paretomark.models.export._sparse_graph import Filter, Graph, Node

FIRST = "a 3x3 convolution with stride 2 on 3 channels, padded by 1 on every side"
LAST = "a MEAN over height and width or a DEPTH_TO_SPACE"
UNARY = {
    "ABS", "CEIL", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG",
    "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "RSQRT", "SQRT", "SQUARE", "TANH",
}  # fmt: skip
REDUCTIONS = {"MEAN", "SUM"}


class Layout(Flag):
    """What an operator can do: stay in NCHW, go from NHWC to it, come back from it."""

    NONE = 0
    NCHW = auto()
    INTO = auto()
    BACK = auto()


@dataclass(frozen=True)
class Verdict:
    """*sparse*: the path is taken; *dense*: it is not; *unsafe*: taken, and it goes wrong.

    `operator` is the one that decided, or "": "CONV_2D 12" is operator 12 of the file, from 0 on,
    not counting what unpacks constants, so that it is the same one however these are stored.
    `sparsity` is the share of zeros in the weights that XNNPACK counts in the clusters that go to
    NCHW; where none does, in those of all 1x1 convolutions.
    """

    kind: str
    reason: str
    operator: str
    sparsity: float


def verdict(model: Path) -> Verdict:
    """Say whether XNNPACK runs a TFLite file sparse where it can, as on AArch64.

    Raises UserError where the file is not TFLite or is damaged, and without ai-edge-litert.
    """
    return judge(_sparse_graph.graph(_sparse_graph.load(model)))


def judge(net: Graph) -> Verdict:
    """Return the verdict on a graph."""
    overall = _sparsity([n for n in net.nodes if n.is_pointwise])
    if not any(node.filter and node.filter.is_stored_sparse for node in net.nodes):
        return Verdict("dense", "no filter is stored sparse, behind a DENSIFY", "", overall)
    clusters = _Clusters(net)
    inside = clusters.rewritten()
    if not inside:
        operator, reason = clusters.obstacle()
        return Verdict("dense", reason, operator, overall)
    sparsity = _sparsity([net.nodes[n] for n in inside])
    for n in inside:
        if broken := clusters.broken(n, inside):
            operator, reason = broken
            return Verdict("unsafe", reason, operator, sparsity)
    return Verdict("sparse", f"{len(inside)} operators run in NCHW", "", sparsity)


def _sparsity(nodes: Sequence[Node]) -> float:
    """The share of zeros in what XNNPACK counts: 1x1 and fully connected."""
    counted = [
        n.filter for n in nodes if n.filter and (n.is_pointwise or n.kind == "FULLY_CONNECTED")
    ]
    weights = sum(f.weights for f in counted)
    return sum(f.zeros for f in counted) / weights if weights else 0.0


def _layout(node: Node, net: Graph) -> tuple[Layout, str]:
    """What an operator can do, or why nothing (`xnn_check_nchw_compatibility`)."""
    if not node.is_float:
        return Layout.NONE, "it does not compute in floating point"
    if node.filter:
        rules = {"CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise}
        return rules[node.kind](node.filter) if node.kind in rules else (Layout.NCHW, "")
    if node.kind == "DEPTH_TO_SPACE":
        return Layout.BACK, ""
    read = [net.shapes[t] for t in node.inputs]
    if node.kind == "RESIZE_BILINEAR":
        large = min(read[0][1:3]) > 1
        return (Layout.NCHW, "") if large else (Layout.NONE, "it enlarges a single row or column")
    if node.kind not in UNARY | REDUCTIONS | {"ADD", "MUL"}:
        return Layout.NONE, "XNNPACK has no such operator in NCHW"
    if node.kind in ("ADD", "MUL"):
        read = [net.shapes[t] for t in node.operands]
        # XNNPACK looks at the first operand, whichever of the two is constant.
        if len(node.inputs) < 2 and sum(size != 1 for size in read[0]) > 1:
            return Layout.NONE, "one of its operands is constant"
    if any(len(shape) != 4 for shape in read):
        return Layout.NONE, "it reads what does not have 4 dimensions"
    return Layout.NCHW | Layout.BACK if node.kind in REDUCTIONS else Layout.NCHW, ""


def _convolution(weights: Filter) -> tuple[Layout, str]:
    if weights.groups != 1 or weights.dilation != (1, 1):
        return Layout.NONE, "it has groups or is dilated"
    if weights.kernel == (1, 1):
        if weights.stride == (1, 1) and not any(weights.padding or ()):
            return Layout.NCHW, ""
        return Layout.NONE, "it is a 1x1 convolution with a stride or with padding"
    told = weights.kernel, weights.stride, weights.padding, weights.shape[3]
    if told == ((3, 3), (2, 2), (1, 1, 1, 1), 3):
        return Layout.INTO, ""
    (height, width), stride, padding, channels = told
    around = "by TensorFlow's SAME" if padding is None else f"{padding} pixels"
    return Layout.NONE, (
        f"it is a {height}x{width} convolution with stride {stride[0]} on {channels} channels, "
        f"padded {around}, and not {FIRST}"
    )


def _depthwise(weights: Filter) -> tuple[Layout, str]:
    side = weights.kernel[0]
    if weights.kernel not in ((3, 3), (5, 5)) or weights.stride not in ((1, 1), (2, 2)):
        return Layout.NONE, "it is not a 3x3 or 5x5 one with stride 1 or 2"
    if weights.dilation != (1, 1) or weights.multiplier != 1:
        return Layout.NONE, "it is dilated, or makes several channels of one"
    if weights.padding != (side // 2,) * 4:
        return Layout.NONE, f"it is not padded by {side // 2} on every side"
    return Layout.NCHW, ""


class _Clusters:
    """Which operators go to NCHW together (`xnn_subgraph_rewrite_for_nchw`).

    A cluster is known by its leader, the largest number in it. `_spoilt` is what keeps an operator
    in NHWC, and of a leader its whole cluster: the operator to blame, and why.
    """

    def __init__(self, net: Graph) -> None:
        self._net = net
        told = [_layout(node, net) for node in net.nodes]
        self._layouts = [layout for layout, _ in told]
        self._why = [why for _, why in told]
        self._can = list(self._layouts)
        self._leader = list(range(len(told)))
        self._spoilt: dict[int, tuple[str, str]] = {}
        self._producer = {t: n for n, node in enumerate(net.nodes) for t in node.outputs}

    def rewritten(self) -> list[int]:
        """Return the operators whose inputs go to NCHW."""
        every = range(len(self._can))
        # As a list: all must join, not only those before the first that does.
        changed = any([self._join(n) for n in every if self._can[n] & Layout.BACK])
        if not changed:
            return []
        while changed:
            able = [n for n in every if self._can[n] & (Layout.NCHW | Layout.BACK)]
            changed = any([self._join(n) for n in able if n not in self._spoilt])
        for n in list(self._spoilt):
            self._spoilt.setdefault(self._leader[n], self._spoilt[n])
        self._check_readers(able)
        for leader in {self._leader[n] for n in able} - self._spoilt.keys():
            self._check_zeros(leader)
        return [n for n in able if self._leader[n] not in self._spoilt]

    def _join(self, n: int) -> bool:
        """Put an operator into the clusters of those that it reads from; whether that was new."""
        changed = False
        for t in self._net.nodes[n].inputs:
            source = self._producer.get(t)
            if source is None or t in self._net.outputs:
                which = "an input" if source is None else "an output"
                self._spoilt[n] = self._net.nodes[n].name, f"it reads {which} of the graph"
            elif source in self._spoilt:
                self._spoilt[n] = self._spoilt[source]
            elif not self._can[source] & (Layout.INTO | Layout.NCHW):
                why = self._why[source] or "what comes after it is in NHWC"
                self._spoilt[n] = self._net.nodes[source].name, why
            else:
                self._can[source] &= ~Layout.BACK
                if self._leader[source] != self._leader[n]:
                    leader = max(self._leader[source], self._leader[n])
                    self._leader[source] = self._leader[n] = leader
                    changed = True
        return changed

    def _check_readers(self, able: Sequence[int]) -> None:
        """Nobody else may read what a cluster reads."""
        inside = [n for n in able if self._leader[n] not in self._spoilt]
        reads = Counter(t for n in inside for t in self._net.nodes[n].inputs)
        for n in inside:
            for t in self._net.nodes[n].inputs:
                if reads[t] != self._net.uses[t]:
                    self._spoilt.setdefault(self._leader[n], self._reader(t))

    def _check_zeros(self, leader: int) -> None:
        """Over two thirds of the weights of a cluster must be zeros."""
        nodes = [node for n, node in enumerate(self._net.nodes) if self._leader[n] == leader]
        sparsity = _sparsity(nodes)
        if sparsity <= 2 / 3:
            why = f"{100 * sparsity:.1f} % of the 1x1 weights are zeros, and over 2/3 must be"
            self._spoilt[leader] = "", why

    def _reader(self, tensor: int) -> tuple[str, str]:
        """The operator that reads a tensor in NHWC, and why it must."""
        for n, node in enumerate(self._net.nodes):
            if tensor in node.inputs and not self._layouts[n] & (Layout.NCHW | Layout.BACK):
                return node.name, self._why[n] or "it reads NHWC"
        return "", "an output of the graph is in NHWC"

    def broken(self, n: int, inside: Sequence[int]) -> tuple[str, str] | None:
        """Return what goes wrong after an operator with inputs in NCHW: the operator, and why."""
        node, net = self._net.nodes[n], self._net
        converted = {t for i in inside for t in net.nodes[i].inputs}
        if node.kind == "FULLY_CONNECTED":
            four = len(net.shapes[node.inputs[0]]) == 4
            return (node.name, "it runs in NHWC, but reads NCHW") if four else None
        if node.kind in REDUCTIONS and node.axes != (1, 2):
            return node.name, "in NCHW it reduces other axes than height and width"
        left = [t for t in node.outputs if t not in converted]
        if not left or node.kind == "DEPTH_TO_SPACE":
            return None
        if node.kind not in REDUCTIONS:
            operator, why = self._reader(left[0])
            return operator, f"{why}, but gets NCHW from {node.name}"
        readers = [reader for reader in net.nodes if left[0] in reader.inputs]
        if len(net.shapes[left[0]]) != 4 or (
            left[0] not in net.outputs and all(r.kind == "RESHAPE" for r in readers)
        ):
            return None
        # XNNPACK gives the shape as (N, C, 1, 1) instead of (N, 1, 1, C).
        return node.name, "in NCHW its output gets another shape, which only a RESHAPE sets right"

    def obstacle(self) -> tuple[str, str]:
        """Return the first operator that keeps the path off, and why, from where a chain starts."""
        nodes = self._net.nodes
        reached = {n for n, layout in enumerate(self._layouts) if layout is Layout.INTO}
        if not reached:
            first = next((n for n, node in enumerate(nodes) if node.kind == "CONV_2D"), None)
            if first is None:
                return "", f"the graph does not have {FIRST}"
            return nodes[first].name, f"{self._why[first] or f'it is not {FIRST}'}"
        ended = False
        for n, node in enumerate(nodes):
            read = [t for t in node.inputs if self._producer.get(t) in reached]
            if not read or (
                not self._layouts[n] and all(_is_flat(self._net.shapes[t]) for t in read)
            ):
                continue
            if not self._layouts[n]:
                return node.name, self._why[n]
            if spoilt := self._spoilt.get(n, self._spoilt.get(self._leader[n])):
                return spoilt
            ended = ended or bool(self._layouts[n] & Layout.BACK)
            reached.add(n)
        return "", f"no chain ends in {LAST}" if not ended else "no cluster is complete"


def _is_flat(shape: tuple[int, ...]) -> bool:
    """Whether NHWC and NCHW are the same order of the same numbers."""
    return len(shape) != 4 or shape[1] * shape[2] == 1 or shape[3] == 1
