"""Batch normalisation folded into the convolutions before it, for files that are to run."""

from __future__ import annotations

import copy

from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.nn.modules.batchnorm import _BatchNorm


def folded(net: nn.Module) -> nn.Module:
    """Return a copy of the net that computes the same with fewer operators.

    Where the code of a module cannot be traced, for it branches on shapes, its parts are folded one
    by one.
    """
    return _folded(copy.deepcopy(net))


def _folded(net: nn.Module) -> nn.Module:
    if not any(isinstance(m, _BatchNorm) for m in net.modules()) or isinstance(net, _BatchNorm):
        return net
    try:
        return fuse(net, inplace=True)
    except (TraceError, NotImplementedError, TypeError):
        for name, child in net.named_children():
            setattr(net, name, _folded(child))
        return net
