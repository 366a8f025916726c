"""SqueezeNet 1.0 for ImageNet, 227x227, no batch normalisation; ends in a 1x1 convolution.

Source: Iandola et al., SqueezeNet, 2016. Parameter names follow torchvision's, so that its
weights load; the preprocessing is that of the Caffe original: BGR, 0..255 minus a mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paretomark.suites.spec._model import Preprocess

DATA = "imagefolder"
PREPROCESS = Preprocess(
    size=(227, 227), mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0), order="bgr"
)


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class SqueezeNet(nn.Module):
    """(N, 3, H, W) float32 to class scores (N, `classes`)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, 2),
            nn.ReLU(),
            _pool(),
            _Fire(96, 16, 64),
            _Fire(128, 16, 64),
            _Fire(128, 32, 128),
            _pool(),
            _Fire(256, 32, 128),
            _Fire(256, 48, 192),
            _Fire(384, 48, 192),
            _Fire(384, 64, 256),
            _pool(),
            _Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x)).mean((2, 3), keepdim=True).flatten(1)
        return out


def net() -> nn.Module:
    """Make the net: (N, 3, 227, 227) float32, BGR to class scores (N, 1000)."""
    return SqueezeNet(1000)
