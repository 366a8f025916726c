"""ResNet-32 for CIFAR-10: see _cifar_resnet.py."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._cifar_resnet import DATA, PREPROCESS, CifarResNet

__all__ = ["DATA", "PREPROCESS", "net"]


def net() -> nn.Module:
    """Make the net: (N, 3, 32, 32) float32 to logits (N, 10)."""
    return CifarResNet(5)
