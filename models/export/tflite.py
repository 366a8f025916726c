"""TFLite through litert-torch; fp16 and int8 through AI Edge Quantizer.

fp16           weights float16 behind a DEQUANTIZE, which XNNPACK folds when it loads
int8           full integer, inputs and outputs included, weights symmetric. Options: `ranges` of
               activations as in `_ranges.py`; `weights` have a scale per output channel, or per
               tensor; symmetric `activations` have zero point 0.
int8-dynamic   weights int8 per output channel, activations int8 by ranges found anew in every
               inference
int8-weights   weights int8 per output channel behind a DEQUANTIZE, arithmetic float32
int4-weights   the same in int4, but int8 for depthwise convolutions, which LiteRT has not in int4
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomark.models.export import _depth_to_space, _options, _ranges, _zero_padding

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")
PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "int4-weights")
OPTIONS = _options.OPTIONS


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 model with fixed shapes, pictures in and out in NHWC."""
    import litert_torch
    import torch

    with torch.no_grad():
        dense = [0] if net(sample).ndim == 4 else []
    # The wrapper starts in training mode whatever the net it wraps is in.
    wrapped = litert_torch.to_channel_last_io(net, args=[0], outputs=dense).eval()
    litert_torch.convert(wrapped, (sample.permute(0, 2, 3, 1).contiguous(),)).export(str(out))
    _mend(out)


def export_inputs(net: nn.Module, samples: Mapping[str, Tensor], out: Path) -> None:
    """Write the float32 model with fixed shapes, inputs and outputs as the net has them."""
    import litert_torch

    litert_torch.convert(net, tuple(samples.values())).export(str(out))
    _mend(out)


def _mend(model: Path) -> None:
    """Write what litert-torch has made needlessly hard for runtimes as they like it."""
    from paretomark.models.export import _sparse_graph, _sparse_tflite

    net = _sparse_graph.load(model)
    mended = [_depth_to_space.restore(net), _zero_padding.restore(net)]
    if any(mended):
        _sparse_tflite.write(net, model)


def quantize(
    model: Path,
    out: Path,
    precision: str,
    calibration: NDArray[np.float32],
    *,
    ranges: str = "minmax",
    weights: str = "channel",
    activations: str = "asymmetric",
) -> None:
    """Write `model` in another precision. Raises UserError for options that it does not have."""
    from ai_edge_quantizer import quantizer

    _options.check(OPTIONS, precision, ranges=ranges, weights=weights, activations=activations)
    symmetric = activations == "symmetric"
    static = precision == "int8"
    statistics = _statistics(model, calibration, ranges, symmetric) if static else None
    chain = quantizer.Quantizer(str(model))
    chain.load_quantization_recipe(_recipe(precision, weights, symmetric))
    result = chain.quantize(statistics, enable_progress_report=False)
    out.write_bytes(bytes(result.quantized_model))


def sparsify(model: Path, out: Path) -> str:
    """Write `model` with the zeros of its 1x1 convolutions left out. Returns XNNPACK's path.

    Raises UserError if XNNPACK would give wrong answers from it.
    """
    from paretomark.models.export import _sparse_tflite

    _sparse_tflite.sparsify(model, out)
    return sparse_path(out)


