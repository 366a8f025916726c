"""TFLite through litert-torch; fp16 and int8 through AI Edge Quantizer.

fp16 stores every weight as float16 behind a DEQUANTIZE, which XNNPACK folds when it loads.
int8 is full integer, inputs and outputs included, per channel, min-max.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")
PRECISIONS = ("fp32", "fp16", "int8")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 model with fixed shapes, input and output in NHWC."""
    import litert_torch

    # The wrapper starts in training mode whatever the net it wraps is in.
    wrapped = litert_torch.to_channel_last_io(net, args=[0]).eval()
    litert_torch.convert(wrapped, (sample.permute(0, 2, 3, 1).contiguous(),)).export(str(out))


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write `model` in another precision."""
    from ai_edge_quantizer import quantizer

    chain = quantizer.Quantizer(str(model))
    if precision == "fp16":
        chain.load_quantization_recipe(_fp16())
        result = chain.quantize(enable_progress_report=False)
    else:
        from ai_edge_quantizer import recipe

        chain.load_quantization_recipe(recipe.static_wi8_ai8())
        statistics = _statistics(model, calibration, chain.get_quantization_recipe())
        result = chain.quantize(statistics, enable_progress_report=False)
    out.write_bytes(bytes(result.quantized_model))


def _fp16() -> list[dict[str, Any]]:
    from ai_edge_quantizer import qtyping, recipe

    return [
        {
            "regex": ".*",
            "operation": qtyping.TFLOperationName.ALL_SUPPORTED,
            "algorithm_key": recipe.AlgorithmName.FLOAT_CASTING,
            "op_config": {
                "weight_tensor_config": {"num_bits": 16, "dtype": qtyping.TensorDataType.FLOAT},
                "compute_precision": qtyping.ComputePrecision.FLOAT,
                "explicit_dequantize": True,
            },
        }
    ]


def _statistics(model: Path, calibration: NDArray[np.float32], recipe: Any) -> dict[str, Any]:
    """Smallest and largest value of every tensor over all calibration pictures.

    `Quantizer.calibrate` takes a moving average of the ranges instead, in which the last
    pictures count most and outliers are cut off: SqueezeNet loses 12 points by that.
    """
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe)
    ranges = calibrator.Calibrator(str(model), 1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate(_signature(model, calibration), manager)
    statistics: dict[str, Any] = ranges.get_model_qsvs()
    return statistics


def _signature(model: Path, calibration: NDArray[np.float32]) -> dict[str, list[dict[str, Any]]]:
    """The calibration pictures as calls of the model's only signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    name, ports = next(iter(interpreter.get_signature_list().items()))
    shape = interpreter.get_input_details()[0]["shape"]
    pictures = np.moveaxis(calibration, 1, -1).reshape(-1, *shape)
    return {name: [{ports["inputs"][0]: np.ascontiguousarray(p)} for p in pictures]}
