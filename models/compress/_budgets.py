"""How much each layer loses: what the methods that prune by a sparsity have in common.

A budget is a scope. "global" ranks the scores of all layers together, "layer" takes the same share
of each (Blalock et al., What is the State of Neural Network Pruning?, 2020). "erk" is
Erdős–Rényi-kernel (Evci et al., Rigging the Lottery, 2020, after Mocanu et al., 2018): the density
of a layer is proportional to the sum of its weight's dimensions over their product, such as
(c_in + c_out + kh + kw) / (c_in c_out kh kw), scaled so that the whole has the asked sparsity; a
layer that would exceed 1 stays dense, and the others have the rest. So small layers stay denser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    Layer: TypeAlias = nn.Conv2d | nn.Linear

SCOPES = ("global", "layer", "erk")


def check(*, sparsity: float, scope: str) -> None:
    """Raise UserError unless 0 <= sparsity < 1 and the scope is known."""
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity must be at least 0 and below 1, got {sparsity}")
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)


def prunable(
    net: nn.Module, *, exclude: Sequence[str] = (), first: bool = False, depthwise: bool = False
) -> dict[str, Layer]:
    """Return the layers whose weights may be pruned, by name, in the order of the net.

    The first convolution and depthwise convolutions are left out unless asked for: they hold few
    weights and are hurt most (Elsen et al., Fast Sparse ConvNets, 2019). `exclude` names further
    ones, as `net.named_modules()` does. Raises UserError for a name that is no prunable layer, and
    if no layer is left.
    """
    from torch import nn

    layers: dict[str, Layer] = {}
    convolutions = 0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            convolutions += 1
            is_depthwise = module.groups == module.in_channels > 1
            if (convolutions > 1 or first) and (not is_depthwise or depthwise):
                layers[name] = module
        elif isinstance(module, nn.Linear):
            layers[name] = module
    for name in exclude:
        if layers.pop(name, None) is None:
            raise unknown("layer to exclude", name, layers)
    if not layers:
        raise UserError("no convolution or linear layer is left to prune; exclude fewer of them")
    return layers


def erk(shapes: Sequence[Sequence[int]], sizes: Sequence[int], sparsity: float) -> list[float]:
    """Return the density, 0..1, of each layer by its weight's shape; `sizes` is how much of it can
    go."""
    raw = [sum(shape) / math.prod(shape) for shape in shapes]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(raw)) if i not in dense]
        kept = (1 - sparsity) * sum(sizes) - sum(sizes[i] for i in dense)
        weight = sum(raw[i] * sizes[i] for i in rest)
        scale = kept / weight if weight else 0.0
        full = {i for i in rest if scale * raw[i] > 1}
        if not full:
            return [1.0 if i in dense else scale * raw[i] for i in range(len(raw))]
        dense |= full


def masks(
    scores: Mapping[str, Tensor], layers: Mapping[str, Layer], sparsity: float, scope: str
) -> dict[str, Tensor]:
    """Return by layer 0 at the fraction `sparsity` of lowest scores and 1 elsewhere, as the scores
    are.

    A score is that of a weight, or of a block of them. Ties go in the order of the net, so the
    share is met exactly, but for the rounding: once by scope "global", else once in each layer.
    """
    import torch

    sizes = [s.numel() for s in scores.values()]
    if scope == "global":
        parts = torch.split(
            _keep(torch.cat([s.flatten() for s in scores.values()]), sparsity), sizes
        )
    else:
        shares = [sparsity] * len(scores)
        if scope == "erk":
            shapes = [layers[name].weight.shape for name in scores]
            shares = [1 - density for density in erk(shapes, sizes, sparsity)]
        flat = (s.flatten() for s in scores.values())
        parts = tuple(_keep(s, share) for s, share in zip(flat, shares, strict=True))
    return {name: p.view_as(s) for (name, s), p in zip(scores.items(), parts, strict=True)}


def _keep(scores: Tensor, sparsity: float) -> Tensor:
    import torch

    keep = torch.ones_like(scores)
    keep[scores.argsort(stable=True)[: round(sparsity * len(scores))]] = 0
    return keep
