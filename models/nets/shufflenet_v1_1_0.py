"""ShuffleNet V1, three groups, width 1.0: see _shufflenet_v1.py."""

from __future__ import annotations

from torch import nn

from paretomark.models.nets._shufflenet_v1 import DATA, PREPROCESS, shufflenet

__all__ = ["DATA", "PREPROCESS", "net"]


def net() -> nn.Module:
    """Make the net: (N, 3, 224, 224) float32 to logits (N, 1000)."""
    return shufflenet(1.0)
