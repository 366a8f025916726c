"""ShuffleNet V1 with three groups, for ImageNet, 224x224.

Source: Zhang et al., ShuffleNet, 2017, table 1 (g = 3). The first 1x1 convolution of the first unit
is not grouped; no activation follows the depthwise convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paretomark.models.nets._blocks import MeanHW, conv_bn
from paretomark.suites.spec._model import Preprocess

DATA = "imagefolder"
PREPROCESS = Preprocess(
    size=(224, 224), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), crop=0.875
)
GROUPS = 3
STAGES = ((240, 4), (480, 8), (960, 4))  # output channels at width 1, and units


class Shuffle(nn.Module):
    """(N, C, H, W): channel i of group j comes to place i * groups + j."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, GROUPS, c // GROUPS, h, w).transpose(1, 2).reshape(n, c, h, w)


class Unit(nn.Module):
    """A bottleneck around a shortcut: added, or, where it halves the picture, put beside it."""

    def __init__(self, inputs: int, outputs: int, stride: int, first: bool = False) -> None:
        super().__init__()
        middle, beside = outputs // 4, inputs if stride == 2 else 0
        self.reduce = conv_bn(inputs, middle, 1, groups=1 if first else GROUPS)
        self.shuffle = Shuffle()
        self.depthwise = conv_bn(middle, middle, 3, stride, groups=middle)
        self.expand = conv_bn(middle, outputs - beside, 1, groups=GROUPS)
        self.shortcut = nn.AvgPool2d(3, 2, padding=1) if beside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.shuffle(torch.relu(self.reduce(x)))
        y = self.expand(self.depthwise(y))
        x = self.shortcut(x)
        stride_one = isinstance(self.shortcut, nn.Identity)
        return torch.relu(x + y if stride_one else torch.cat([x, y], 1))


def shufflenet(width: float, classes: int = 1000) -> nn.Sequential:
    """Return the net with the channels of all layers scaled by `width`, the first one's too."""
    channels = int(24 * width)
    layers: list[nn.Module] = [
        conv_bn(3, channels, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
    ]
    for outputs, count in STAGES:
        outputs = int(outputs * width)
        layers.append(Unit(channels, outputs, 2, first=len(layers) == 3))
        layers += [Unit(outputs, outputs, 1) for _ in range(count - 1)]
        channels = outputs
    return nn.Sequential(*layers, MeanHW(), nn.Linear(channels, classes))
