"""A perceptron of linear layers for the 8x8 digits: the net of the quick tests."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "digits"
PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,), std=(255.0,))
TRAIN = Training(epochs=30, count=1_197, batch=32, lr=0.05, shift=1)


def net() -> nn.Module:
    """Make the net: float32 (N, 1, 8, 8) to logits (N, 10)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
