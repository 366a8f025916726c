"""MobileNet (Howard et al., "MobileNets", 2017) for 96x96 scenes, the smallest net of the three.

After the first convolution there are only 1x1 and depthwise 3x3 convolutions up to the mean over
H and W: the chain that XNNPACK can run sparse once the 1x1 weights are pruned
(Elsen et al., "Fast Sparse ConvNets", 2020).
"""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._blocks import MeanHW, conv_bn, separable
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(epochs=12, count=16_000, batch=32, lr=0.05, weight_decay=3e-5, shift=4, flip=True)


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to logits (N, 12)."""
    return nn.Sequential(
        conv_bn(3, 8, 3, stride=2),
        nn.ReLU(),
        separable(8, 24, stride=2),
        separable(24, 32),
        separable(32, 64, stride=2),
        separable(64, 64),
        separable(64, 128, stride=2),
        separable(128, 128),
        MeanHW(),
        nn.Linear(128, 12),
    )
