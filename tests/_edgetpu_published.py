"""Latencies that the vendor has published, the nets that they are of, and fits to them.

One inference on a Coral USB Accelerator at USB 3 with a desktop CPU, int8, in milliseconds: from
"Edge TPU performance benchmarks" (https://coral.ai/docs/edgetpu/benchmarks/), and what is not there
from the vendor's list of models (https://coral.ai/models/all/).

Left out are nets that were not at hand as a file or in a library: detectors, U-Net, BodyPix, and
DeepLab V3 of full width. `edgetpu_nets.json` has the operators of the others, with the shapes of
their tensors; tests/benchmarks/edgetpu_model.py writes it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices import _edgetpu_time
from paretomark.devices._edgetpu_time import Demand, EdgeTPU
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor

NETS = Path(__file__).with_name("edgetpu_nets.json")
FIELDS = ("axis", "fusedActivationFunction")  # what is kept, of operators without weights


@dataclass(frozen=True)
class Row:
    """A published latency: the family is left out as a whole when one of it is judged."""

    family: str
    side: int
    ms: float


ROWS = {
    "mobilenetv1_100": Row("MobileNet V1", 224, 2.4),
    "mobilenetv2_100": Row("MobileNet V2", 224, 2.6),
    "squeezenet1_0": Row("SqueezeNet", 224, 2.1),  # which of the two was timed is not said
    "googlenet": Row("Inception", 224, 3.4),
    "inception_v4": Row("Inception", 299, 85.0),
    "inception_resnet_v2": Row("Inception", 299, 57.0),
    "densenet121": Row("DenseNet", 224, 20.0),
    "resnet50": Row("ResNet", 299, 49.0),
    "resnetv2_50": Row("ResNet", 299, 50.0),
    "resnetv2_152": Row("ResNet", 299, 128.0),
    "vgg16": Row("VGG", 224, 296.0),
    "vgg19": Row("VGG", 224, 308.0),
    "efficientnet_es": Row("EfficientNet-EdgeTPU", 224, 5.1),
    "efficientnet_em": Row("EfficientNet-EdgeTPU", 240, 8.7),
    # the list of models
    "efficientnet_el": Row("EfficientNet-EdgeTPU", 300, 21.3),
    "inception_v3": Row("Inception", 299, 42.8),
    "mobilenet_v1_0.25": Row("MobileNet V1", 128, 0.9),
    "mobilenet_v1_0.75": Row("MobileNet V1", 192, 1.8),
    "deeplabv3_mnv2_dm05": Row("DeepLab V3", 513, 36.8),
}
# Its 56 MB of parameters less the 8 MiB of the chip would take 95 ms at the full rate of USB 3, so
# the published time cannot be that of this net. It is judged like all others, but no fit sees it.
ODD = "inception_resnet_v2"

# What the fit may choose, each within what is possible.
BOUNDS = {
    "usb_bytes_s": (300e6, 500e6),  # 5 Gbit/s less its 8b/10b code
    "call_s": (0.02e-3, 0.8e-3),
    "efficiency": (0.1, 1.0),
    "memory_bytes_s": (1e9, 60e9),  # up to 64 bytes in and 64 out per cycle
    "operator_s": (0.2e-6, 50e-6),
}
LOW, HIGH = (np.log(side) for side in zip(*BOUNDS.values(), strict=True))


@functools.cache
def demands() -> Mapping[str, Demand]:
    """What each net asks for."""
    return {net: _edgetpu_time.demand(graph) for net, graph in graphs().items()}


def error(net: str, tpu: EdgeTPU) -> float:
    """Predicted over published, less 1."""
    return demands()[net].seconds(tpu) * 1e3 / ROWS[net].ms - 1


def fit(nets: Iterable[str]) -> EdgeTPU:
    """Least squares of the logarithms of predicted over published, of all of these but ODD."""
    from scipy.optimize import least_squares

    seen = [net for net in nets if net != ODD]

    def numbers(x: NDArray[np.float64]) -> EdgeTPU:
        return EdgeTPU(*(float(value) for value in np.exp(LOW + (HIGH - LOW) * x)))

    def residuals(x: NDArray[np.float64]) -> list[float]:
        return [float(np.log1p(error(net, numbers(x)))) for net in seen]

    start = np.full(len(BOUNDS), 0.5)
    found = least_squares(residuals, start, bounds=(0, 1), diff_step=1e-3, ftol=1e-5, xtol=1e-5)
    return numbers(found.x)


@functools.cache
def held_out() -> Mapping[str, float]:
    """The error of each net, by a fit to all nets of other families."""
    families = {row.family for row in ROWS.values()}
    tpus = {f: fit(net for net, row in ROWS.items() if row.family != f) for f in families}
    return {net: error(net, tpus[row.family]) for net, row in ROWS.items()}


def mean(errors: Iterable[float]) -> float:
    """The mean of absolute errors."""
    return float(np.mean(np.abs(list(errors))))


@functools.cache
def graphs() -> Mapping[str, Subgraph]:
    """The nets, from NETS."""
    return {net: _graph(table) for net, table in json.loads(NETS.read_text()).items()}


def write(nets: Mapping[str, Subgraph]) -> None:
    """Write NETS, a net a line."""
    lines = [f"{json.dumps(net)}:{_table(graph)}" for net, graph in nets.items()]
    NETS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _graph(table: Mapping[str, Any]) -> Subgraph:
    tensors = [_tensor(index, text) for index, text in enumerate(table["tensors"])]

    def chosen(numbers: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(tensors[number] for number in numbers)

    operators = tuple(
        Operator(name, False, chosen(inputs), chosen(outputs), fields=fields)
        for name, inputs, outputs, fields in table["operators"]
    )
    return Subgraph(operators, chosen(table["inputs"]), chosen(table["outputs"]))


def _table(graph: Subgraph) -> str:
    used = (t for o in graph.operators for t in (*o.inputs, *o.outputs))
    tensors = {t.index: t for t in (*graph.inputs, *used)}
    places = {index: place for place, index in enumerate(tensors)}

    def numbers(chosen: Iterable[Tensor]) -> list[int]:
        return [places[tensor.index] for tensor in chosen]

    operators = [
        (
            o.name,
            numbers(o.inputs),
            numbers(o.outputs),
            _fields(o),
        )
        for o in graph.operators
    ]
    table = {
        "inputs": numbers(graph.inputs),
        "outputs": numbers(graph.outputs),
        "tensors": [_text(tensor) for tensor in tensors.values()],
        "operators": operators,
    }
    return json.dumps(table, separators=(",", ":"))


def _fields(operator: Operator) -> dict[str, float]:
    if operator.name in _edgetpu_time.WEIGHTED:
        return {}
    return {key: value for key, value in operator.fields.items() if key in FIELDS and value}


def _text(tensor: Tensor) -> str:
    """A tensor as "=64x3x3x3 INT8": a constant has the mark, and small ones their values."""
    shape = "x".join(map(str, tensor.shape))
    values = ",".join(map(str, tensor.values))
    return " ".join([f"{'=' * tensor.constant}{shape}", tensor.type, *[values] * bool(values)])


def _tensor(index: int, text: str) -> Tensor:
    shape, kind, *values = text.split(" ")
    return Tensor(
        index,
        "",
        kind,
        tuple(int(size) for size in shape.lstrip("=").split("x") if size),
        shape.startswith("="),
        tuple(int(value) for value in ",".join(values).split(",") if value),
    )
