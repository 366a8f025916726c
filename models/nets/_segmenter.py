"""The net that tells figure from ground, at any width: MobileNetV3's encoder and a light decoder.

Every operator is one that XNNPACK can run sparse: after the first convolution only 1x1 and
depthwise ones, bilinear resizing, sums and products, and at the end the shuffle of four channels
into the pixels of twice the size, a DEPTH_TO_SPACE (`paretomark.models.export._sparse_check`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.nets._blocks import conv_bn, separable


class Excite(nn.Module):
    """Squeeze and excitation (Hu et al., 2018): every channel times a weight that all decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(self.relu(self.squeeze(mean))))


class Inverted(nn.Module):
    """1x1 to more channels, depthwise 3x3, excitation, 1x1 back; a shortcut where shapes agree."""

    def __init__(self, inputs: int, inside: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn(inputs, inside, 1),
            nn.ReLU(),
            conv_bn(inside, inside, 3, stride, groups=inside),
            nn.ReLU(),
            Excite(inside),
            conv_bn(inside, outputs, 1),
        )
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class Merge(nn.Module):
    """The small picture, narrowed and enlarged, plus the large one; then depthwise and 1x1."""

    def __init__(self, small: int, large: int) -> None:
        super().__init__()
        self.narrow = conv_bn(small, large, 1)
        self.mix = nn.Sequential(
            conv_bn(large, large, 3, groups=large), nn.ReLU(), conv_bn(large, large, 1), nn.ReLU()
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        enlarged = functional.interpolate(
            self.narrow(small), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        out: Tensor = self.mix(enlarged + large)
        return out


class Segmenter(nn.Module):
    """`width` scales the channels of all layers, to multiples of 4."""

    def __init__(self, width: float) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return 4 * round(width * channels / 4)

        a, b, c, d = map(wide, (12, 16, 32, 48))
        self.stem = nn.Sequential(conv_bn(3, a, 3, stride=2), nn.ReLU())
        self.quarter = nn.Sequential(separable(a, b, stride=2), Inverted(b, 3 * b, b))
        self.eighth = nn.Sequential(Inverted(b, 4 * b, c, stride=2), Inverted(c, 3 * c, c))
        self.sixteenth = nn.Sequential(
            Inverted(c, 4 * c, d, stride=2), Inverted(d, 3 * d, d), Inverted(d, 3 * d, d)
        )
        self.to_eighth = Merge(d, c)
        self.to_quarter = Merge(c, b)
        self.to_half = Merge(b, a)
        self.head = nn.Conv2d(a, 4, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        half = self.stem(x)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        y = self.to_eighth(self.sixteenth(eighth), eighth)
        y = self.to_half(self.to_quarter(y, quarter), half)
        out: Tensor = self.shuffle(self.head(y))
        return out
