#!/usr/bin/env python3
"""What the defaults of some tool chains cost, that this project does not take.

Needs real pictures and weights: PARETOMARK_DATA is the folder that has them. Prints top-1 on the
same pictures, and for OpenVINO the latency too (in turns, the median of their ratios).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.fx.experimental.optimization import fuse

from paretomark.models.data import _data
from paretomark.models.export import onnx, tflite
from paretomark.models.nets import mobilenet_v1_0_25, resnet20_cifar, squeezenet1_0

Pictures = NDArray[np.float32]
Answer = Callable[[Pictures], NDArray[Any]]


def main() -> int:
    root = Path(os.environ.get("PARETOMARK_DATA", "."))
    photos, cifar = f"labels_csv:{root}/imagenet_photos", f"npz:{root}/cifar10_small.npz"
    weights = root / "weights"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module, file in (
            (mobilenet_v1_0_25, "mobilenetv1_0.25_imagenet"),
            (squeezenet1_0, "squeezenet1_0_deep_compressed_imagenet"),
        ):
            net, x, labels = prepared(module, weights / f"{file}.safetensors", photos)
            moving_average(folder, file, fuse(net), x, labels)
            if module is mobilenet_v1_0_25:
                unfolded(folder, net, x, labels)
        net, x, labels = prepared(resnet20_cifar, weights / "resnet20_cifar10.safetensors", cifar)
        bfloat16(folder, fuse(net), x, labels)
    return 0


def prepared(module: Any, weights: Path, data: str) -> tuple[nn.Module, Pictures, NDArray[Any]]:
    net = module.net().eval()
    net.load_state_dict(load_file(weights))
    examples = _data.load(data, "test", 1000, module.PREPROCESS)
    x = _data.normalise(module.PREPROCESS, examples.images).transpose(0, 3, 1, 2)
    return net, np.ascontiguousarray(x), examples.labels


def accuracy(answer: Answer, x: Pictures, labels: NDArray[Any]) -> float:
    right = [answer(x[i : i + 1])[0].argmax() == label for i, label in enumerate(labels)]
    return 100 * float(np.mean(right))


def moving_average(folder: Path, name: str, net: nn.Module, x: Pictures, labels: Any) -> None:
    """AI Edge Quantizer: its own calibration against the true ranges, 256 pictures each."""
    from ai_edge_quantizer import quantizer, recipe

    model, ours, theirs = (folder / f"{name}.{kind}.tflite" for kind in ("fp32", "ours", "theirs"))
    tflite.export(net, torch.from_numpy(x[:1]), model)
    tflite.quantize(model, ours, "int8", x[:256])
    chain = quantizer.Quantizer(str(model))
    chain.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = chain.calibrate(tflite.as_calls(model, x[:256]), num_threads=1)
    theirs.write_bytes(bytes(chain.quantize(ranges).quantized_model))
    found = [accuracy(litert(f), x, labels) for f in (model, ours, theirs)]
    print(f"{name}: LiteRT fp32 {found[0]:.1f} %, int8 by true ranges {found[1]:.1f} %, "
          f"by the quantizer's moving average {found[2]:.1f} %", flush=True)  # fmt: skip


def unfolded(folder: Path, net: nn.Module, x: Pictures, labels: Any) -> None:
    """ONNX Runtime's quantizer on a graph with and without batch normalisation folded."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.pictures = iter(x[:256])

        def get_next(self) -> dict[str, Pictures] | None:
            picture = next(self.pictures, None)
            return None if picture is None else {"input": picture[None]}

    folded, raw, ours, theirs = (folder / f"{n}.onnx" for n in ("folded", "raw", "ours", "theirs"))
    onnx.export(fuse(net), torch.from_numpy(x[:1]), folded)
    onnx.quantize(folded, ours, "int8", x[:256])
    torch.onnx.export(
        net, (torch.from_numpy(x[:1]),), raw, dynamo=True, external_data=False, optimize=False,
        input_names=["input"], output_names=["output"], verbose=False,
    )  # fmt: skip
    quantization.quantize_static(raw, theirs, Reader(), per_channel=True)
    print(f"MobileNetV1-0.25: ONNX Runtime int8 with normalisation folded "
          f"{accuracy(ort(ours), x, labels):.1f} %, as exported "
          f"{accuracy(ort(theirs), x, labels):.1f} %", flush=True)  # fmt: skip


def bfloat16(folder: Path, net: nn.Module, x: Pictures, labels: Any) -> None:
    """OpenVINO on a float32 file, by default and told to compute in float32."""
    import openvino

    file = folder / "resnet20.onnx"
    onnx.export(net, torch.from_numpy(x[:1]), file)
    core = openvino.Core()
    answers: dict[str, Answer] = {}
    for name, hint in (("default", {}), ("float32", {"INFERENCE_PRECISION_HINT": "f32"})):
        options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, **hint}
        compiled = core.compile_model(file, "CPU", options)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        request = compiled.create_infer_request()
        answers[name] = lambda a, r=request: r.infer([a], share_inputs=True)[0]  # type: ignore[misc]
        print(f"ResNet-20: OpenVINO {name} computes in {precision}: "
              f"{accuracy(answers[name], x, labels):.1f} %")  # fmt: skip
    ratios = [duration(answers["float32"], x) / duration(answers["default"], x) for _ in range(20)]
    print(f"ResNet-20: OpenVINO float32 / default latency {statistics.median(ratios):.2f}")


def duration(answer: Answer, x: Pictures) -> float:
    times = []
    for i in range(200):
        start = time.perf_counter()
        answer(x[i : i + 1])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def litert(file: Path) -> Answer:
    from paretomark.devices._device import open_device

    device = open_device("litert:xnnpack")
    placement = device.load(file, 1)
    port = placement.inputs[0]
    return lambda a: device.run([port.encode(a.transpose(0, 2, 3, 1))])[0]


def ort(file: Path) -> Answer:
    from paretomark.devices._device import open_device

    device = open_device("onnxruntime:cpu")
    device.load(file, 1)
    return lambda a: device.run([a])[0]


if __name__ == "__main__":
    sys.exit(main())
