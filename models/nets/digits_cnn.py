"""A small convolutional net for the 8x8 digits, with every kind of layer of the larger ones."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._blocks import MeanHW, conv_bn, separable
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "digits"
PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,), std=(255.0,))
TRAIN = Training(epochs=30, count=1_197, batch=32, lr=0.1, shift=1)


def net() -> nn.Module:
    """Make the net: float32 (N, 1, 8, 8) to logits (N, 10)."""
    return nn.Sequential(
        conv_bn(1, 16, 3),
        nn.ReLU(),
        separable(16, 32, stride=2),
        separable(32, 64),
        MeanHW(),
        nn.Linear(64, 10),
    )
