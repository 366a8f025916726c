"""A narrower net for the keypoints of `scenes_landmarks`, designed by hand and distilled from it.

What sparse inference is compared with in "Accelerating Neural Networks on Mobile and Web with
Sparse Inference" (Google AI blog, 9 March 2021).
"""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._blocks import MBConv, MeanHW, conv_bn
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
TASK = "keypoints"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(
    epochs=20, count=16_000, batch=32, lr=0.05, weight_decay=3e-5, shift=4, flip=True,
    teacher="scenes_landmarks",
)  # fmt: skip


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to (N, 10): x and y of each keypoint, in widths and
    heights."""
    return nn.Sequential(
        conv_bn(3, 12, 3, stride=2),
        nn.ReLU6(),
        conv_bn(12, 12, 3, stride=2, groups=12),
        nn.ReLU6(),
        conv_bn(12, 16, 1),
        MBConv(16, 24, stride=2, expand=3),
        MBConv(24, 24, expand=3),
        MBConv(24, 40, stride=2, expand=3),
        MBConv(40, 40, expand=3),
        conv_bn(40, 80, 1),
        nn.ReLU6(),
        conv_bn(80, 80, 5, groups=80),
        MeanHW(),
        nn.Linear(80, 10),
    )
