"""Which channels of a net must go together, and a net without some of them.

A channel is a number. Following the exported graph, every convolution and linear layer makes new
ones, one for each output; operators then tie them: an addition makes the n-th channels of its
operands one, a concatenation puts them behind each other, a flatten repeats each for its pixels, a
depthwise convolution and a normalisation have those of their input. So residual sums, concatenated
branches and gates come out right without a rule for any of them. The channel WHOLE can never go: it
stands for inputs and outputs of the net, and for what is tied to a size that the net's own code
fixes (channels padded with zeros, or sliced), to a convolution in groups, or to a layer that shares
its weight with another.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from paretomark.models.compress import _ties
from paretomark.suites.spec._errors import UserError, explained

Channels: TypeAlias = NDArray[np.intp]
Alive: TypeAlias = NDArray[np.bool_]  # by channel
Values: TypeAlias = NDArray[np.float64]  # likewise

WHOLE = 0
# What neither mixes nor moves channels, besides the operators that torch itself tags pointwise.
KEEPS = {
    *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "upsample_nearest2d"),
    *("upsample_bilinear2d", "dropout", "feature_dropout", "hardswish"),
    *("clone", "contiguous", "to", "detach", "alias"),
}
RESHAPES = {"flatten", "view", "reshape", "unsqueeze", "squeeze"}
REDUCES = {"mean", "sum", "amax"}


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: the channel of each of its outputs and inputs."""

    module: nn.Conv2d | nn.Linear
    outputs: Channels
    inputs: Channels
    positions: int  # pixels of its output, over all its uses

    @property
    def depthwise(self) -> bool:
        """Whether each output has its own input, so that both are the same channel."""
        return isinstance(self.module, nn.Conv2d) and self.module.groups > 1

    def macs(self, alive: Alive) -> int:
        """Return multiply-accumulates for one picture, with these channels."""
        kernel = int(np.prod(self.module.weight.shape[2:]))
        inputs = int(alive[self.inputs].sum())
        if isinstance(self.module, nn.Conv2d) and self.depthwise:
            inputs = self.module.in_channels // self.module.groups
        return self.positions * kernel * int(alive[self.outputs].sum()) * inputs


@dataclass(frozen=True)
class Graph:
    """The layers of a net by name, in the order they run, and its normalisations."""

    layers: dict[str, Layer]
    norms: dict[str, tuple[nn.BatchNorm2d | nn.BatchNorm1d, Channels]]
    count: int  # channels, those that are tied to others included
    shared: tuple[str, ...]  # weights that layers share, so that these stay whole

    def macs(self, alive: Alive) -> int:
        """Return multiply-accumulates of the net for one picture, with these channels."""
        return sum(layer.macs(alive) for layer in self.layers.values())

    def groups(self, fixed: Set[str]) -> list[Channels]:
        """Return the channels that may go, those that the same layers make together.

        Raises UserError if the layers in `fixed`, which must stay whole, leave none.
        """
        makers: dict[int, list[str]] = defaultdict(list)
        for name, layer in self.layers.items():
            for channel in np.unique(layer.outputs):
                makers[int(channel)].append(name)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for channel, names in makers.items():
            if channel != WHOLE and fixed.isdisjoint(names):
                groups[tuple(names)].append(channel)
        if not groups:
            shared = f", and share no weights ({', '.join(self.shared)})" if self.shared else ""
            raise UserError(f"no channel of this net can go; exclude fewer layers{shared}")
        return [np.array(channels) for channels in groups.values()]


def follow(net: nn.Module, sample: Tensor) -> Graph:
    """Return the channels of a net in evaluation. `sample` (N, C, H, W), N > 1, is what it takes.

    Raises UserError if the net cannot be exported, or has an operator that is not followed.
    """
    try:
        program = torch.export.export(net, (sample,))
    except Exception as error:
        why = explained(error, 200)
        raise UserError(f"the net's channels cannot be followed, its export fails: {why}") from None
    signature = program.graph_signature
    walk = _Walk(net, {**signature.inputs_to_parameters, **signature.inputs_to_buffers})
    for node in program.graph.nodes:
        walk.visit(node)
    return walk.graph()


