"""ONNX through torch.onnx; int8 through ONNX Runtime's own quantizer.

fp16 and bf16 store every weight in that type behind a Cast, which ONNX Runtime folds when it loads:
the file halves, the arithmetic stays float32. tf32 is the float32 file. All three are marked in the
metadata, for a device that computes in these types if it is told to, as TensorRT does; any other
computes in float32. int8 is static, QDQ, per channel, min-max.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")
MARK = "paretomark.precision"


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 graph with fixed shapes, input `input`, output `output`."""
    import torch

    torch.onnx.export(
        net,
        (sample,),
        out,
        dynamo=True,
        external_data=False,
        input_names=["input"],
        output_names=["output"],
        verbose=False,
    )


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write `model` in another precision."""
    if precision == "int8":
        _int8(model, out, calibration)
    else:
        _mark(model, out, precision)


def _mark(model: Path, out: Path, precision: str) -> None:
    """Name the precision, and narrow the weights if it has a type of its own."""
    import ml_dtypes
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (proto := onnx.load(model)).graph
    narrow = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}.get(precision)
    for weight in list(graph.initializer) if narrow else ():
        if weight.data_type != TensorProto.FLOAT:
            continue
        half = numpy_helper.from_array(
            numpy_helper.to_array(weight).astype(narrow), f"{weight.name}_{precision}"
        )
        cast = helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT)
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        graph.node.insert(0, cast)
    helper.set_model_props(proto, {MARK: precision})
    onnx.checker.check_model(proto)
    onnx.save(proto, out)


def _int8(model: Path, out: Path, calibration: NDArray[np.float32]) -> None:
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    port = InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.float32]] = iter(calibration.reshape(-1, *port.shape))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {port.name: batch}

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(model, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
