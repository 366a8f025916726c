"""Gradual magnitude pruning: sparsity rises along a cubic while the net is trained on.

Source: Zhu & Gupta, To prune, or not to prune, 2017. Every `every` steps the masks are made anew
from magnitudes at the sparsity that the schedule is at. As there, a masked weight does not learn
but keeps its value, and returns with it should those of others fall below. From `end` on the masks
stay, and the rest of the training is at the final sparsity. Scopes and layers left dense are those
of `_budgets.py`. Parameters, MACs of the dense form and bytes of a dense file stay; nonzeros fall.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from paretomark.models.compress import _budgets, _tuning
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import nn

reached = _budgets.reached


def check(
    *,
    sparsity: float,
    scope: str,
    begin: float,
    end: float,
    every: int,
    **tuning: Unpack[_tuning.Tuning],
) -> None:
    """Raise UserError for a value that cannot be."""
    _budgets.check(sparsity=sparsity, scope=scope)
    _tuning.check(**tuning)
    if not 0 <= begin <= end <= 1:
        raise UserError(f"begin and end must be 0 <= begin <= end <= 1, got {begin} and {end}")
    if every < 1:
        raise UserError(f"every must be at least 1 step, got {every}")


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    scope: str = "global",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
    begin: float = 0.0,
    end: float = 0.25,
    every: int = 16,
    **tuning: Unpack[_tuning.Tuning],
) -> nn.Module:
    """Return a copy of the net, trained on and pruned from its own sparsity to `sparsity` by the
    way.

    `begin` and `end` are fractions of the training, `every` counts steps. Raises UserError for a
    layer to exclude that is none, and if nothing is left to prune.
    """
    import torch

    net = copy.deepcopy(net)
    layers = _budgets.prunable(net, exclude=exclude, first=prune_first, depthwise=prune_depthwise)
    values = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    total = sum(value.numel() for value in values.values())
    initial = 1 - sum(int(value.count_nonzero()) for value in values.values()) / total
    masks = {name: (value != 0).to(value.dtype) for name, value in values.items()}

    def remask(step: int, steps: int) -> None:
        last = min(round(end * steps), steps - 1)
        first = min(round(begin * steps), last)
        if not first <= step <= last or ((step - first) % every and step != last):
            return
        for name, layer in layers.items():
            values[name] = torch.where(masks[name] > 0, layer.weight.detach(), values[name])
        share = (step - first) / (last - first) if last > first else 1.0
        sizes = {name: value.abs() for name, value in values.items()}
        goal = cubic(share, initial, sparsity)
        for name, mask in _budgets.masks(sizes, layers, goal, scope).items():
            masks[name].copy_(mask)
            layers[name].weight.data.copy_(values[name] * mask)

    everything = _tuning.zeros(net) | _budgets.of_parameters(net, layers, masks)
    _tuning.tune(net, ctx, **tuning, masks=everything, remask=remask)
    return net.eval()


def cubic(share: float, initial: float, final: float) -> float:
    """Return the sparsity when the fraction `share`, 0..1, of the time to prune has passed."""
    return final + (initial - final) * (1 - share) ** 3
