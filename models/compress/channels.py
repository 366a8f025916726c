"""Channel pruning: whole channels go, so that tensors are smaller, for every runtime alike.

The channels that must go together are found by `_graph.py`; one is as important as the mean over
the layers that make it. Sources of `by`:

    l1, l2           norms of its filters (Li et al., Pruning Filters for Efficient ConvNets, 2017)
    bn               scale of its batch normalisation (Liu et al., Network Slimming, 2017)
    reconstruction   what the layers that read it lose, on pictures of the train split; their
                     weights are then fitted anew to what the dense net computes, zeros of earlier
                     pruning as well: `_reconstruct.py`

Scope "layer" takes about the same share of each group of tied layers. "global" ranks all channels
together, by importance over the mean of their group (but the scales of `bn`, which are comparable):
it may leave `round_to` channels of a layer that is wide. Parameters, MACs and bytes fall.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretomark.models.compress import _budgets
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

    from paretomark.models.compress._graph import Channels, Values

BY = ("l1", "l2", "bn", "reconstruction")
SCOPES = ("layer", "global")


def check(*, macs: float, ratio: float, by: str, scope: str, round_to: int, count: int) -> None:
    """Raise UserError unless one of `macs` and `ratio` is given, and for what is unknown."""
    if bool(macs) == bool(ratio) or not 0 < macs + ratio < 1:
        raise UserError(
            f"give macs or ratio, one of them, above 0 and below 1, got {macs} and {ratio}"
        )
    if by not in BY:
        raise unknown("importance", by, BY)
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)
    if round_to < 1 or count < 1:
        raise UserError(f"round_to and count must be positive, got {round_to} and {count}")


def pictures(*, by: str) -> str:
    """Name the split that is looked at: the train split only to reconstruct."""
    return "train" if by == "reconstruction" else ""


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    macs: float = 0.0,
    ratio: float = 0.0,
    by: str = "l1",
    scope: str = "layer",
    exclude: Sequence[str] = (),
    prune_first: bool = False,
    round_to: int = 8,
    count: int = 256,
) -> nn.Module:
    """Return a copy of the net with fewer channels: the least important go, until it is small
    enough.

    That is, until at most the share `macs` of its MACs remains, or at least the share `ratio` of
    the channels that may go has gone. Layers keep a multiple of `round_to` channels, as kernels
    like it, or all; one no wider than that stays whole, as do the layers that `exclude` names, the
    first convolution unless asked for, and what is tied to them. `count` pictures are looked at,
    for by = "reconstruction" only.

    Raises UserError for a name that is no layer, a net whose channels cannot be followed, and a
    share that cannot be reached so.
    """
    import torch

    from paretomark.models.compress import _graph, _importance, _reconstruct

    dense, net = copy.deepcopy(net).eval(), copy.deepcopy(net).eval()
    sample = torch.zeros(2, len(ctx.preprocess.mean), *ctx.preprocess.size)
    graph = _graph.follow(net, sample)
    free = _budgets.prunable(net, exclude=exclude, first=prune_first, depthwise=True)
    groups = graph.groups(graph.layers.keys() - free.keys())
    batches = _reconstruct.pictures(ctx, count) if by == "reconstruction" else []
    if batches:
        ranked = _reconstruct.ranked(net, graph, groups, batches)
    else:
        ranked = _importance.ranked(graph, groups, by)
    alive = np.ones(graph.count, np.bool_)
    of_all, goal = (graph.macs(alive), macs) if macs else (sum(map(len, groups)), 1 - ratio)

    def left() -> float:
        return (graph.macs(alive) if macs else sum(alive[g].sum() for g in groups)) / of_all

    for _, gone in sorted(_units(ranked, scope, round_to), key=lambda unit: unit[0]):
        if left() <= goal + 1e-9:
            break
        alive[gone] = False
    if left() > goal + 1e-9:
        what = "the MACs" if macs else "the channels that may go"
        raise UserError(
            f"{left():.3f} of {what} is the least that can remain, not {goal:.3f}; exclude fewer "
            "layers, or lower round_to"
        )
    _graph.remove(net, graph, alive, sample)
    if batches:
        _reconstruct.refit(net, dense, graph, alive, batches)
    return net


def _units(
    ranked: Sequence[tuple[Channels, Values]], scope: str, round_to: int
) -> Iterator[tuple[float, Channels]]:
    """What goes at a time, and how late: channels down to the next multiple of `round_to`."""
    for order, costs in ranked:
        start, size = 0, len(order)
        for kept in range((size - 1) // round_to * round_to, 0, -round_to):
            end = size - kept
            when = end / size if scope == "layer" else float(costs[start:end].mean())
            yield when, order[start:end]
            start = end
