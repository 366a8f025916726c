"""Outliers are clipped: in each layer, weights beyond a quantile of their sizes are set to it.

A few large weights stretch the range that a quantizer has to cover. Parameters, nonzeros, MACs and
bytes stay what they are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import nn


def check(*, quantile: float) -> None:
    """Raise UserError for a quantile that is none."""
    if not 0 < quantile <= 1:
        raise UserError(f"quantile is above 0 and at most 1, got {quantile}")


def apply(net: nn.Module, ctx: Context, *, quantile: float = 0.99) -> nn.Module:
    """A copy of the net with weights of more than one dimension clipped."""
    net = copy.deepcopy(net)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            limit = float(parameter.detach().abs().flatten().quantile(quantile))
            parameter.data.clamp_(-limit, limit)
    return net
