"""RigL: sparse training whose few weights move to where they are needed.

Source: Evci et al., Rigging the Lottery: Making All Tickets Winners, 2020. Every `every` steps a
fraction of each layer's weights, `alpha` annealed to 0 along a cosine, is dropped by magnitude, and
as many are grown where the loss has the largest gradient; what grows starts at zero, and takes its
first step on the same batch. The number of weights in a layer never changes. Unlike there the net
is a trained one: its masks start from its magnitudes, or at random; and an output that has lost all
its weights stays so. Scopes and layers left dense are those of `_budgets.py`. Parameters, MACs of
the dense form and bytes of a dense file stay; nonzeros fall.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from paretomark.models.compress import _budgets, _tuning
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

STARTS = ("magnitude", "random")
reached = _budgets.reached


def check(
    *,
    sparsity: float,
    scope: str,
    start: str,
    alpha: float,
    until: float,
    every: int,
    **tuning: Unpack[_tuning.Tuning],
) -> None:
    """Raise UserError for a value that cannot be."""
    _budgets.check(sparsity=sparsity, scope=scope)
    _tuning.check(**tuning)
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    if not (0 < alpha <= 1 and 0 < until <= 1):
        raise UserError(f"alpha and until must be above 0 and at most 1, got {alpha} and {until}")
    if every < 1:
        raise UserError(f"every must be at least 1 step, got {every}")


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    scope: str = "erk",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
    start: str = "magnitude",
    alpha: float = 0.3,
    until: float = 0.75,
    every: int = 16,
    **tuning: Unpack[_tuning.Tuning],
) -> nn.Module:
    """Return a copy of the net, pruned to `sparsity` and trained on while its masks move.

    `until` is the fraction of the training in which they do, `every` counts steps. Raises UserError
    for a layer to exclude that is none, and if nothing is left to prune.
    """
    import torch

    net = copy.deepcopy(net)
    layers = _budgets.prunable(net, exclude=exclude, first=prune_first, depthwise=prune_depthwise)
    generator = torch.Generator().manual_seed(ctx.seed)
    scores = {
        name: torch.rand(layer.weight.shape, generator=generator)
        if start == "random"
        else layer.weight.detach().abs()
        for name, layer in layers.items()
    }
    masks = _budgets.masks(scores, layers, sparsity, scope)

    def remask(step: int, steps: int) -> None:
        if step == 0 or step % every or step >= until * steps:
            return
        fraction = alpha / 2 * (1 + math.cos(math.pi * step / (until * steps)))
        for name, layer in layers.items():
            assert layer.weight.grad is not None
            tensors = masks[name], layer.weight.detach(), layer.weight.grad
            mask, weight, gradient = (layer.swapped(tensor) for tensor in tensors)
            move(mask, weight, gradient, fraction)
            masks[name].copy_(layer.swapped(mask))

    everything = _tuning.zeros(net) | _budgets.of_parameters(net, layers, masks)
    _tuning.tune(net, ctx, **tuning, masks=everything, remask=remask)
    return net.eval()


def move(mask: Tensor, weight: Tensor, gradient: Tensor, fraction: float) -> None:
    """Drop `fraction` of the weights of a mask, and grow as many, in place.

    All but the kept may be grown: one that is dropped may stay at once, and goes on as it was.
    Where nothing has a gradient, nothing grows or is dropped. The first dimension is the output.
    """
    # An output without a weight has no variance, so normalisation multiplies its gradients by
    # hundreds: they would draw all that is grown to it, and their first step would throw it far.
    alive = mask.flatten(1).any(1).view(-1, *[1] * (mask.ndim - 1))
    on, size, slope = mask.view(-1), weight.abs().flatten(), (gradient.abs() * alive).flatten()
    room = int(((on == 0) & (slope > 0)).sum())
    count = min(int(fraction * int(on.sum())), room)
    on[size.masked_fill(on == 0, math.inf).topk(count, largest=False).indices] = 0
    on[slope.masked_fill(on > 0, -1.0).topk(count).indices] = 1
