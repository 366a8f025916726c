"""Magnitude pruning: the weights closest to zero become zero.

Source: Han et al., Learning both Weights and Connections, 2015; the scopes and which layers are
left dense are those of `_budgets.py`. Parameters, MACs of the dense form and bytes of a dense file
stay; nonzeros fall.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretomark.models.compress import _budgets
from paretomark.models.compress._step import Context

if TYPE_CHECKING:
    from torch import nn

check = _budgets.check
reached = _budgets.reached


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
    """Return a copy of the net with the fraction `sparsity` of its prunable weights set to zero.

    `exclude` names further layers to leave dense. Raises UserError for a name that is no prunable
    layer, and if nothing is left to prune.
    """
    net = copy.deepcopy(net)
    layers = _budgets.prunable(net, exclude=exclude, first=prune_first, depthwise=prune_depthwise)
    sizes = {name: layer.weight.data.abs() for name, layer in layers.items()}
    for name, mask in _budgets.masks(sizes, layers, sparsity, scope).items():
        layers[name].weight.data.mul_(mask)
    return net