def remove(net: nn.Module, graph: Graph, alive: Alive, sample: Tensor) -> None:
    """Shrink the net of the graph, in place, to the channels that are alive.

    Raises UserError if it then does not take the sample: its code expects other sizes.
    """
    with torch.no_grad():
        for layer in graph.layers.values():
            _shrink(layer, alive)
        for norm, channels in graph.norms.values():
            rows = torch.from_numpy(alive[channels])
            if rows.all():
                continue
            norm.num_features = int(rows.sum())
            for name, parameter in list(norm.named_parameters()):
                setattr(norm, name, nn.Parameter(parameter[rows], parameter.requires_grad))
            for name, buffer in list(norm.named_buffers()):
                if buffer.ndim:  # the count of batches has none
                    setattr(norm, name, buffer[rows])
        try:
            net(sample)
        except (RuntimeError, ValueError) as error:
            why = explained(error, 200)
            raise UserError(f"the net's code expects channels that would go: {why}") from None


def _shrink(layer: Layer, alive: Alive) -> None:
    module = layer.module
    if alive[layer.outputs].all() and alive[layer.inputs].all():
        return  # and keeps what it shares with others
    rows, columns = (torch.from_numpy(alive[c]) for c in (layer.outputs, layer.inputs))
    weight = module.weight[rows] if layer.depthwise else module.weight[rows][:, columns]
    module.weight = nn.Parameter(weight, module.weight.requires_grad)
    if module.bias is not None:
        module.bias = nn.Parameter(module.bias[rows], module.bias.requires_grad)
    outputs, inputs = int(rows.sum()), int(columns.sum())
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = outputs, inputs
    else:
        module.out_channels, module.in_channels = outputs, inputs
        module.groups = inputs if module.groups == len(columns) else module.groups


