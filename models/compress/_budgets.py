"""What may be pruned, and how much each layer loses: what the methods with a sparsity share.

What is pruned is a weight, not a module: an attention and a recurrent layer have several. A weight
that is computed from others (`torch.nn.utils.parametrizations`) cannot be.

A budget is a scope. "global" ranks the scores of all layers together, "layer" takes the same share
of each (Blalock et al., What is the State of Neural Network Pruning?, 2020). "erk" is
Erdős–Rényi-kernel (Evci et al., Rigging the Lottery, 2020, after Mocanu et al., 2018): the density
of a layer is proportional to the sum of its weight's dimensions over their product, such as
(c_in + c_out + kh + kw) / (c_in c_out kh kw), scaled so that the whole has the asked sparsity; a
layer that would exceed 1 stays dense, and the others have the rest. So small layers stay denser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretomark.models.compress import _reached
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

SCOPES = ("global", "layer", "erk")
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def check(*, sparsity: float, scope: str) -> None:
    """Raise UserError unless 0 <= sparsity < 1 and the scope is known."""
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity must be at least 0 and below 1, got {sparsity}")
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)


def reached(
    before: nn.Module,
    after: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
) -> dict[str, Reached]:
    """Compare what was asked of the weights that may be pruned with what all weights have."""
    layers = prunable(before, exclude=exclude, first=prune_first, depthwise=prune_depthwise)
    return {"sparsity": _reached.sparsity(after, sparsity, layers)}


@dataclass(frozen=True)
class Layer:
    """A weight that may be pruned, and the module that computes with it."""

    module: nn.Module
    attribute: str  # of the module: "weight", "in_proj_weight", "weight_hh_l0"

    @property
    def weight(self) -> Tensor:
        """Give the weight itself."""
        weight: Tensor = getattr(self.module, self.attribute)
        return weight

    @property
    def can_be_computed(self) -> bool:
        """Whether the weight may come to be computed from others (`parametrize`): recurrent layers
        would not see it, and the first dimension must be that of outputs."""
        from torch import nn

        recurrent = isinstance(self.module, nn.RNNBase | nn.RNNCellBase)
        return not recurrent and not getattr(self.module, "transposed", False)

    def swapped(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the weight's shape with outputs first, (out, in / groups, ...), or one
        of that shape as the weight is: the same, but for transposed convolutions, whose weights are
        (in, out / groups, ...)."""
        if not getattr(self.module, "transposed", False):
            return tensor
        groups, (first, second, *kernel) = int(getattr(self.module, "groups", 1)), tensor.shape
        grouped = tensor.reshape(groups, first // groups, second, *kernel)
        return grouped.transpose(1, 2).reshape(groups * second, first // groups, *kernel)


def prunable(
    net: nn.Module, *, exclude: Sequence[str] = (), first: bool = False, depthwise: bool = False
) -> dict[str, Layer]:
    """Return the weights that may be pruned, by name, in the order of the net.

    They are those of convolutions, also transposed ones, of linear, bilinear and recurrent layers
    and of attention. The first convolution and depthwise convolutions are left out unless asked
    for: they hold few weights and are hurt most (Elsen et al., Fast Sparse ConvNets, 2019).
    `exclude` names further ones, as `_reached.weights` does; a weight that layers share goes by the
    name of any. Raises UserError for a name that is no prunable weight, and if none is left.
    """
    from torch import nn

    layers: dict[str, Layer] = {}
    convolutions = 0
    for prefix, module in net.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            convolutions += 1
            if convolutions == 1 and not first:
                continue
        groups = getattr(module, "groups", 1)
        if groups == getattr(module, "in_channels", 0) > 1 and not depthwise:
            continue
        for attribute in _attributes(module):
            name = f"{prefix}.{attribute}" if prefix else attribute
            layers[name.removesuffix(".weight")] = Layer(module, attribute)
    for name in exclude:
        if name not in layers:
            raise unknown("layer to exclude", name, layers)
    taken = {id(layers[name].weight) for name in exclude}
    for name, layer in list(layers.items()):
        if id(layer.weight) in taken:
            del layers[name]
        taken.add(id(layer.weight))
    if not layers:
        raise UserError("no convolution or linear layer is left to prune; exclude fewer of them")
    return layers


def replaceable(net: nn.Module) -> set[str]:
    """Return the layers, by name, that something else may stand for: not those whose weights
    torch's attention takes without calling them."""
    from torch import nn

    attention = {id(m.out_proj) for m in net.modules() if isinstance(m, nn.MultiheadAttention)}
    return {name for name, module in net.named_modules() if name and id(module) not in attention}


def replace(net: nn.Module, name: str, layer: nn.Module) -> None:
    """Put another layer in the place of one, in place."""
    from torch import nn

    parent, _, child = name.rpartition(".")
    above = net.get_submodule(parent)
    setattr(above, child, layer)
    if isinstance(above, nn.TransformerEncoderLayer):
        above.activation_relu_or_gelu = 0  # its fast path would take weights without calling


def _attributes(module: nn.Module) -> Iterator[str]:
    """The weights of a module that may be pruned."""
    from torch import nn

    kinds = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear | nn.Bilinear
    transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
    for name, weight in module.named_parameters(recurse=False):
        if (
            (name == "weight" and isinstance(module, kinds | transposed))
            or (name in ATTENTION and isinstance(module, nn.MultiheadAttention))
            or (name.startswith("weight_") and isinstance(module, nn.RNNBase | nn.RNNCellBase))
        ) and weight.is_floating_point():
            yield name


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


def of_parameters(
    net: nn.Module, layers: Mapping[str, Layer], masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return masks of layers by the names that `net.named_parameters()` has for their weights."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {names[id(layers[name].weight)]: mask for name, mask in masks.items()}
