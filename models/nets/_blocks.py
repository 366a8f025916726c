"""Blocks that several nets of the zoo share."""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Make a convolution without bias, padded alike on all sides, and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a depthwise 3x3, then a pointwise 1x1 (Howard et al., "MobileNets", 2017)."""
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


class MBConv(nn.Module):
    """The inverted residual of MobileNetV2 (Sandler et al., 2018) and EfficientNet-Lite.

    1x1 to `expand` times the channels, depthwise 3x3, 1x1 back, ReLU6 between; a shortcut where
    shapes agree.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expand: int = 4) -> None:
        super().__init__()
        inside = expand * inputs
        self.layers = nn.Sequential(
            conv_bn(inputs, inside, 1),
            nn.ReLU6(),
            conv_bn(inside, inside, 3, stride, groups=inside),
            nn.ReLU6(),
            conv_bn(inside, outputs, 1),
        )
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y
