"""Integers in float arithmetic: what int8 tool chains will do to a net, before they do it.

Source: Jacob et al., Quantization and Training of Neural Networks, 2018; Krishnamoorthi, Quantizing
deep convolutional networks for efficient inference, 2018, for scales per channel. Weights are
symmetric, one scale for each output channel, max |w| / (2^(bits-1) - 1), rounded to the nearest: so
do ONNX Runtime's quantizer, AI Edge Quantizer and NNCF, the last in 7 bits in the first layer.
Activations are asymmetric, one scale for the tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor, fx, nn

from paretomark.models.data import _data
from paretomark.models.export import _fold
from paretomark.models.nets import _load
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from paretomark.models.compress._step import Context

Layer: TypeAlias = nn.Conv2d | nn.Linear
SAMPLE = 2  # pictures, to see that answers stay


def folded(net: nn.Module, ctx: Context) -> fx.GraphModule:
    """Return a copy of the net as a graph, batch normalisation folded as it is for export.

    Layers keep their names. Raises UserError if a layer is called more than once, or the graph does
    not answer as the net does.
    """
    sample = _load.pictures(ctx.preprocess, SAMPLE)
    graph = _fold.graph(copy.deepcopy(net).eval(), ((sample,), {}))
    # Folding leaves biases that were none without gradients: no training would ever move them.
    graph.requires_grad_(True)
    for node in graph.graph.nodes:
        node.type = None  # an annotation that is a string cannot be pickled
    graph.recompile()
    called = names(graph)
    for name in called:
        if called.count(name) > 1:
            raise UserError(
                f"layer {name} is called more than once: it cannot be prepared for int8"
            )
    return graph


def layer_of(net: fx.GraphModule, node: fx.Node) -> Layer | None:
    """Return the convolution or linear layer that a node calls, if it calls one."""
    module = net.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, nn.Conv2d | nn.Linear) else None


def layers(net: fx.GraphModule) -> list[Layer]:
    """Return those of a graph, in the order in which they are called."""
    return [layer for node in net.graph.nodes if (layer := layer_of(net, node)) is not None]


def names(net: fx.GraphModule) -> list[str]:
    """Return their names."""
    return [str(n.target) for n in net.graph.nodes if layer_of(net, n) is not None]


def scales(weight: Tensor, bits: int = 8, per_channel: bool = True) -> Tensor:
    """Return what 1 stands for: of the weight's number of dimensions, one for each output channel
    or one.

    A channel of zeros has the scale 1.
    """
    axes = tuple(range(1 if per_channel else 0, weight.ndim))
    largest = weight.detach().abs().amax(axes, keepdim=True)
    return torch.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)


def rounded(weight: Tensor, bits: int = 8, per_channel: bool = True) -> Tensor:
    """Return the weight after quantization and back."""
    scale = scales(weight, bits, per_channel)
    return (weight / scale).round() * scale


def pictures(ctx: Context, split: str, count: int) -> Tensor:
    """Return pictures to calibrate on, as the net wants them (N, C, H, W); labels are not looked
    at."""
    try:
        images = _data.unlabelled(ctx.data, cast(_data.Split, split), count, ctx.preprocess).images
    except UserError as error:
        raise UserError(f"{error}; a step takes other pictures by its parameter 'split'") from None
    pixels = torch.from_numpy(_data.normalise(ctx.preprocess, images))
    return pixels.permute(0, 3, 1, 2).contiguous()


def lockstep(
    net: fx.GraphModule, x: Tensor, adapt: Callable[[Layer, Tensor, Tensor], Tensor]
) -> None:
    """Change the layers of a net in place, one after the other, as `adapt` does.

    `adapt(layer, target, inputs)` gets the outputs that the layer had in the net as it was, and
    the inputs that it has after all layers before it were adapted; it changes the layer and
    returns its outputs. All pictures go through the net at once, so memory grows with them. Layers
    must not share what is changed.
    """

    before, after = fx.Interpreter(net), fx.Interpreter(net)
    for run in (before, after):
        run.args_iter = iter([x])
    with torch.no_grad():
        for node in net.graph.nodes:
            before.env[node] = before.run_node(node)
            layer = layer_of(net, node)
            if layer is None:
                after.env[node] = after.run_node(node)
            else:
                inputs = after.env[node.args[0]]
                after.env[node] = adapt(layer, before.env[node], inputs)
            for read in before.user_to_last_uses.get(node, ()):
                del before.env[read], after.env[read]


class FakeWeight(nn.Module):
    """A parametrization: the weight rounded; the gradient goes straight through."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (rounded(weight, self.bits) - weight).detach()


class FakeActivation(nn.Module):
    """Rounds a tensor to 256 levels over its range, which holds 0; the gradient is 0 outside.

    The range is a moving average of those of the training batches, until `frozen`.
    """

    MOMENTUM = 0.1  # of the newest batch

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False
        self.range: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.frozen:
            ends = torch.stack([x.detach().amin().clamp(max=0), x.detach().amax().clamp(min=0)])
            self.range = ends if self.range is None else self.range.lerp(ends, self.MOMENTUM)
        if self.range is None:
            return x
        low, high = self.range
        scale = ((high - low) / 255).clamp(min=torch.finfo(x.dtype).tiny)
        zero = (-low / scale).round().to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)
