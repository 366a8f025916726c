"""Low rank: a linear layer or 1x1 convolution becomes two thinner ones, by its SVD.

Source: Denton et al., Exploiting Linear Structure Within Convolutional Networks, 2014; the best
approximation of its rank (Eckart & Young, 1936). A weight (m, n) of rank r becomes (r, n) and
(m, r), only where that is less: r < mn / (m + n). Parameters, bytes and the layer's MACs fall to
r (m + n) / (mn) of what they were, biases apart; zeros of pruning are lost. Attention (torch's
`MultiheadAttention`, which takes its weights itself), weights that layers share, and layers with a
`forward` of their own stay whole.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paretomark.models.compress import _budgets, _reached
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

RENAMES = True


def check(*, energy: float, macs: float) -> None:
    """Raise UserError unless one of `energy` and `macs` is given, above 0 and at most 1."""
    if bool(energy) == bool(macs) or not 0 < energy + macs <= 1:
        raise UserError(
            f"give energy or macs, one of them, above 0 and at most 1, got {energy} and {macs}"
        )


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    energy: float = 0.0,
    macs: float = 0.0,
    exclude: Sequence[str] = (),
) -> nn.Module:
    """Return a copy of the net in which a layer that gets smaller so is a Sequential of two.

    The rank of a layer is the least that keeps the share `energy` of the sum of its squared
    singular values, or the largest whose MACs are at most the share `macs` of the layer's, but 1
    at least. Raises UserError for an excluded layer that could not be split anyway, if none gets
    smaller, and if the net then does not run: it takes the weight of a layer without calling it.
    """
    whole, net = net, copy.deepcopy(net)
    layers = _matrices(net)
    for name in exclude:
        if layers.pop(name, None) is None:
            raise unknown("layer to exclude", name, layers)
    split = False
    for name, layer in layers.items():
        weight = layer.weight.detach().numpy()
        m, n = weight.shape[:2]
        u, s, v = np.linalg.svd(weight.reshape(m, n).astype(np.float64), full_matrices=False)
        rank = _rank(s, max(m, n), energy) if energy else max(1, int(macs * m * n / (m + n)))
        if rank * (m + n) < m * n:
            root = np.sqrt(s[:rank])  # in equal parts, so that neither layer has large weights
            pair = _pair(layer, root[:, None] * v[:rank], u[:, :rank] * root)
            _budgets.replace(net, name, pair)
            split = True
    if not split:
        raise UserError("low_rank: no layer would get smaller; lower energy or macs")
    if not _fails(whole, ctx) and (why := _fails(net, ctx)):
        raise UserError(
            f"low_rank: the net does not run with two layers for one ({why}); exclude it"
        )
    return net


def reached(
    before: nn.Module, after: nn.Module, ctx: Context, *, energy: float, macs: float
) -> dict[str, Reached]:
    """Say which share of the weights is split, to which ranks; and what is left of the MACs."""
    new = _reached.weights(after)
    layers = {n: n.partition(".parametrizations.")[0] for n in _reached.weights(before)}
    ranks = {n: len(new[f"{la}.0"]) for n, la in layers.items() if f"{la}.0" in new}
    what = (
        f"split, to ranks of {min(ranks.values())} to {max(ranks.values())}" if ranks else "split"
    )
    left = _reached.BY_PARAMETER["macs"](before, after, ctx.preprocess, macs)
    return {"share": _reached.share(before, ranks, what)} | ({"macs": left} if macs else {})


def _fails(net: nn.Module, ctx: Context) -> str:
    """Why a net does not run; "" if it does."""
    from paretomark.models.nets import _macs

    try:
        _macs.macs(net, ctx.preprocess)
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def _matrices(net: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that two of torch's own may stand for."""
    from torch import nn

    uses = Counter(id(p) for module in net.modules() for p in module.parameters(recurse=False))
    names = _budgets.replaceable(net)
    layers: dict[str, nn.Conv2d | nn.Linear] = {}
    for name, module in net.named_modules():
        if (
            type(module).forward in (nn.Linear.forward, nn.Conv2d.forward)
            and isinstance(module, nn.Conv2d | nn.Linear)
            and module.weight[0, 0].numel() == getattr(module, "groups", 1) == 1
            and uses[id(module.weight)] <= 1
            and name in names
        ):
            layers[name] = module
    return layers


def _rank(s: NDArray[np.float64], size: int, energy: float) -> int:
    """Singular values that are no more than the rounding of float32 count as zero."""
    squares = np.where(s > s[0] * size * np.finfo(np.float32).eps, s, 0.0) ** 2
    kept = np.cumsum(squares)
    return max(1, int(np.searchsorted(kept, energy * kept[-1])) + 1)


def _pair(
    layer: nn.Conv2d | nn.Linear, first: NDArray[np.float64], second: NDArray[np.float64]
) -> nn.Module:
    """The layer by its factors (r, n) and (m, r); stride and padding are the first's."""
    import torch
    from torch import nn

    rank, n = first.shape
    m, bias = len(second), layer.bias is not None
    reduce: nn.Conv2d | nn.Linear
    expand: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Linear):
        reduce, expand = nn.Linear(n, rank, bias=False), nn.Linear(rank, m, bias=bias)
    else:
        reduce, expand = nn.Conv2d(n, rank, 1, bias=False), nn.Conv2d(rank, m, 1, bias=bias)
        reduce.stride, reduce.padding = layer.stride, layer.padding
    with torch.no_grad():
        reduce.weight.copy_(torch.from_numpy(first).view_as(reduce.weight))
        expand.weight.copy_(torch.from_numpy(second).view_as(expand.weight))
        if layer.bias is not None and expand.bias is not None:
            expand.bias.copy_(layer.bias)
    return nn.Sequential(reduce, expand).train(layer.training)
