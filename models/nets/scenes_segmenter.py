"""Figure and ground, after the net behind video-call backgrounds, for 96x96 scenes.

A MobileNetV3 encoder (Howard et al., 2019), whose inverted residuals weigh their channels by
squeeze and excitation, and a light decoder that adds what the encoder saw at each size to the
upsampled: the shape of "Background features in Google Meet, powered by Web ML" (Google AI blog,
30 October 2020), at this size.
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
    return Segmenter(width=1.0)
