"""OpenVINO's intermediate representation (.xml with .bin), through ONNX; int8 by NNCF.

fp16 stores weights as float16, which OpenVINO widens when it loads. int8 is static, by NNCF's
defaults: weights per channel and symmetric, activation ranges by its preset "performance".
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.models.export import onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "onnx", "onnxscript", "openvino", "nncf")
PRECISIONS = ("fp32", "fp16", "int8")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 model with fixed shapes."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        onnx.export(net, sample, Path(folder) / "model.onnx")
        model = openvino.convert_model(Path(folder) / "model.onnx")
        # By default the weights are halved, whatever they were.
        openvino.save_model(model, out, compress_to_fp16=False)


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write `model` in another precision."""
    import openvino

    net = openvino.Core().read_model(model)
    if precision == "int8":
        import nncf

        batches = list(calibration.reshape(-1, *net.input().get_shape()))
        net = nncf.quantize(net, nncf.Dataset(batches), subset_size=len(batches))
    openvino.save_model(net, out, compress_to_fp16=precision == "fp16")
