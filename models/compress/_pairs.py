"""Which layers of a net are joined so that a channel between them can be scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, fx

    from paretomark.models.compress._fake_quant import Layer


@dataclass
class Pair:
    """Two layers that are joined, and by what."""

    first: Layer
    second: Layer
    name: str  # of the first
    other: str  # name of the second
    relu6: fx.Node | None
    channels_last: bool  # of what goes into the ReLU6: the last axis, not the second
    padded: bool
    factor: Tensor  # of each channel, so far

    @property
    def parameters(self) -> tuple[str, ...]:
        """Name what is scaled."""
        return f"{self.name}.weight", f"{self.name}.bias", f"{self.other}.weight"


def find(net: fx.GraphModule) -> list[Pair]:
    """Return pairs of layers joined by what commutes with a positive factor of each channel, or by
    ReLU6.

    Each is all that uses the other; the net is one of `_fake_quant.folded`.
    """
    import torch

    from paretomark.models.compress import _fake_quant

    pairs = []
    for node in net.graph.nodes:
        first = _fake_quant.layer_of(net, node)
        if first is None:
            continue
        # Channels are the last axis of what a linear layer puts out, and else the second.
        at, last = node, first.weight.ndim == 2
        relu6, relu6_last, padded = None, False, False
        while len(at.users) == 1:
            at = next(iter(at.users))
            second, kind = _fake_quant.layer_of(net, at), _kind(net, at)
            if second is not None:
                channels = first.weight.shape[0]
                takes = second.weight.shape[1] * getattr(second, "groups", 1)
                if channels == takes and last == (second.weight.ndim == 2):
                    padded |= any(getattr(second, "padding", ()))
                    names = str(node.target), str(at.target)
                    one = torch.ones(channels)
                    pairs.append(Pair(first, second, *names, relu6, relu6_last, padded, one))
                break
            if kind == "relu6" and relu6 is None:
                relu6, relu6_last = at, last
            elif kind not in ("still", "flat") and (last or kind not in ("space", "padded")):
                break
            last, padded = last or kind == "flat", padded or kind == "padded"
    return pairs


def _kind(net: fx.GraphModule, node: fx.Node) -> str:
    """What a node does to channels: nothing ("still"), nothing if they are the second axis, with
    zeros around or not ("padded", "space"), cuts them ("relu6"), makes them the last axis
    ("flat"), or anything else ("")."""
    import torch
    from torch import nn
    from torch.nn import functional

    module = net.get_submodule(str(node.target)) if node.op == "call_module" else None
    kind, arguments = node.target if module is None else type(module), (*node.args[1:],)
    if kind in (nn.ReLU6, functional.relu6):
        return "relu6"
    if kind in (nn.ReLU, torch.relu, functional.relu, "relu", nn.Identity, nn.Dropout):
        return "still"
    if kind is nn.MaxPool2d:
        return "space"
    if kind is nn.ZeroPad2d:
        return "padded"
    if isinstance(module, nn.Flatten):
        return "flat" if (module.start_dim, module.end_dim) == (1, -1) else ""
    if kind in (torch.flatten, "flatten"):
        return "flat" if (arguments, node.kwargs) in (((1,), {}), ((), {"start_dim": 1})) else ""
    if kind == "mean" and arguments[:1] in (((2, 3),), ([2, 3],)):
        return "space" if True in (*arguments[1:], *node.kwargs.values()) else "flat"
    return ""


def into(layer: Layer, channels: Tensor) -> Tensor:
    """Return a value of each input channel where the layer's weight multiplies that channel."""
    groups, weight = getattr(layer, "groups", 1), layer.weight
    rows = channels.view(groups, -1).repeat_interleave(len(weight) // groups, 0)
    return rows.view(*rows.shape, *[1] * (weight.ndim - 2))
