"""N:M sparsity: of every M weights in a row at most N stay, those of largest magnitude.

Source: Mishra et al., Accelerating Sparse Deep Neural Networks, 2021. The rows run along the input
channels, C of a convolution's KCRS weight, at each output channel and each place of the kernel:
TensorRT's guide, "Structured Sparsity", asks at least two zeros of every four input channels there,
and C to be a multiple of four; cuSPARSELt takes 2:4 along the rows of a linear layer's (out, in)
matrix, which is the same, in fp16, bf16 and int8. Other patterns are for other hardware. TensorRT
still takes the dense kernel where that is faster: its maintainers see gains from 256 channels on.
A layer whose input channels are no multiple of M, as of a depthwise convolution, and the first
convolution are left dense. Parameters, MACs of the dense form and bytes of a dense file stay;
nonzeros fall.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paretomark.models.compress import _budgets, _reached
from paretomark.models.compress._budgets import Layer
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


def check(*, pattern: str) -> None:
    """Raise UserError unless the pattern is N:M with 0 < N < M."""
    n, m = _numbers(pattern)
    if not 0 < n < m:
        raise UserError(f"pattern must be N:M with 0 < N < M, such as 2:4, got '{pattern}'")


def apply(
    net: nn.Module, ctx: Context, *, pattern: str = "2:4", exclude: Sequence[str] = ()
) -> nn.Module:
    """Return a copy of the net with at most N nonzeros in every M input channels.

    Raises UserError for a layer to exclude that is none, and if no layer fits the pattern.
    """
    net = copy.deepcopy(net)
    n, m = _numbers(pattern)
    layers = _budgets.prunable(net, exclude=exclude, depthwise=True)
    for layer in _fitting(layers, pattern).values():
        mask = _mask(layer.swapped(layer.weight.data), n, m)
        layer.weight.data.mul_(layer.swapped(mask))
    return net


def reached(
    before: nn.Module, after: nn.Module, ctx: Context, *, pattern: str, exclude: Sequence[str]
) -> dict[str, Reached]:
    """Compare the sparsity of the pattern with that of all weights."""
    n, m = _numbers(pattern)
    layers = _budgets.prunable(before, exclude=exclude, depthwise=True)
    return {"sparsity": _reached.sparsity(after, 1 - n / m, _fitting(layers, pattern))}


def _fitting(layers: Mapping[str, Layer], pattern: str) -> dict[str, Layer]:
    """The layers that fit the pattern. Raises UserError if none does."""
    _, m = _numbers(pattern)
    inputs = {name: layer.swapped(layer.weight).shape[1] for name, layer in layers.items()}
    fitting = {name: layer for name, layer in layers.items() if inputs[name] % m == 0}
    if not fitting:
        widths = ", ".join(f"{name} has {width}" for name, width in inputs.items())
        raise UserError(
            f"{pattern} fits no layer: input channels must be a multiple of {m}; {widths}"
        )
    return fitting


def _mask(weight: Tensor, n: int, m: int) -> Tensor:
    import torch

    rows = weight.abs().movedim(1, -1)  # input channels last
    groups = rows.reshape(-1, m)
    keep = torch.zeros_like(groups)
    keep.scatter_(1, groups.argsort(dim=1, descending=True, stable=True)[:, :n], 1)
    return keep.view(rows.shape).movedim(-1, 1)


def _numbers(pattern: str) -> tuple[int, int]:
    """N and M, or zeros for what is no pattern."""
    n, _, m = pattern.partition(":")
    return (int(n), int(m)) if n.isdecimal() and m.isdecimal() else (0, 0)
