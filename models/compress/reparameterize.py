"""Fuse the training-time branches of RepVGG-style blocks into one convolution each.

Source: Ding et al., RepVGG, 2021. Exact up to rounding; parameters, MACs and bytes fall.
A block takes part by having a method `fuse()` that changes it in place to its inference form; so
has timm, where it is called `reparameterize()` (RepVGG, MobileOne, FastViT).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import nn

RENAMES = True


def apply(net: nn.Module, ctx: Context) -> nn.Module:
    """Return a copy of the net in its inference form. Raises UserError if no block can be fused."""
    net = copy.deepcopy(net).eval()
    fuses = [fuse for m in net.modules() if callable(fuse := _inference(m))]
    if not fuses:
        raise UserError("reparameterize: this net has no block that can be fused")
    for fuse in fuses:
        fuse()
    return net


def _inference(block: nn.Module) -> object:
    return getattr(block, "fuse", None) or getattr(block, "reparameterize", None)