def sparse_path(model: Path) -> str:
    """Tell whether XNNPACK skips the zeros of a file, and why; "sparse", "dense" or "unsafe"."""
    from paretomark.models.export import _sparse_check

    verdict = _sparse_check.verdict(model)
    return f"{verdict.kind}: {verdict.reason}"


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, also those that are left out because they are zero, and the zeros among
    them."""
    from paretomark.models.export import _sparse_graph

    filters = [node.filter for node in _sparse_graph.graph(_sparse_graph.load(model)).nodes]
    stored = [filter for filter in filters if filter]
    return sum(f.weights for f in stored), sum(f.zeros for f in stored)


def weights(model: Path) -> dict[str, NDArray[Any]]:
    """Return its constants as they are stored, by name and place, and the scales of integers."""
    from paretomark.models.export import _tflite_model

    net = _tflite_model.load(model)
    arrays: dict[str, NDArray[Any]] = {}
    for tensor in (tensor for graph in net.subgraphs for tensor in graph.tensors):
        numbers, shape = _tflite_model.stored(net, tensor), _tflite_model.shape(tensor)
        if numbers is None or (name := str(tensor.buffer)) in arrays:
            continue
        arrays[name] = numbers.reshape(shape) if numbers.size == math.prod(shape) else numbers
        scale = None if tensor.quantization is None else tensor.quantization.scale
        if scale is not None and len(scale):
            arrays[f"{name} scale"] = np.asarray(scale, np.float32)
    return arrays


def _recipe(precision: str, weights: str, symmetric: bool) -> list[dict[str, Any]]:
    from ai_edge_quantizer import recipe

    (rule,) = {
        "fp16": recipe.weight_only_wi8_afp32,
        "int8": recipe.static_wi8_ai8,
        "int8-dynamic": recipe.dynamic_wi8_afp32,
        "int8-weights": recipe.weight_only_wi8_afp32,
        "int4-weights": recipe.weight_only_wi4_afp32,
    }[precision]()
    config = rule["op_config"]
    if precision == "fp16":
        rule["algorithm_key"] = recipe.AlgorithmName.FLOAT_CASTING
        config["weight_tensor_config"] = {"num_bits": 16, "dtype": "FLOAT"}
    elif precision == "int8":
        config["activation_tensor_config"]["symmetric"] = symmetric
        config["weight_tensor_config"]["granularity"] = f"{weights}wise".upper()
    elif precision == "int4-weights":
        (eight,) = recipe.weight_only_wi8_afp32()
        return [rule, eight | {"operation": "DEPTHWISE_CONV_2D"}]
    return [rule]


def _statistics(
    model: Path, calibration: NDArray[np.float32], ranges: str, symmetric: bool
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The range of every tensor over all calibration pictures, as the quantizer wants it.

    `Quantizer.calibrate` takes a moving average of the ranges instead, in which the last
    pictures count most and outliers are cut off: SqueezeNet loses 12 points by that.
    """
    estimated = _ranges.estimate(_activations(model, calibration), ranges, symmetric)
    return {
        name: {"min": np.array(low, np.float32), "max": np.array(high, np.float32)}
        for name, (low, high) in estimated.items()
    }


def _activations(
    model: Path, calibration: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Every float32 tensor that is not a constant, for one batch after the other.

    Where litert-torch pads a max pooling, it does so with minus infinity. Such values are left out
    of the padded tensor: in int8 they become the least level, below which nothing is either.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    inside = {int(t) for node in nodes for t in node["outputs"]}
    padded = {int(node["outputs"][0]) for node in nodes if node["op_name"] == "PADV2"}
    inside |= {port["index"] for port in interpreter.get_input_details()}
    tensors = {
        t["name"]: t["index"]
        for t in interpreter.get_tensor_details()
        if t["index"] in inside and t["dtype"] is np.float32
    }
    for signature, calls in as_calls(model, calibration).items():
        run = interpreter.get_signature_runner(signature)
        for call in calls:
            run(**call)
            seen = {name: interpreter.get_tensor(index) for name, index in tensors.items()}
            yield {
                name: values[values != -np.inf] if tensors[name] in padded else values
                for name, values in seen.items()
            }


def as_calls(model: Path, calibration: NDArray[np.float32]) -> dict[str, list[dict[str, Any]]]:
    """Return the calibration pictures as calls of the model's only signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    name, ports = next(iter(interpreter.get_signature_list().items()))
    shape = interpreter.get_input_details()[0]["shape"]
    pictures = np.moveaxis(calibration, 1, -1).reshape(-1, *shape)
    return {name: [{ports["inputs"][0]: np.ascontiguousarray(p)} for p in pictures]}
