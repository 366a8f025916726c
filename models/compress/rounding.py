"""Adaptive rounding: each weight goes up or down so that the layer's outputs change least.

Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization (AdaRound), 2020.
Layer by layer in their order, the choice is relaxed to a rectified sigmoid and learnt by Adam: the
squared error of the layer's outputs, given the inputs that it has after the layers before it were
rounded, and a penalty that drives choices to 0 or 1. Unlike there, the error is that before the
activation and relative to that of rounding to the nearest, which stays where it is better; and
steps are hundreds, not 10,000, with a larger rate.

Batch normalisation is folded. Weights come to lie on the grid of `_fake_quant.py`, and the largest
of each channel stays, so a tool chain that takes this grid rounds to the same integers: in 8 bits
ONNX Runtime's and AI Edge Quantizer do, and NNCF (.xml) but for the first layer, where it takes 7
bits. Zeros stay zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomark.models.compress import _ties, bias_correction
from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from paretomark.models.compress._fake_quant import Layer

BATCH = 32
RATE = 0.1
PENALTY = 1.0
STRETCH = (-0.1, 1.1)  # of the sigmoid, so that it reaches 0 and 1
SHARPNESS = (20.0, 2.0)  # of the penalty, from first to last
WARM = 0.2  # share of the steps without penalty


def check(*, bits: int, split: str, count: int, iterations: int) -> None:
    """Raise UserError for a value that cannot be."""
    bias_correction.check(bits=bits, split=split, count=count)
    if iterations < 1:
        raise UserError(f"iterations must be positive, got {iterations}")


def pictures(*, split: str) -> str:
    """Name the split that is looked at: `split`."""
    return split


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    bits: int = 8,
    split: str = "calibration",
    count: int = 128,
    iterations: int = 300,
) -> nn.Module:
    """Return a copy of the net, folded, whose weights are rounded.

    It is learnt on `count` pictures of the split of its data set, without labels, in so many
    steps a layer. Raises UserError if the data set has no such split, or layers share a
    weight.
    """
    import torch

    from paretomark.models.compress import _fake_quant

    generator = torch.Generator().manual_seed(ctx.seed)

    def learn(layer: Layer, target: Tensor, x: Tensor) -> Tensor:
        layer.weight.copy_(_learn(layer, target, x, bits, iterations, generator))
        y: Tensor = layer(x)
        return y

    result = _fake_quant.folded(net, ctx)
    weights = [f"{name}.weight" for name in _fake_quant.names(result)]
    _ties.refuse(result, weights, "its rounding cannot be the best for both; use another method")
    _fake_quant.lockstep(result, _fake_quant.pictures(ctx, split, count), learn)
    return result


def _learn(
    layer: Layer, target: Tensor, x: Tensor, bits: int, iterations: int, generator: Generator
) -> Tensor:
    """The rounded weight."""
    import torch

    from paretomark.models.compress import _fake_quant

    def error(weight: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        y = torch.func.functional_call(layer, {"weight": weight}, x[chosen])
        squares: Tensor = (y - target[chosen]).square()
        return squares.mean()

    scale = _fake_quant.scales(layer.weight, bits)
    nearest = _fake_quant.rounded(layer.weight, bits)
    exact = layer.weight / scale
    floor, share = exact.floor(), exact - exact.floor()
    # What is on the grid, such as zeros and the weight that sets the scale, has no choice.
    free = (share - share.round()).abs() > 1e-4
    at_nearest = error(nearest)
    if not free.any() or at_nearest == 0:
        return nearest
    low, high = STRETCH
    choice = torch.logit((share - low) / (high - low)).requires_grad_()

    def weight(up: Tensor) -> Tensor:
        return torch.where(free, (floor + up) * scale, nearest)

    adam = torch.optim.Adam([choice], lr=RATE)
    with torch.enable_grad():
        for step in range(iterations):
            picked = torch.randint(len(x), (BATCH,), generator=generator)
            up = (choice.sigmoid() * (high - low) + low).clamp(0, 1)
            loss = error(weight(up), picked) / at_nearest
            done = (step / iterations - WARM) / (1 - WARM)
            if done > 0:
                sharp = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * done
                loss = loss + PENALTY * (1 - (2 * up[free] - 1).abs() ** sharp).mean()
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    learnt = weight((choice.detach() > 0).to(floor.dtype))
    return learnt if error(learnt) < at_nearest else nearest