class _Walk:
    """One pass over the nodes of an exported graph."""

    def __init__(self, net: nn.Module, names: dict[str, str]) -> None:
        self.net = net
        self.shared = _ties.sharers(net).keys()
        self.names = names  # of parameters and buffers in the net, by that of their node
        self.parent = [WHOLE]  # of each channel; one that is its own stands for all tied to it
        self.of: dict[fx.Node, list[int]] = {}  # the channels along axis 1
        self.layers: dict[str, tuple[nn.Conv2d | nn.Linear, list[int], list[int], int]] = {}
        self.norms: dict[str, tuple[Any, list[int]]] = {}

    def graph(self) -> Graph:
        layers = {
            name: Layer(module, self._roots(outputs), self._roots(inputs), positions)
            for name, (module, outputs, inputs, positions) in self.layers.items()
        }
        norms = {name: (norm, self._roots(c)) for name, (norm, c) in self.norms.items()}
        return Graph(layers, norms, len(self.parent), tuple(self.shared))

    def visit(self, node: fx.Node) -> None:
        if node.op == "call_function":
            self.of[node] = self._call(node)
        elif node.op == "output":
            for result in node.all_input_nodes:
                self._whole(self.of[result], ())
        else:
            self.of[node] = self._whole([], _shape(node))

    def _call(self, node: fx.Node) -> list[int]:
        target: Any = node.target
        name = target.__name__.partition(".")[0].rstrip("_")
        shape = _shape(node)
        if not node.all_input_nodes:
            return self._whole([], shape)
        first = node.all_input_nodes[0]
        source, before = self.of[first], _shape(first)
        if name in ("conv2d", "linear"):
            return self._layer(node, name, source)
        if name == "batch_norm":
            return self._norm(node, source)
        if name == "cat" and node.args[1:] in ((1,), (1 - len(shape),)):
            parts: Any = node.args[0]
            return [c for part in parts for c in self.of[part]]
        if torch.Tag.pointwise in getattr(target, "tags", ()):
            return self._pointwise(node, shape)
        same = before[:2] == shape[:2]
        if name in RESHAPES and len(shape) == 2 and not same and shape[0] == before[0]:
            return [c for c in source for _ in range(shape[1] // len(source))]
        if name in ("pad", "constant_pad_nd", "slice"):
            return source if same else self._whole(source, shape)
        if name in REDUCES and same:
            axes: Any = node.args[1]
            same = all(axis % len(before) > 1 for axis in axes)
        if name in KEEPS | RESHAPES | REDUCES and same:
            return source
        raise self._refusal(node, name)

    def _layer(self, node: fx.Node, name: str, source: list[int]) -> list[int]:
        path, module = self._module(node, 1)
        shape = _shape(node)
        if not isinstance(module, nn.Conv2d | nn.Linear) or len(shape) != module.weight.ndim:
            raise self._refusal(node, name)
        groups = module.groups if isinstance(module, nn.Conv2d) else 1
        positions = 0
        shared = bool(self.shared & {f"{path}.weight", f"{path}.bias"})
        if path in self.layers:
            _, outputs, inputs, positions = self.layers[path]
            self._tie(source, inputs)
        elif groups == 1 and not shared:
            outputs = list(range(len(self.parent), len(self.parent) + shape[1]))
            self.parent += outputs
        elif groups == len(source) == shape[1] and not shared:
            outputs = source
        else:
            outputs = self._whole(source, shape)
        self.layers[path] = (module, outputs, source, positions + math.prod(shape[2:]))
        return outputs

    def _norm(self, node: fx.Node, source: list[int]) -> list[int]:
        shape = _shape(node)
        path, module = self._module(node, 3)  # its running mean; weights it may have none
        if not isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            raise self._refusal(node, "batch_norm")
        if self.shared & {f"{path}.weight", f"{path}.bias"}:
            return self._whole(source, shape)
        if path in self.norms:
            self._tie(source, self.norms[path][1])
        self.norms[path] = (module, source)
        return source

    def _pointwise(self, node: fx.Node, shape: tuple[int, ...]) -> list[int]:
        channels: list[int] = []
        for part in node.all_input_nodes:
            size = _shape(part)
            if math.prod(size) == 1 or (len(size) == len(shape) and size[1:2] != shape[1:2]):
                continue  # the same for all channels
            if len(size) < len(shape):
                channels = self._whole(channels, shape)
            elif len(shape) > 1:
                channels = channels or self.of[part]
                self._tie(channels, self.of[part])
        return channels

    def _tie(self, some: list[int], others: list[int]) -> None:
        for a, b in zip(some, others, strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self.parent[high] = low

    def _whole(self, channels: list[int], shape: tuple[int, ...]) -> list[int]:
        """Never remove these. Returns those of a tensor that never loses any."""
        self._tie(channels, [WHOLE] * len(channels))
        return [WHOLE] * math.prod(shape[1:2])

    def _root(self, channel: int) -> int:
        while self.parent[channel] != channel:
            self.parent[channel] = channel = self.parent[self.parent[channel]]
        return channel

    def _roots(self, channels: list[int]) -> Channels:
        return np.array([self._root(c) for c in channels], np.intp)

    def _module(self, node: fx.Node, argument: int) -> tuple[str, nn.Module | None]:
        """The module that owns an argument of a node, and its name."""
        owner = node.args[argument]
        name = self.names.get(owner.name, "") if isinstance(owner, fx.Node) else ""
        path = name.rpartition(".")[0]
        return path, self.net.get_submodule(path) if name else None

    def _refusal(self, node: fx.Node, name: str) -> UserError:
        stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        where = f"'{stack[-1]}'" if stack and stack[-1] else "the net's forward"
        return UserError(
            f"{name} in {where} may mix channels in a way that is not followed; "
            "write it by other operators, or prune by a method that keeps shapes"
        )


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()
