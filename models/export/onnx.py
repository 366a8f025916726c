"""ONNX through torch.onnx; int8 through ONNX Runtime's own quantizer.

fp16 and bf16 store every weight in that type behind a Cast, which ONNX Runtime folds when it loads:
the file halves, the arithmetic stays float32. tf32 is the float32 file. All three are marked in the
metadata, for a device that computes in these types if it is told to, as TensorRT does; any other
computes in float32.

int8           static, QDQ, weights int8 and symmetric. Options: `ranges` of activations as in
               `_ranges.py`; `weights` have a scale per output channel, or per tensor; asymmetric
               `activations` are uint8, symmetric ones int8 with zero point 0.
int8-dynamic   weights uint8 per tensor, activations uint8 by ranges found anew in every inference
int8-weights   weights int8 per output channel, arithmetic float32
int4-weights   the same in int4. ONNX Runtime unpacks either anew in every inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomark.models.export import _onnx_quantize, _options, _zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
PRECISIONS = (
    "fp32", "tf32", "fp16", "bf16", "int8", "int8-dynamic", "int8-weights", "int4-weights",
)  # fmt: skip
OPTIONS = _options.OPTIONS
MARK = "paretomark.precision"


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 graph with fixed shapes, input `input`, output `output`."""
    _write(net, {"input": sample}, ["output"], out)


def export_inputs(net: nn.Module, samples: Mapping[str, Tensor], out: Path) -> None:
    """Write the float32 graph with fixed shapes and inputs of these names."""
    import torch

    with torch.no_grad():
        answers = net(*samples.values())
    count = len(answers) if isinstance(answers, tuple) else 1
    outputs = [f"output{i}" for i in range(count)] if count > 1 else ["output"]
    _write(net, samples, outputs, out)


def _write(
    net: nn.Module, samples: Mapping[str, Tensor], outputs: Sequence[str], out: Path
) -> None:
    import onnx
    import torch

    torch.onnx.export(
        net,
        tuple(samples.values()),
        out,
        dynamo=True,
        external_data=False,
        input_names=list(samples),
        output_names=outputs,
        verbose=False,
    )
    # The exporter notes at every node where its code lies on this machine: two checkouts would make
    # two files of one net.
    graph = (proto := onnx.load(out)).graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (graph, *graph.node, *values):
        del part.metadata_props[:]
    onnx.save(proto, out)


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
    _options.check(OPTIONS, precision, ranges=ranges, weights=weights, activations=activations)
    if precision == "int8":
        per_channel, symmetric = weights == "channel", activations == "symmetric"
        _onnx_quantize.static(model, out, calibration, ranges, per_channel, symmetric)
    elif precision == "int8-dynamic":
        _onnx_quantize.dynamic(model, out)
    elif precision.endswith("-weights"):
        _onnx_quantize.weights(model, out, bits=int(precision[3]))
    else:
        _mark(model, out, precision)


def weights(model: Path) -> dict[str, NDArray[Any]]:
    """Return its constants as they are stored, by name: integers, their scales and zero points."""
    import onnx
    from onnx import numpy_helper

    return {c.name: numpy_helper.to_array(c) for c in onnx.load(model).graph.initializer}


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, and the zeros among them; of integers, what equals their zero point."""
    import onnx

    graph, arrays = onnx.load(model).graph, weights(model)
    places = {"DequantizeLinear": (0, 2), "ConvInteger": (1, 3), "MatMulInteger": (1, 3)}
    for node in graph.node:
        weight, zero = places.get(node.op_type, (0, len(node.input)))
        point = arrays.get(node.input[zero]) if zero < len(node.input) else None
        if node.input[weight] in arrays and point is not None and point.any():
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            values = np.moveaxis(arrays[node.input[weight]].astype(np.int64), axis, -1)
            arrays[node.input[weight]] = values - point.astype(np.int64)
    return _zeros.counted(arrays.values())


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
