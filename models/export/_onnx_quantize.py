"""ONNX Runtime's quantizers, and weights alone between integers and DequantizeLinear."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomark.models.export import _ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray


def static(
    model: Path,
    out: Path,
    calibration: NDArray[np.float32],
    ranges: str,
    per_channel: bool,
    symmetric: bool,
) -> None:
    """Compute all in integers: weights int8; activations int8 if symmetric, else uint8."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        ready, file = Path(folder) / "ready.onnx", Path(folder) / "ranges.json"
        quant_pre_process(model, ready, skip_symbolic_shape=True)
        _save(_ranges.estimate(_activations(ready, calibration), ranges, symmetric), file)
        quantize_static(
            ready,
            out,
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": symmetric},
            calibration_cache_path=file,
        )


def _activations(
    model: Path, calibration: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Every float32 tensor that is not a constant, for one batch after the other."""
    import onnx
    from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

    graph = (proto := onnx.load(model)).graph
    inside = [name for node in graph.node for name in node.output if name]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside)
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    for batch in calibration.reshape(-1, *port.shape):
        values = zip(inside, session.run(inside, {port.name: batch}), strict=True)
        yield {port.name: batch} | {k: v for k, v in values if v.dtype == np.float32}


def _save(ranges: dict[str, tuple[float, float]], file: Path) -> None:
    """Ranges as `quantize_static` takes them instead of pictures."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    data = {name: tuple(np.array(end, np.float32) for end in ends) for name, ends in ranges.items()}
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), file)


def dynamic(model: Path, out: Path) -> None:
    """Store weights as uint8; each inference finds ranges of activations anew, for uint8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(model, ready, skip_symbolic_shape=True)
        graph = (proto := onnx.load(ready)).graph
        # The quantizer transposes weights, and trips over the shapes that are noted of them.
        constants = {weight.name for weight in graph.initializer}
        noted = [value for value in graph.value_info if value.name not in constants]
        del graph.value_info[:]
        graph.value_info.extend(noted)
        # Products of two uint8 do not saturate on x86-64 without VNNI, those with int8 may.
        quantize_dynamic(proto, out, weight_type=QuantType.QUInt8)


def weights(model: Path, out: Path, bits: int) -> None:
    """Store weights of layers as integers, symmetric per output channel, before a
    DequantizeLinear."""
    import ml_dtypes
    import onnx
    from onnx import helper, numpy_helper

    graph = (proto := onnx.load(model)).graph
    dtype: Any = {8: np.int8, 4: ml_dtypes.int4}[bits]
    constants = {weight.name: weight for weight in graph.initializer}
    axes = {n.input[1]: _axis(n) for n in graph.node if n.op_type in ("Conv", "Gemm", "MatMul")}
    for name, axis in axes.items():
        if name not in constants:  # a product of two activations
            continue
        values = np.moveaxis(numpy_helper.to_array(constants[name]), axis, 0)
        rows = values.reshape(len(values), -1)
        limit = 2 ** (bits - 1) - 1
        scale = np.abs(rows).max(1) / np.float32(limit)
        scale[scale == 0] = 1  # a channel of zeros
        levels = np.rint(rows / scale[:, None]).reshape(values.shape)
        narrow = np.ascontiguousarray(np.moveaxis(levels, 0, axis)).astype(dtype)
        graph.initializer.remove(constants[name])
        stored = [f"{name}_int{bits}", f"{name}_scale"]
        arrays = zip((narrow, scale), stored, strict=True)
        graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in arrays)
        graph.node.insert(0, helper.make_node("DequantizeLinear", stored, [name], axis=axis))
    if bits == 4:  # the first version that has it, and changes nothing else of what 20 has
        (opset,) = (o for o in proto.opset_import if not o.domain)
        opset.version, proto.ir_version = max(opset.version, 21), max(proto.ir_version, 10)
    onnx.checker.check_model(proto)
    onnx.save(proto, out)


def _axis(node: Any) -> int:
    """Which dimension of a layer's weights are its output channels."""
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1
