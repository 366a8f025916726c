"""Five keypoints of the shape in a scene, after EfficientNet-Lite, for 96x96 pictures.

Inverted residuals without excitation, and ReLU6, as "Higher accuracy on vision models with
EfficientNet-Lite" (TensorFlow blog, 16 March 2020) has them. Where things are in the last map is
read by a depthwise 5x5 convolution and the mean: together a weight per place and channel, like the
global depthwise convolution of MobileFaceNets (Chen et al., 2018), in a form that XNNPACK can run
sparse.
"""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._blocks import MBConv, MeanHW, conv_bn
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
TASK = "keypoints"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(epochs=20, count=16_000, batch=32, lr=0.05, weight_decay=3e-5, shift=4, flip=True)


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to (N, 10): x and y of each keypoint, in widths and
    heights."""
    return nn.Sequential(
        conv_bn(3, 16, 3, stride=2),
        nn.ReLU6(),
        conv_bn(16, 16, 3, stride=2, groups=16),
        nn.ReLU6(),
        conv_bn(16, 24, 1),
        MBConv(24, 24),
        MBConv(24, 40, stride=2),
        MBConv(40, 40),
        MBConv(40, 40),
        MBConv(40, 80, stride=2),
        MBConv(80, 80),
        conv_bn(80, 160, 1),
        nn.ReLU6(),
        conv_bn(160, 160, 5, groups=160),
        MeanHW(),
        nn.Linear(160, 10),
    )
