"""PyTorch's own exported program (.pt2), which `pytorch:*` runs.

fp16 stores every weight as float16 and computes in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch",)
PRECISIONS = ("fp32", "fp16")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 program."""
    import torch

    with torch.no_grad():
        torch.export.save(torch.export.export(net, (sample,)), out)


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write the program with float16 weights; the adapter widens them when it loads."""
    import torch

    program = torch.export.load(model)
    for name, weight in program.state_dict.items():
        if weight.dtype is torch.float32:
            program.state_dict[name] = torch.nn.Parameter(weight.half(), requires_grad=False)
    torch.export.save(program, out)
