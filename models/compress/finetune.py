"""Train on after pruning; weights that are zero stay zero.

Source: Han et al., Learning both Weights and Connections, 2015. Only values change:
parameters, MACs, nonzeros and bytes stay.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from paretomark.models.compress._step import Context
from paretomark.suites._errors import UserError

if TYPE_CHECKING:
    from torch import nn


def check(*, epochs: int = 1, lr: float = 0.01, count: int = 4000) -> None:
    """Raise UserError unless all are positive."""
    if epochs < 1 or lr <= 0 or count < 1:
        raise UserError(f"epochs, lr and count must be positive, got {epochs}, {lr}, {count}")


def apply(
    net: nn.Module, ctx: Context, *, epochs: int = 1, lr: float = 0.01, count: int = 4000
) -> nn.Module:
    """A copy of the net, trained for `epochs` on `count` pictures of the train split."""
    from paretomark.models import _data, _train
    from paretomark.models._zoo import Training

    net = copy.deepcopy(net)
    examples = _data.load(ctx.data, "train", count, ctx.preprocess)
    masks = {
        name: (weight != 0).to(weight.dtype)
        for name, weight in net.named_parameters()
        if weight.ndim > 1 and not weight.all()
    }
    training = Training(epochs=epochs, count=count, lr=lr, seed=ctx.seed)
    _train.fit(net, examples.images, examples.labels, ctx.preprocess, training, masks=masks)
    return net.eval()
