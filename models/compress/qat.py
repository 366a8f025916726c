"""Quantization-aware training: the net is trained on while its weights and activations are rounded.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference, 2018. Batch normalisation is folded before. Weights are rounded as in
`_fake_quant.py`, and so are, in 8 bits, the inputs of layers and additions; their ranges follow the
batches and then stay. Gradients go straight through. What comes back is an ordinary float net
without any of that: its weights lie on the grid that they were trained on, and tool chains find the
ranges of activations again. Only values change, from those of the folded net; zeros stay zero.
Below 8 bits, files and kernels are as for 8: the grid of 8 bits does not hold that of fewer, but
its rounding then is finer than what was trained for.
"""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Unpack

from paretomark.models.compress import _tuning
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import fx, nn

    from paretomark.models.compress._fake_quant import FakeActivation

# Unless said. Folded, a net bears less than in fine-tuning: ResNet-20 for CIFAR is lost at 0.01.
LR = 0.0005


def check(*, bits: int, freeze: float, **tuning: Unpack[_tuning.Tuning]) -> None:
    """Raise UserError unless 2 <= bits <= 8, 0 < freeze <= 1, and training can be."""
    if not 2 <= bits <= 8:
        raise UserError(f"bits must be 2 to 8, got {bits}")
    if not 0 < freeze <= 1:
        raise UserError(f"freeze must be above 0 and at most 1, got {freeze}")
    _tuning.check(**tuning)


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    bits: int = 8,
    freeze: float = 0.5,
    **tuning: Unpack[_tuning.Tuning],
) -> nn.Module:
    """Return a copy of the net, folded, trained on with weights of so many bits.

    The ranges of activations stay after the fraction `freeze` of the training. Raises UserError
    if the data set has no train split.
    """
    from torch.nn.utils import parametrize

    from paretomark.models.compress import _fake_quant

    result = _fake_quant.folded(net, ctx)
    layers = _fake_quant.layers(result)
    trained, activations = _observed(result)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _fake_quant.FakeWeight(bits))

    def settle(step: int, steps: int) -> None:
        for activation in activations:
            activation.frozen = step + 1 >= freeze * steps

    tuning.setdefault("lr", LR)
    _tuning.tune(trained, ctx, **tuning, remask=settle)
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight")
    return result.eval()


def _observed(net: fx.GraphModule) -> tuple[fx.GraphModule, list[FakeActivation]]:
    """A graph over the same layers, that rounds what they and additions get."""
    import torch
    from torch import fx

    from paretomark.models.compress import _fake_quant

    adds = (operator.add, operator.iadd, torch.add, "add", "add_")
    graph = copy.deepcopy(net.graph)
    rounding = fx.GraphModule(net, graph)
    sources = {
        source: None
        for node in graph.nodes
        if _fake_quant.layer_of(net, node) is not None or node.target in adds
        for source in node.all_input_nodes
    }
    activations = []
    for i, source in enumerate(sources):
        activations.append(_fake_quant.FakeActivation())
        rounding.add_submodule(f"activation_{i}", activations[-1])
        with graph.inserting_after(source):
            node = graph.call_module(f"activation_{i}", (source,))
        source.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: user is not node)
    rounding.recompile()
    return rounding, activations
