"""AlexNet with batch normalisation, as binary weights and inputs want it, for ImageNet, 224x224.

Source: Rastegari et al., XNOR-Net, 2016, sections 3 and 4: AlexNet without its two groups, batch
normalisation in place of local response normalisation. The nets here are of real weights: the step
`binary` of a recipe makes them binary, in all layers but the first and the last.
"""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._binary import Binarize
from paretomark.suites.spec._model import Preprocess

DATA = "imagefolder"
PREPROCESS = Preprocess(
    size=(224, 224), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), crop=0.875
)
# inputs, outputs, kernel, padding, and whether 3x3 pooling with stride 2 follows
LAYERS = (
    (96, 256, 5, 2, True),
    (256, 384, 3, 1, False),
    (384, 384, 3, 1, False),
    (384, 256, 3, 1, True),
    (256, 4096, 6, 0, False),  # the fully connected layers, as convolutions
    (4096, 4096, 1, 0, False),
)


def alexnet(binary_inputs: bool) -> nn.Sequential:
    """Make the net in the usual order, or with normalisation and sign before each inner
    convolution.

    The order of the latter keeps what pooling sees from being binary (figure 3 of the paper).
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, 96, 11, 4, padding=2, bias=False),
        nn.BatchNorm2d(96),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    ]
    for inputs, outputs, kernel, padding, pooled in LAYERS:
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        pool = [nn.MaxPool2d(3, 2)] * pooled
        if binary_inputs:
            layers += [nn.BatchNorm2d(inputs), Binarize((1, 2, 3)), convolution, nn.ReLU(), *pool]
        else:
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), *pool]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 1000))
