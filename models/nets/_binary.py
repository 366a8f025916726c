"""The module that stands before a layer whose inputs are one bit each."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Binarize(nn.Module):
    """sign(x), times the scale of each example that fits x best: mean |x| where x is not zero.

    Source: Rastegari et al., XNOR-Net, 2016. There the scale K has a value at every position. Of
    inputs from batch normalisation the bit is -1 or 1; straight behind a ReLU, where nothing is
    below zero, it tells 0 from 1. In training the gradient goes straight through
    where |x| <= 1, and is zero elsewhere. `axes` are those of one example.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        sign = torch.sign(x)
        counts = sign.abs().sum(self.axes, keepdim=True).clamp(min=1)
        scale = x.abs().sum(self.axes, keepdim=True) / counts
        if self.training:
            clipped = x.clamp(-1, 1)
            return (sign + (clipped - clipped.detach())) * scale.detach()
        return sign * scale
