"""MobileNetV1 with width multiplier 0.25 for ImageNet, 224x224.

Source: Howard et al., MobileNets, 2017. Laid out as in Keras: every convolution is followed
by batch normalisation (eps 1e-3) and ReLU6, and stride-2 convolutions pad right and bottom only
(TensorFlow's "SAME").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paretomark.suites.spec._model import Preprocess

DATA = "imagefolder"
PREPROCESS = Preprocess(size=(224, 224), mean=(127.5,) * 3, std=(127.5,) * 3)
WIDTH = 0.25
# output channels at width 1, and stride, of the 13 depthwise-separable blocks
BLOCKS = (
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
    + ((512, 1),) * 5
    + ((1024, 2), (1024, 1))
)


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        after = kernel // 2
        before = after - 1 if stride == 2 else after
        self.pad = nn.ZeroPad2d((before, after, before, after)) if stride == 2 else nn.Identity()
        padding = 0 if stride == 2 else after
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.relu6(self.bn(self.conv(self.pad(x))))


class _Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = _Conv(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = _Conv(inputs, outputs, 1, 1, groups=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class MobileNetV1(nn.Module):
    """(N, 3, H, W) float32 to logits (N, `classes`); `width` scales the channels."""

    def __init__(self, width: float, classes: int) -> None:
        super().__init__()
        channels = int(32 * width)
        self.stem = _Conv(3, channels, 3, 2, groups=1)
        blocks = []
        for outputs, stride in BLOCKS:
            blocks.append(_Separable(channels, int(outputs * width), stride))
            channels = int(outputs * width)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3), keepdim=True).flatten(1))
        return out


def net() -> nn.Module:
    """Make the net: (N, 3, 224, 224) float32 to logits (N, 1000)."""
    return MobileNetV1(WIDTH, 1000)
