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
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretomark.models.compress import _budgets
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
    fitting = [layer for layer in layers.values() if layer.weight.shape[1] % m == 0]
    if not fitting:
        widths = ", ".join(f"{name} has {v.weight.shape[1]}" for name, v in layers.items())
        raise UserError(
            f"{pattern} fits no layer: input channels must be a multiple of {m}; {widths}"
        )
    for layer in fitting:
        layer.weight.data.mul_(_mask(layer.weight.data, n, m))
    return net


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
