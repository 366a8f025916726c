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
    relu6: fx.Node | None
    padded: bool
    factor: Tensor  # of each channel, so far


def find(net: fx.GraphModule) -> list[Pair]:
    """Return pairs of layers joined by what commutes with a positive factor of each channel, or by
    ReLU6.

    Each is all that uses the other; the net is one of `_fake_quant.folded`.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    from paretomark.models.compress import _fake_quant

    relu = (nn.ReLU, torch.relu, functional.relu, "relu")
    still = (nn.Identity, nn.Dropout, nn.MaxPool2d, nn.Flatten, torch.flatten, "flatten")
    pairs = []
    for node in net.graph.nodes:
        first = _fake_quant.layer_of(net, node)
        at, clipped, padded = node, None, False
        while first is not None and len(at.users) == 1:
            at = next(iter(at.users))
            second = _fake_quant.layer_of(net, at)
            if second is not None:
                channels = first.weight.shape[0]
                if channels == second.weight.shape[1] * getattr(second, "groups", 1):
                    padded |= any(getattr(second, "padding", ()))
                    one = torch.ones(channels)
                    pairs.append(Pair(first, second, str(node.target), clipped, padded, one))
                break
            module = net.get_submodule(str(at.target)) if at.op == "call_module" else None
            kind = at.target if module is None else type(module)
            if kind in (nn.ReLU6, functional.relu6) and clipped is None:
                clipped = at
            elif kind is nn.ZeroPad2d:
                padded = True
            elif not (
                kind in relu or kind in still or (kind == "mean" and at.args[1:] == ((2, 3),))
            ):
                break
    return pairs


def into(layer: Layer, channels: Tensor) -> Tensor:
    """Return a value of each input channel where the layer's weight multiplies that channel."""
    groups, weight = getattr(layer, "groups", 1), layer.weight
    rows = channels.view(groups, -1).repeat_interleave(len(weight) // groups, 0)
    return rows.view(*rows.shape, *[1] * (weight.ndim - 2))
