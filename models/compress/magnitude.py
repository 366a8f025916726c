"""Magnitude pruning: the weights closest to zero become zero.

Source: Han et al., Learning both Weights and Connections, 2015; "global" ranks all layers
together, "layer" each by itself (Blalock et al., What is the State of Neural Network
Pruning?, 2020). The first convolution and depthwise convolutions are left dense unless
asked for: they hold few weights and are hurt most (Elsen et al., Fast Sparse ConvNets, 2019).
Parameters, MACs of the dense form and bytes of a dense file stay; nonzeros fall.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretomark.models.compress._step import Context
from paretomark.suites._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

SCOPES = ("global", "layer")


def check(
    *,
    sparsity: float,
    scope: str = "global",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
) -> None:
    """Raise UserError unless 0 <= sparsity < 1 and the scope is known."""
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity must be at least 0 and below 1, got {sparsity}")
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    scope: str = "global",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
) -> nn.Module:
    """A copy of the net with the fraction `sparsity` of its prunable weights set to zero.

    `exclude` names further layers to leave dense, as `net.named_modules()` does. Raises
    UserError for a name that is no prunable layer, and if nothing is left to prune.
    """
    import torch

    net = copy.deepcopy(net)
    layers = prunable(net, first=prune_first, depthwise=prune_depthwise)
    for name in exclude:
        if layers.pop(name, None) is None:
            raise unknown("layer to exclude", name, layers)
    if not layers:
        raise UserError("magnitude: no convolution or linear layer is left to prune")
    weights = [layer.weight.data for layer in layers.values()]
    groups = [weights] if scope == "global" else [[w] for w in weights]
    for group in groups:
        ranked = torch.cat([w.abs().flatten() for w in group]).argsort(stable=True)
        keep = torch.ones(len(ranked))
        keep[ranked[: round(sparsity * len(ranked))]] = 0
        for w, k in zip(group, torch.split(keep, [w.numel() for w in group]), strict=True):
            w.mul_(k.view_as(w))
    return net


def prunable(net: nn.Module, *, first: bool, depthwise: bool) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers whose weights may be pruned, by name, in the order of the net."""
    from torch import nn

    layers: dict[str, nn.Conv2d | nn.Linear] = {}
    convolutions = 0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            convolutions += 1
            is_depthwise = module.groups == module.in_channels > 1
            if (convolutions > 1 or first) and (not is_depthwise or depthwise):
                layers[name] = module
        elif isinstance(module, nn.Linear):
            layers[name] = module
    return layers
