"""A text file of a plain chain of linear layers and ReLUs: JSON, so that one can read it.

{"shape": [1, 8, 8, 1], "layers": [{"weight": [[...]], "bias": [...]}, ...]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch",)
PRECISIONS = ("fp32", "fp16")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the layers of `net`; `sample` is (N, C, H, W). Raises UserError for other nets."""
    from torch import nn

    leaves = [m for m in net.modules() if not list(m.children())]
    if not all(isinstance(m, nn.Linear | nn.ReLU | nn.Flatten) for m in leaves):
        raise UserError(".txt holds chains of linear layers only; leave out the other nets")
    layers = [
        {"weight": m.weight.tolist(), "bias": m.bias.tolist()}
        for m in leaves
        if isinstance(m, nn.Linear)
    ]
    out.write_text(json.dumps({"shape": list(sample.shape), "layers": layers}))


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Round the numbers to those that float16 has."""
    import numpy as np

    def halved(values: object) -> object:
        return np.asarray(values, np.float16).tolist()

    net = json.loads(model.read_text())
    net["layers"] = [{key: halved(v) for key, v in layer.items()} for layer in net["layers"]]
    out.write_text(json.dumps(net))
