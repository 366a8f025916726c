"""Binary weights: each filter becomes sign(w) times its mean |w|; inputs become one bit, if asked.

Source: Rastegari et al., XNOR-Net, 2016: Binary-Weight-Networks and, with `inputs`, XNOR-Networks.
With epochs >= 1 the net learns real weights behind the binary ones, to which the gradient of the
binary ones goes (algorithm 1 there); without, accuracy is lost. Binary inputs of convolutions come
from batch normalisation, as there: behind a ReLU none would be negative. It adds two parameters per
channel; otherwise layers stay in their order, and the net's own normalisation still follows each
convolution. Zeros of pruning are filled. Encoded (`build/_encode.py`) the weights are one
bit each and one scale per filter. MACs stay nominal, and so does the time: no runtime here has
kernels for bits.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from paretomark.models.compress import _budgets, _reached, _tuning
from paretomark.models.compress._budgets import Layer
from paretomark.models.compress._reached import Reached
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

RENAMES = True  # with `inputs`


def check(**tuning: Unpack[_tuning.Tuning]) -> None:
    """Raise UserError for training that cannot be; epochs may be 0."""
    tuning["epochs"] = tuning.get("epochs", 0) or 1
    _tuning.check(**tuning)


def pictures(**tuning: Unpack[_tuning.Tuning]) -> str:
    """Name the split that is looked at: the train split only if it trains."""
    return "train" if tuning.get("epochs") else ""


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    inputs: bool = False,
    exclude: Sequence[str] = (),
    binarize_first: bool = False,
    binarize_last: bool = False,
    binarize_depthwise: bool = False,
    **tuning: Unpack[_tuning.Tuning],
) -> nn.Module:
    """Return a copy of the net whose layers have two weights per filter, one the negative of the
    other.

    The first and the last layer are left alone unless asked for. Layers with binary inputs become
    a Sequential of batch normalisation (convolutions only), `Binarize` and themselves. Raises
    UserError for an excluded layer that is not there, and if no layer is left.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    from paretomark.models.nets._binary import Binarize

    class Sign(nn.Module):
        """Two values exactly, whose gradient is that of the weight behind them."""

        def forward(self, weight: Tensor) -> Tensor:
            return binary(weight.detach()) + (weight - weight.detach())

    net = copy.deepcopy(net)
    layers = _layers(net, inputs, exclude, binarize_first, binarize_last, binarize_depthwise)
    masks = {n: m for n, m in _tuning.zeros(net).items() if n.removesuffix(".weight") not in layers}
    for name, layer in layers.items():
        parametrize.register_parametrization(layer.module, layer.attribute, Sign())
        if inputs:
            before: list[nn.Module] = [Binarize(tuple(range(1, layer.weight.ndim)))]  # all its axes
            if isinstance(layer.module, nn.Conv2d):
                before.insert(0, nn.BatchNorm2d(layer.module.in_channels))
            _budgets.replace(net, name, nn.Sequential(*before, layer.module))
    if tuning.get("epochs"):
        _tuning.tune(net, ctx, masks=masks, **tuning)
    for layer in layers.values():
        parametrize.remove_parametrizations(layer.module, layer.attribute)
    return net.eval()


def reached(before: nn.Module, after: nn.Module, ctx: Context) -> dict[str, Reached]:
    """Say which share of the weights has two values in each filter."""
    weights = _reached.weights(after)
    two = [
        n
        for n, w in weights.items()
        if bool((w.abs().flatten(1) == w.abs().flatten(1)[:, :1]).all())
    ]
    return {"share": _reached.share(after, two, "binary")}


def _layers(
    net: nn.Module,
    inputs: bool,
    exclude: Sequence[str],
    first: bool,
    last: bool,
    depthwise: bool,
) -> dict[str, Layer]:
    """Those to binarize: one whose inputs are as well must be called as a module."""
    from torch import nn

    every = _budgets.prunable(net, first=True, depthwise=True)
    layers = _budgets.prunable(net, exclude=exclude, first=True, depthwise=depthwise)
    for name, included in ((next(iter(every)), first), (list(every)[-1], last)):
        if not included:
            layers.pop(name, None)
    kinds = nn.Conv2d | nn.Linear if inputs else nn.Module
    names = _budgets.replaceable(net) if inputs else layers.keys()
    layers = {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer.module, kinds) and layer.can_be_computed and name in names
    }
    if not layers:
        raise UserError("no layer is left to binarize but the first and the last")
    return layers


def binary(weight: Tensor) -> Tensor:
    """Return the nearest weight (O, ...) of the form +-a in each of its O filters; the sign of 0 is
    +."""
    import torch

    scale = weight.abs().mean(list(range(1, weight.ndim)), keepdim=True)
    return torch.where(weight < 0, -scale, scale)
