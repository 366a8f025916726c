"""Three linear layers that count the blocks of the data set `blocks`."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "blocks"
TASK = "counting"
PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,), std=(255.0,))
TRAIN = Training(epochs=30, count=4000, batch=32, lr=0.05)


def net() -> nn.Module:
    """Float32 (N, 1, 8, 8) to the number of blocks (N, 1)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )
