"""Block pruning: whole blocks of output by input channels become zero, those of smallest norm.

Source: Gray et al., GPU Kernels for Block-Sparse Weights, 2017; Elsen et al., Fast Sparse ConvNets,
2019, whose kernels live on in XNNPACK. A block, `shape` = "4x1" being 4 output channels by 1 input
channel, is cut at each place of a kernel separately. XNNPACK takes 4x1 and 2x1 blocks of a 1x1
convolution as a whole, if 90 % of their weights are nonzero, and the outputs beyond the last whole
block one by one; TensorFlow Lite's sparse linear layers have 1x4 in float32, 1x16 in int8.
Channels beyond the last whole block of a layer stay dense, as do layers that hold no whole block;
they do not count: `sparsity` is that of the blocks. Scopes and layers left dense are those of
`_budgets.py`. Parameters, MACs of the dense form and bytes of a dense file stay; nonzeros fall.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paretomark.models.compress import _budgets, _reached
from paretomark.models.compress._budgets import Layer
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

NORMS = {"l1": 1, "l2": 2}


def check(*, sparsity: float, shape: str, norm: str, scope: str) -> None:
    """Raise UserError for a value that cannot be."""
    _budgets.check(sparsity=sparsity, scope=scope)
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if min(_numbers(shape)) < 1:
        raise UserError(f"shape must be output x input channels, such as 4x1, got '{shape}'")


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    shape: str = "4x1",
    norm: str = "l2",
    scope: str = "global",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    prune_depthwise: bool = False,
) -> nn.Module:
    """Return a copy of the net with the fraction `sparsity` of its blocks set to zero.

    Raises UserError for a layer to exclude that is none, and if no layer holds a whole block.
    """
    import torch

    net = copy.deepcopy(net)
    outputs, inputs = _numbers(shape)
    layers = _budgets.prunable(net, exclude=exclude, first=prune_first, depthwise=prune_depthwise)
    norms = {
        name: _blocks(weight, outputs, inputs).abs().pow(NORMS[norm]).sum((1, 3))
        for name, weight in _holding(layers, shape).items()
    }
    for name, kept in _budgets.masks(norms, layers, sparsity, scope).items():
        layer = layers[name]
        mask = torch.ones_like(layer.swapped(layer.weight.data))
        _blocks(mask, outputs, inputs).mul_(kept[:, None, :, None])
        layer.weight.data.mul_(layer.swapped(mask))
    return net


def reached(
    before: nn.Module,
    after: nn.Module,
    ctx: Context,
    *,
    sparsity: float,
    shape: str,
    exclude: Sequence[str],
    prune_first: bool,
    prune_depthwise: bool,
) -> dict[str, Reached]:
    """Compare the sparsity of blocks with that of all weights."""
    layers = _budgets.prunable(
        before, exclude=exclude, first=prune_first, depthwise=prune_depthwise
    )
    return {"sparsity": _reached.sparsity(after, sparsity, _holding(layers, shape))}


def _holding(layers: Mapping[str, Layer], shape: str) -> dict[str, Tensor]:
    """The weights, outputs first, that hold a block. Raises UserError if none does."""
    weights = {name: layer.swapped(layer.weight.data) for name, layer in layers.items()}
    holding = {
        n: weight for n, weight in weights.items() if _blocks(weight, *_numbers(shape)).numel()
    }
    if not holding:
        sizes = ", ".join(f"{n} is {len(w)}x{w.shape[1]}" for n, w in weights.items())
        raise UserError(f"no layer holds a block of {shape}: {sizes}")
    return holding


def _blocks(weight: Tensor, outputs: int, inputs: int) -> Tensor:
    """The whole blocks of a weight as a view: (blocks, outputs, blocks, inputs, *kernel)."""
    down, across = weight.shape[0] // outputs, weight.shape[1] // inputs
    whole = weight[: down * outputs, : across * inputs]
    return whole.view(down, outputs, across, inputs, *whole.shape[2:])


def _numbers(shape: str) -> tuple[int, int]:
    """Output and input channels, or zeros for what is no shape."""
    outputs, _, inputs = shape.partition("x")
    return (int(outputs), int(inputs)) if outputs.isdecimal() and inputs.isdecimal() else (0, 0)
