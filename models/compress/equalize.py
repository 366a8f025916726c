"""Cross-layer equalization: a channel between two layers gets weights of one range on both sides.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
section 4.1. Between two layers that only ReLU (and what else commutes with positive
factors of channels) joins, channel i is divided by s_i = sqrt(r1_i r2_i) / r2_i on the way out of
the first and multiplied by it on the way into the second, r1 and r2 being the largest |w| there;
again over all pairs until nothing moves. Exact up to rounding; batch normalisation is folded.

ReLU6 does not commute: its pairs are left alone ("skip"), or it becomes ReLU as in the paper, which
changes the function where something exceeds 6 ("relu"), or a ReLU that is cut at 6 / s_i ("clip"),
exact, but one operator more that some runtimes do not fuse. The paper has one scale for a layer's
weights; with one for each channel, as tool chains take, the ranges of the first layer cost nothing
before, and activations may come to differ more from channel to channel: MobileNetV1-0.25 loses
points by it (tests/benchmarks/int8.py). It is for runtimes that take one scale.

`absorb` moves what a bias exceeds three standard deviations by, beta - 3 gamma of the folded
normalisation, into the next layer's bias where that pads nothing; it is exact but for activations
that are farther out. Parameters are those of the folded net, MACs stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomark.models.compress import _pairs, _ties
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import fx, nn

    from paretomark.models.compress._pairs import Pair

RELU6 = ("skip", "relu", "clip")
SETTLED = 1e-2  # of the logarithm of a factor
ROUNDS = 200


def check(*, relu6: str) -> None:
    """Raise UserError for a way to treat ReLU6 that is none."""
    if relu6 not in RELU6:
        raise unknown("relu6", relu6, RELU6)


def apply(net: nn.Module, ctx: Context, *, relu6: str = "skip", absorb: bool = False) -> nn.Module:
    """Return a copy of the net, folded and equalized.

    Pairs of which a layer shares its weight or bias with another are left alone. Raises UserError
    if there is no pair of layers, no normalisation left to absorb by, or if answers would change.
    """
    import torch

    from paretomark.models.compress import _fake_quant
    from paretomark.models.export import _fold
    from paretomark.models.nets import _load

    result = _fake_quant.folded(net, ctx)
    joined = [pair for pair in _pairs.find(result) if relu6 != "skip" or pair.relu6 is None]
    shared = _ties.sharers(result)
    pairs = [pair for pair in joined if shared.keys().isdisjoint(pair.parameters)]
    if joined and not pairs:
        names = [name for pair in joined for name in pair.parameters]
        _ties.refuse(result, names, "they cannot be scaled apart, and no other layers are joined")
    if not pairs:
        raise UserError(
            "equalize: no two layers are joined by nothing but ReLU, each used by the other only; "
            "for ReLU6 name a way by 'relu6'"
        )
    with torch.no_grad():
        for _ in range(ROUNDS):
            if max([_balance(pair) for pair in pairs]) < SETTLED:
                break
        for pair in pairs:
            if pair.relu6 is not None:
                _replace(result, pair, cut=relu6 == "clip")
    result.recompile()
    if relu6 != "relu":  # which is another net where something exceeds 6
        _fold.check(net, result, _load.pictures(ctx.preprocess, _fake_quant.SAMPLE))
    with torch.no_grad():
        if absorb:  # not through a cut, which would have to move too
            _absorb(net, [pair for pair in pairs if pair.relu6 is None or relu6 == "relu"])
    return result


def _balance(pair: Pair) -> float:
    """Scale the channels of a pair; how far the logarithm of a factor is from 0."""
    groups, weight = getattr(pair.second, "groups", 1), pair.second.weight
    outwards = pair.first.weight.abs().flatten(1).amax(1)
    grouped = weight.abs().reshape(groups, len(weight) // groups, weight.shape[1], -1)
    inwards = grouped.amax((1, 3)).flatten()
    ratio = (outwards / inwards).sqrt()
    ratio[(outwards == 0) | (inwards == 0)] = 1
    pair.first.weight /= ratio.view(-1, *[1] * (pair.first.weight.ndim - 1))
    if pair.first.bias is not None:
        pair.first.bias /= ratio
    weight *= _pairs.into(pair.second, ratio)
    pair.factor *= ratio
    return float(ratio.log().abs().max())


def _replace(net: fx.GraphModule, pair: Pair, *, cut: bool) -> None:
    """ReLU in place of a pair's ReLU6, cut at 6 / factor or not."""
    import torch

    node = pair.relu6
    assert node is not None
    with net.graph.inserting_before(node):
        became = net.graph.call_function(torch.relu, (node.args[0],))
        if cut:
            shape = (-1,) if pair.channels_last else (-1, 1, 1)
            net.register_buffer(f"{node.name}_cap", (6 / pair.factor).view(shape))
            cap = net.graph.get_attr(f"{node.name}_cap")
            became = net.graph.call_function(torch.minimum, (became, cap))
    node.replace_all_uses_with(became)
    net.graph.erase_node(node)


def _absorb(net: nn.Module, pairs: list[Pair]) -> None:
    import torch
    from torch import fx, nn

    traced = fx.symbolic_trace(net)
    norms: dict[str, nn.BatchNorm2d] = {}
    for node in traced.graph.nodes:
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            norms[str(node.args[0].target)] = module
    if not norms:
        raise UserError(
            "equalize: no normalisation to absorb by: the net has none, or none any more"
        )
    for pair in pairs:
        into, norm = pair.second, norms.get(pair.name)
        if norm is None or pair.padded or pair.first.bias is None or into.bias is None:
            continue
        excess = torch.relu((norm.bias - 3 * norm.weight.abs()) / pair.factor)
        pair.first.bias -= excess
        into.bias += (into.weight * _pairs.into(into, excess)).flatten(1).sum(1)
