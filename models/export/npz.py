"""A NumPy archive of a plain chain of linear layers and ReLUs: the format of the `fake` device.

It needs no runtime, so that the whole pipeline can be tried anywhere; the fake device really
computes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paretomark.models.export import _zeros
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch",)
PRECISIONS = ("fp32", "fp16")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write `shape`, then `weight<i>` and `bias<i>` for each linear layer; a ReLU lies between."""
    from torch import nn

    leaves = [m for m in net.modules() if not list(m.children())]
    layers = [m for m in leaves if isinstance(m, nn.Linear)]
    allowed = nn.Linear | nn.ReLU | nn.Flatten | nn.Identity
    if not layers or not all(isinstance(m, allowed) for m in leaves):
        raise UserError("the fake device runs only chains of linear layers, such as digits_mlp")
    arrays = {"shape": np.array(sample.shape)}
    for i, layer in enumerate(layers):
        arrays[f"weight{i}"] = layer.weight.detach().numpy()
        arrays[f"bias{i}"] = layer.bias.detach().numpy()
    with out.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write weights and biases as float16."""
    with np.load(model) as arrays:
        halved = {k: v if k == "shape" else v.astype(np.float16) for k, v in arrays.items()}
    with out.open("wb") as file:
        np.savez(file, **halved)


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, and the zeros among them."""
    with np.load(model) as arrays:
        return _zeros.counted([arrays[name] for name in arrays if name.startswith("weight")])
