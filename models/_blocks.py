"""Blocks that several nets of the zoo share."""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution without bias, padded alike on all sides, and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise 1x1 (Howard et al., "MobileNets", 2017)."""
    return nn.Sequential(
        conv_bn(inputs, inputs, 3, stride, groups=inputs),
        nn.ReLU(),
        conv_bn(inputs, outputs, 1),
        nn.ReLU(),
    )


class MeanHW(nn.Module):
    """(N, C, H, W) to (N, C).

    In two operators: XNNPACK takes a mean only if it keeps its axes, and its sparse path wants a
    reshape before the classifier.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True).flatten(1)
