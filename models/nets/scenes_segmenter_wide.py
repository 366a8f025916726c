"""The segmenter with a fifth more channels, to be pruned and put beside the dense one of width 1.

"Accelerating Neural Networks on Mobile and Web with Sparse Inference" (Google AI blog, 9 March
2021) reports that a net that is 20 % wider and 70 % sparse is as good as the dense one.
"""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._segmenter import Segmenter
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
TASK = "segmentation"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(epochs=6, count=16_000, batch=32, lr=0.1, weight_decay=3e-5, shift=4, flip=True)


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to (N, 1, 96, 96): the logit of each pixel to be of the
    figure."""
    return Segmenter(width=1.2)
