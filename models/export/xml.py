"""OpenVINO's intermediate representation (.xml with .bin), through ONNX; int8 by NNCF.

fp16 stores weights as float16, which OpenVINO widens when it loads. int8 is static, weights are
symmetric, and activations by default too, as NNCF's preset "performance" has it; "asymmetric" is
its preset "mixed". Biases are corrected by its slower way. It calls symmetric also uint8 without a
zero point, for what is never negative.

Ranges of activations are what NNCF has: by default the mean over the batches of the smallest and
of the largest value, and before depthwise convolutions, where they are per channel, min-max. Of
"percentile", the mean of the 0.01 % quantiles of batches, and "mse", NNCF's histogram, the latter
is min-max there too. The mean over pictures is less than the largest value of most classes that are
bright where others are dark, and cuts it off: see docs/traps.md, and take "minmax" for those.

int8-weights is weights only, int8 per output channel, arithmetic as with float32. There is no
int4-weights: NNCF has that for matrix products only, and would write int8 for convolutions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.models.export import _options, _zeros, onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "onnx", "onnxscript", "openvino", "nncf")
PRECISIONS = ("fp32", "fp16", "int8", "int8-weights")
OPTIONS = {
    "ranges": ("mean-minmax", "minmax", "percentile", "mse"),
    "weights": ("channel", "tensor"),
    "activations": ("symmetric", "asymmetric"),
}


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 model with fixed shapes."""
    _convert(lambda model: onnx.export(net, sample, model), out)


def export_inputs(net: nn.Module, samples: Mapping[str, Tensor], out: Path) -> None:
    """Write the float32 model with fixed shapes and inputs of these names."""
    _convert(lambda model: onnx.export_inputs(net, samples, model), out)


def _convert(write: Callable[[Path], None], out: Path) -> None:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "model.onnx")
        model = openvino.convert_model(Path(folder) / "model.onnx")
        # By default the weights are halved, whatever they were.
        openvino.save_model(model, out, compress_to_fp16=False)


def quantize(
    model: Path,
    out: Path,
    precision: str,
    calibration: NDArray[np.float32],
    *,
    ranges: str = "mean-minmax",
    weights: str = "channel",
    activations: str = "symmetric",
) -> None:
    """Write `model` in another precision. Raises UserError for options that it does not have."""
    import openvino

    _options.check(OPTIONS, precision, ranges=ranges, weights=weights, activations=activations)
    net = openvino.Core().read_model(model)
    if precision == "int8":
        net = _static(net, calibration, ranges, weights, activations)
    elif precision == "int8-weights":
        import nncf

        net = nncf.compress_weights(net, mode=nncf.CompressWeightsMode.INT8_SYM)
    openvino.save_model(net, out, compress_to_fp16=precision == "fp16")


def weights(model: Path) -> dict[str, NDArray[Any]]:
    """Return its constants as they are stored, by name: integers and their scales."""
    import openvino

    constants = [op for op in openvino.Core().read_model(model).get_ops() if hasattr(op, "data")]
    return {op.get_friendly_name(): op.data for op in constants}


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, and the zeros among them; NNCF's integers are symmetric."""
    return _zeros.counted(weights(model).values())


def _static(
    net: Any, calibration: NDArray[np.float32], ranges: str, weights: str, activations: str
) -> Any:
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import (
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
    )

    presets = nncf.QuantizationPreset
    estimators = {
        "mean-minmax": RangeEstimatorParameters(),
        "minmax": RangeEstimatorParametersSet.MINMAX,
        "percentile": RangeEstimatorParametersSet.MEAN_QUANTILE,
        "mse": RangeEstimatorParametersSet.HISTOGRAM,
    }
    batches = list(calibration.reshape(-1, *net.input().get_shape()))
    return nncf.quantize(
        net,
        nncf.Dataset(batches),
        preset=presets.PERFORMANCE if activations == "symmetric" else presets.MIXED,
        subset_size=len(batches),
        # The fast one looks at one layer at a time: MobileNetV1-0.25 keeps 55.1 % with it, of
        # 58.4 % in float32, and all of them with this.
        fast_bias_correction=False,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=estimators[ranges],
            weights_quantization_params=QuantizationParameters(per_channel=weights == "channel"),
        ),
    )
