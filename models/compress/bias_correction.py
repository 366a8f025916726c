"""Bias correction: biases take back what the rounding of weights does to the mean of outputs.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
section 4.2, the empirical way of its appendix D. Layer by layer in their order, the mean difference
of a channel's output, between the float net and one whose weights are rounded (and whose biases
before are corrected), is added to its bias. Batch normalisation is folded. Weights stay float, so
the correction holds for the rounding that it assumes, which is that of `_fake_quant.py`: a tool
chain that rounds otherwise is corrected for what it does not do. NNCF (.xml) corrects biases by
itself, and both together are worse than either. Activations are not rounded here. A layer without a
bias is left alone. Only biases change: parameters are those of the folded net.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomark.models.compress import _ties
from paretomark.models.compress._step import Context
from paretomark.models.data import _data
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from paretomark.models.compress._fake_quant import Layer


def check(*, bits: int, split: str, count: int) -> None:
    """Raise UserError unless 2 <= bits <= 8, count is positive, and there is such a split."""
    if not 2 <= bits <= 8 or count < 1:
        raise UserError(f"bits must be 2 to 8, count positive, got {bits} and {count}")
    if split not in _data.SPLITS:
        raise unknown("split", split, _data.SPLITS)


def pictures(*, split: str) -> str:
    """Name the split that is looked at: `split`."""
    return split


def apply(
    net: nn.Module,
    ctx: Context,
    *,
    bits: int = 8,
    per_channel: bool = True,
    split: str = "calibration",
    count: int = 128,
) -> nn.Module:
    """Return a copy of the net, folded, that once rounded has the mean outputs of the float net.

    They are means over `count` pictures of the split of its data set. Raises UserError if the
    data set has no such split, or layers share a bias.
    """
    import torch

    from paretomark.models.compress import _fake_quant

    def correct(layer: Layer, target: Tensor, x: Tensor) -> Tensor:
        weight = _fake_quant.rounded(layer.weight, bits, per_channel)
        y: Tensor = torch.func.functional_call(layer, {"weight": weight}, x)
        if layer.bias is None:
            return y
        channel = y.ndim - 1 if isinstance(layer, torch.nn.Linear) else 1
        axes = [axis for axis in range(y.ndim) if axis != channel]
        shift = (target - y).mean(axes, keepdim=True)
        layer.bias += shift.flatten()
        return y + shift

    result = _fake_quant.folded(net, ctx)
    biases = [f"{name}.bias" for name in _fake_quant.names(result)]
    _ties.refuse(result, biases, "each would take back its own error; use another method")
    _fake_quant.lockstep(result, _fake_quant.pictures(ctx, split, count), correct)
    return result
