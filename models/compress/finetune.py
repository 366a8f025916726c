"""Train on, after pruning or to learn from a teacher; weights that are zero stay zero.

Sources: Han et al., Learning both Weights and Connections, 2015; with a teacher, Hinton et al.,
Distilling the Knowledge in a Neural Network, 2015. Only values change: parameters, MACs, nonzeros
and bytes stay.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Unpack

from paretomark.models.compress import _tuning
from paretomark.models.compress._step import Context

if TYPE_CHECKING:
    from torch import nn

check = _tuning.check


def apply(net: nn.Module, ctx: Context, **tuning: Unpack[_tuning.Tuning]) -> nn.Module:
    """Return a copy of the net, trained on."""
    net = copy.deepcopy(net)
    _tuning.tune(net, ctx, **tuning)
    return net.eval()
