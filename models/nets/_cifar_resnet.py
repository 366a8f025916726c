"""The CIFAR-10 residual nets of He et al., Deep Residual Learning, 2015, section 4.2.

6n+2 layers in three stages of 16, 32 and 64 channels; shortcuts are the identity, where the
stage changes subsampled by two and padded with zero channels, half on either side (option A).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomark.suites.spec._model import Preprocess

DATA = "npz"
PREPROCESS = Preprocess(size=(32, 32), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.extra = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.extra:
            half = self.extra // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return torch.relu(x + y)


def _stage(n: int, inputs: int, outputs: int) -> nn.Module:
    stride = 1 if inputs == outputs else 2
    first = _Block(inputs, outputs, stride)
    return nn.Sequential(first, *(_Block(outputs, outputs, 1) for _ in range(n - 1)))


class CifarResNet(nn.Module):
    """6n + 2 layers: (N, 3, 32, 32) float32 to logits (N, `classes`)."""

    def __init__(self, n: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(n, 16, 16)
        self.layer2 = _stage(n, 16, 32)
        self.layer3 = _stage(n, 32, 64)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.linear(x.mean((2, 3), keepdim=True).flatten(1))
        return out
