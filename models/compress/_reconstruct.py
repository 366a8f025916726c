"""What layers lose with channels of their input, on pictures, and weights that make up for it.

Source: ThiNet (Luo et al., 2017): the channels go, greedily, whose contributions to the outputs of
the layers that read them sum to the least squared error. Then, layer by layer as the net runs
(He et al., Channel Pruning for Accelerating Very Deep Neural Networks, 2017), weights are fitted by
least squares, from what the pruned net gives the layer to what it put out in the dense one: so
errors of the layers before are made up for as well. All pixels of the pictures count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.compress._graph import Alive, Channels, Graph, Values
from paretomark.models.compress._step import Context
from paretomark.models.data import _data

BATCH = 32
TINY = 1e-30
# Of the mean square of the inputs: keeps the fit near the weights that are there where pictures
# say little.
RIDGE = 1e-3


def pictures(ctx: Context, count: int) -> list[Tensor]:
    """Return the first `count` of the train split, as batches of the net's input (N, C, H, W)."""
    images = _data.unlabelled(ctx.data, "train", count, ctx.preprocess).images
    pixels = (
        torch.from_numpy(_data.normalise(ctx.preprocess, images)).permute(0, 3, 1, 2).contiguous()
    )
    return list(torch.split(pixels, BATCH))


def ranked(
    net: nn.Module, graph: Graph, groups: Sequence[Channels], batches: Sequence[Tensor]
) -> list[tuple[Channels, Values]]:
    """Return of each group the channels, those that should go first first, and what each costs
    more."""
    losses = _losses(net, graph, batches)
    return [_rank(losses, graph, group) for group in groups]


def refit(
    net: nn.Module, dense: nn.Module, graph: Graph, alive: Alive, batches: Sequence[Tensor]
) -> None:
    """Fit the weights, and biases, of layers that lost inputs, in place and as they run."""
    for name, layer in graph.layers.items():
        if layer.depthwise or alive[layer.inputs].all():
            continue
        rows = torch.from_numpy(alive[layer.outputs])
        squares, crossed = torch.zeros(()), torch.zeros(())
        for batch in batches:
            uses = zip(_seen(net, [name], batch), _seen(dense, [name], batch), strict=True)
            for (_, x, y), (_, _, target) in uses:
                columns = _columns(layer.module, x)
                if layer.module.bias is not None:
                    columns = functional.pad(columns, (0, 1), value=1.0)
                missing = (target[:, rows] - y).movedim(1, -1).flatten(0, -2)
                squares = squares + (columns.T @ columns).double()
                crossed = crossed + (columns.T @ missing).double()
        squares += max(RIDGE * float(squares.diagonal().mean()), TINY) * torch.eye(len(squares))
        change = torch.linalg.solve(squares, crossed).T.float()
        with torch.no_grad():
            if layer.module.bias is not None:
                layer.module.bias += change[:, -1]
                change = change[:, :-1]
            layer.module.weight += change.view_as(layer.module.weight)


def _losses(net: nn.Module, graph: Graph, batches: Sequence[Tensor]) -> dict[str, Values]:
    """By layer, E[y_c . y_d] / E[|y|^2] (inputs, inputs), y_c what input c gives to its output y.

    So the sum over c and d of a set is the share of the output that is lost with it.
    """
    readers = {n: la for n, la in graph.layers.items() if la.inputs.any() and not la.depthwise}
    moments: dict[str, Tensor] = {}
    for batch in batches:
        for name, x, _ in _seen(net, readers, batch):
            columns = _columns(readers[name].module, x)
            moments[name] = moments.get(name, 0) + (columns.T @ columns).double()
    shares = {}
    for name, layer in readers.items():
        weight = layer.module.weight.detach().flatten(1).double()
        inputs = len(layer.inputs)
        kernel = weight.shape[1] // inputs
        products = weight.T @ weight * moments[name]
        shared = products.view(inputs, kernel, inputs, kernel).sum((1, 3)).numpy()
        shares[name] = shared / max(shared.sum(), TINY)
    return shares


def _rank(losses: dict[str, Values], graph: Graph, group: Channels) -> tuple[Channels, Values]:
    index = np.full(graph.count, -1)
    index[group] = np.arange(len(group))
    shared = np.zeros((len(group), len(group)))
    for name, loss in losses.items():
        mine = index[graph.layers[name].inputs]
        here = np.flatnonzero(mine >= 0)
        np.add.at(shared, (mine[here][:, None], mine[here]), loss[np.ix_(here, here)])
    more = shared.diagonal().copy()
    order, costs = [], []
    for _ in group:
        least = int(more.argmin())
        order.append(least)
        costs.append(more[least])
        more += 2 * shared[least]
        more[least] = np.inf
    return group[order], np.maximum.accumulate(costs)


def _seen(net: nn.Module, names: Iterable[str], batch: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """What modules got and gave in one pass, as they ran: name, input, output."""
    seen: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        net.get_submodule(name).register_forward_hook(
            lambda _, x, y, name=name: seen.append((name, x[0], y))
        )
        for name in names
    ]
    with torch.no_grad():
        net(batch)
    for hook in hooks:
        hook.remove()
    return seen


def _columns(module: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """What each output position sees: (positions, inputs x kernel)."""
    if isinstance(module, nn.Linear):
        return x
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = functional.pad(x, module._reversed_padding_repeated_twice, mode)
    patches = functional.unfold(x, module.kernel_size, module.dilation, 0, module.stride)
    return patches.transpose(1, 2).flatten(0, 1)
