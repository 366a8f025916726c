"""AlexNet for binary weights: see _alexnet.py."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._alexnet import DATA, PREPROCESS, alexnet

__all__ = ["DATA", "PREPROCESS", "net"]


def net() -> nn.Module:
    """Make the net: (N, 3, 224, 224) float32 to logits (N, 1000)."""
    return alexnet(binary_inputs=False)
