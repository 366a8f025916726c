"""Weight clustering: the weights of a layer share a few values, the centroids of a k-means.

Source: Han et al., Deep Compression, 2015, section 3: Lloyd's k-means from centroids spread evenly
over the range ("kmeans++": as Arthur & Vassilvitskii, 2007). With epochs >= 1 they are trained by
the sum of their weights' gradients, which, unlike there, is divided by their number: it is the
weights' own step, projected on what can be shared. Zeros stay zero and in no cluster, so it may
come after pruning. Parameters, nonzeros, MACs and the bytes of a dense file stay; encoded
(`_encode`) a weight takes `bits` bits, and a codebook 4 x 2^bits bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from paretomark.models.compress import _budgets, _reached, _ties, _tuning
from paretomark.models.compress._budgets import Layer
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

INITS = ("linear", "kmeans++")
Values = NDArray[np.float64]


def check(*, bits: int, group: int, init: str, **tuning: Unpack[_tuning.Tuning]) -> None:
    """Raise UserError unless 1 <= bits <= 8, group >= 0, and `init` and training can be."""
    if not 1 <= bits <= 8 or group < 0:
        raise UserError(f"bits must be 1 to 8, group at least 0, got {bits} and {group}")
    if init not in INITS:
        raise unknown("init", init, INITS)
    tuning["epochs"] = tuning.get("epochs", 0) or 1
    _tuning.check(**tuning)


def pictures(**tuning: Unpack[_tuning.Tuning]) -> str:
    """Name the split that is looked at: the train split only if it trains."""
    return "train" if tuning.get("epochs") else ""


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    bits: int,
    group: int = 0,
    init: str = "linear",
    exclude: Sequence[str] = (),
    cluster_first: bool = False,
    cluster_depthwise: bool = False,
    **tuning: Unpack[_tuning.Tuning],
) -> nn.Module:
    """Return a copy of the net whose layers have at most 2^bits values other than zero each.

    With `group`, that is so for every so many output channels; without `epochs` nothing is
    trained; which layers are left alone is said in `_budgets.prunable`.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    net = copy.deepcopy(net)
    layers = _layers(net, exclude, cluster_first, cluster_depthwise)
    rng = np.random.default_rng(ctx.seed)
    shared = []
    for layer in layers.values():
        codebook, indices = _shared(layer.weight.detach().numpy(), 1 << bits, group, init, rng)
        shared.append(_ties.users(net, layer.weight))
        _parametrize(shared[-1], _lookup(codebook, indices))
    if tuning.get("epochs"):
        _tuning.tune(net, ctx, **tuning)
    for users in shared:
        weight = nn.Parameter(getattr(*users[0]).detach(), requires_grad=True)
        for module, attribute in users:
            parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
            setattr(module, attribute, weight)
    return net.eval()


def reached(
    before: nn.Module,
    after: nn.Module,
    ctx: Context,
    *,
    bits: int,
    group: int,
    exclude: Sequence[str],
    cluster_first: bool,
    cluster_depthwise: bool,
) -> dict[str, Reached]:
    """Count the values of the layer, or group, that has most, and the weights that have few."""
    import torch

    layers = _layers(after, exclude, cluster_first, cluster_depthwise)
    counts = [
        len(torch.unique(part[part != 0]))
        for layer in layers.values()
        for part in torch.split(layer.weight.detach(), group or len(layer.weight))
    ]
    most = f"{max(counts)} values in a layer, {1 << bits} asked" if max(counts) > 1 << bits else ""
    return {
        "values": Reached(1 << bits, max(counts), most),
        "share": _reached.share(after, layers, "clustered"),
    }


def _layers(
    net: nn.Module, exclude: Sequence[str], first: bool, depthwise: bool
) -> dict[str, Layer]:
    every = _budgets.prunable(net, exclude=exclude, first=first, depthwise=depthwise)
    layers = {name: layer for name, layer in every.items() if layer.can_be_computed}
    if not layers:
        raise UserError("no layer is left to cluster: recurrent and transposed ones are left alone")
    return layers


def _parametrize(users: Sequence[tuple[nn.Module, str]], lookup: nn.Module) -> None:
    """Have all modules that share a weight look it up, by one tensor that is trained."""
    from torch import nn
    from torch.nn.utils import parametrize

    for module, attribute in users:  # registering writes to the parameter that it finds
        setattr(module, attribute, nn.Parameter(getattr(module, attribute).detach().clone()))
    lists: list[Any] = []
    for module, attribute in users:
        made: Any = parametrize.register_parametrization(module, attribute, lookup)
        lists.append(made.parametrizations[attribute])
        lists[-1].original = lists[0].original


def kmeans(values: Values, k: int, init: str, rng: np.random.Generator) -> Values:
    """Return at most k centroids of values (N,), in ascending order: each is the mean of those
    nearest.

    Lloyd's algorithm: in one dimension a cluster is a range of the sorted values.
    """
    ordered = np.sort(values)
    if len(distinct := np.unique(ordered)) <= k:
        return distinct
    sums = np.append(0.0, np.cumsum(ordered))
    if init == "linear":
        centroids = np.linspace(ordered[0], ordered[-1], k)
    else:
        centroids = _spread(ordered, k, rng)
    ends, counts = np.zeros(k + 1, np.int64), np.zeros(k, np.int64)
    for _ in range(1000):  # layers of real nets settle before
        between = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        if np.array_equal(between, ends[1:-1]):
            break
        ends = np.concatenate([[0], between, [len(ordered)]])
        counts = np.diff(ends)
        centroids = np.where(counts, np.diff(sums[ends]) / np.maximum(counts, 1), centroids)
    return centroids[counts > 0]


def _spread(ordered: Values, k: int, rng: np.random.Generator) -> Values:
    """k-means++: the farther a value is from all before, the likelier it is the next."""
    chosen = [rng.choice(ordered)]
    distance = (ordered - chosen[0]) ** 2
    while len(chosen) < k:
        chosen.append(rng.choice(ordered, p=distance / distance.sum()))
        distance = np.minimum(distance, (ordered - chosen[-1]) ** 2)
    return np.sort(chosen)


def _shared(
    weight: NDArray[np.float32], k: int, group: int, init: str, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All codebooks of a layer in a row, after a zero, and where in there each weight is."""
    codebook = [np.zeros(1)]
    indices = np.zeros(weight.shape, np.int64)
    for at in range(0, len(weight), rows := group or len(weight)):
        some = weight[at : at + rows] != 0
        values = weight[at : at + rows][some].astype(np.float64)
        centroids = kmeans(values, k, init, rng)
        nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
        indices[at : at + rows][some] = nearest + sum(map(len, codebook))
        codebook.append(centroids)
    return np.concatenate(codebook).astype(np.float32), indices


def _lookup(codebook: NDArray[np.float32], indices: NDArray[np.int64]) -> nn.Module:
    """Parametrizes a weight by how far its values have moved, times the root of their number."""
    import torch
    from torch import nn

    values, places = torch.from_numpy(codebook), torch.from_numpy(indices.reshape(-1))
    roots = places.bincount(minlength=len(codebook))[1:].sqrt()

    class Lookup(nn.Module):
        def forward(self, moved: Tensor) -> Tensor:
            now = values + nn.functional.pad(moved / roots, (1, 0))  # the zero does not move
            return now.index_select(0, places).view(indices.shape)

        def right_inverse(self, weight: Tensor) -> Tensor:
            return torch.zeros_like(roots)

    return Lookup()
