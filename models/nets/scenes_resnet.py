"""ResNet of basic blocks (He et al., "Deep residual learning", 2016) for 96x96 scenes."""

from __future__ import annotations

from torch import Tensor, nn

from paretomark.models.nets._blocks import MeanHW, conv_bn
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(epochs=10, count=16_000, batch=32, lr=0.05, weight_decay=3e-4, shift=4, flip=True)


class Basic(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.relu1(self.first(x)))
        out: Tensor = self.relu2(y + self.shortcut(x))
        return out


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to logits (N, 12)."""
    return nn.Sequential(
        conv_bn(3, 16, 3, stride=2),
        nn.ReLU(),
        Basic(16, 24, stride=2),
        Basic(24, 24),
        Basic(24, 48, stride=2),
        Basic(48, 48),
        Basic(48, 96, stride=2),
        Basic(96, 96),
        MeanHW(),
        nn.Linear(96, 12),
    )
