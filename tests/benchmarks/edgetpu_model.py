#!/usr/bin/env python3
"""How far the model of the Edge TPU is off the latencies that its vendor has published.

    python tests/benchmarks/edgetpu_model.py [--convert FOLDER]

Prints published and predicted latencies, with two errors: by the numbers in the code, which are
fitted to all of these nets, and by a fit to the nets of other families, which is what a net of
yours may expect. Then the numbers that a fit finds.

`--convert` writes the operators of the nets anew. Those of the vendor's files are read from a
folder with real data; the others are nets of timm and torchvision, untrained: only shapes count. An
element of a float file counts as the byte that it is in an int8 file. litert-torch writes the
padding of convolutions and poolings as operators of their own, TensorFlow's converter as their
option: it is taken back. Biases and statistics are made other than 0, lest normalisation fold to
less than it would in a trained net.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paretomark.devices import _edgetpu_model
from paretomark.devices._edgetpu_time import FITTED
from paretomark.devices.formats import _tflite
from paretomark.devices.formats._tflite import Subgraph, Tensor
from paretomark.tests import _edgetpu_published
from paretomark.tests._edgetpu_published import ODD, ROWS, error, mean

# Where the folder with real data has the vendor's own file of a net.
FILES = {
    "mobilenetv2_100": "tflite/mobilenet_v2_1.0_224_quant.tflite",
    "mobilenet_v1_0.25": "tflite/mobilenet_v1_0.25_128_quant.tflite",
    "deeplabv3_mnv2_dm05": "tflite/deeplabv3_mnv2_dm05_pascal_quant.tflite",
}
PADDED = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--convert", type=Path, metavar="FOLDER", help="write the nets anew")
    if folder := parser.parse_args().convert:
        _edgetpu_published.write({net: graph(net, folder) for net in ROWS})
        return 0
    held_out, demands = _edgetpu_published.held_out(), _edgetpu_published.demands()
    print(f"{'ms':22}{'published':>10}{'predicted':>11}{'error':>8}{'held out':>10}")
    for net, row in ROWS.items():
        predicted = demands[net].seconds(FITTED) * 1e3
        errors = f"{error(net, FITTED):+8.0%}{held_out[net]:+10.0%}"
        print(f"{net:22}{row.ms:10.1f}{predicted:11.1f}{errors}")
    fitted = mean(error(net, FITTED) for net in ROWS)
    print(f"{'mean, absolute':43}{fitted:8.1%}{mean(held_out.values()):10.1%}")
    others = mean(value for net, value in held_out.items() if net != ODD)
    print(f"{f'without {ODD}':51}{others:10.1%}")
    found = dataclasses.asdict(_edgetpu_published.fit(ROWS))
    print(*(f"{name} = {value:.3g}" for name, value in found.items()), sep="\n")
    return 0


def graph(net: str, folder: Path) -> Subgraph:
    """The operators of a net."""
    if net in FILES:
        return _edgetpu_model.read(folder / FILES[net])
    return without_padding(as_integers(convert(net, ROWS[net].side)))


def convert(net: str, side: int) -> Subgraph:
    """The float TFLite file that the project's own exporter writes."""
    import torch
    from torch.fx.experimental.optimization import fuse

    from paretomark.models.export import tflite

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{net}.tflite"
        tflite.export(fuse(untrained(net)), torch.zeros(1, 3, side, side), file)
        return _tflite.read(file)[0]


def untrained(name: str) -> Any:
    """A net in evaluation mode, in modules that `fuse` can fold."""
    import torch
    from torch import nn

    try:
        import torchvision
    except RuntimeError:  # it wants operators that its build for another torch would bring
        torch.library.define("torchvision::nms", "(Tensor a, Tensor b, float c) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor a, Tensor b, float c) -> Tensor")
        import torchvision
    import timm

    from paretomark.models.nets.mobilenet_v1_0_25 import MobileNetV1

    net: nn.Module
    if name == "mobilenet_v1_0.75":
        net = MobileNetV1(0.75, 1001)
    elif name == "googlenet":
        net = torchvision.models.googlenet(aux_logits=False, init_weights=False)
    elif name.startswith("vgg"):
        net = torchvision.models.get_model(name, init_weights=False)
    elif name.startswith("squeezenet"):
        net = torchvision.models.get_model(name)
    else:
        net = timm.create_model(name)
    apart(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, 0.1, 1.0)
    return net.eval()


def apart(net: Any) -> None:
    """Split timm's normalisation with activation in two, in place."""
    from timm.layers.norm_act import BatchNormAct2d
    from torch import nn

    for name, child in net.named_children():
        if isinstance(child, BatchNormAct2d):
            normalise = nn.BatchNorm2d(child.num_features, child.eps)
            setattr(net, name, nn.Sequential(normalise, child.drop, child.act))
        else:
            apart(child)


def as_integers(graph: Subgraph) -> Subgraph:
    """The types of an int8 file in place of floats."""

    def integer(tensor: Tensor) -> Tensor:
        bias = tensor.constant and len(tensor.shape) == 1
        kind = {"FLOAT32": "INT32" if bias else "INT8"}.get(tensor.type, tensor.type)
        return dataclasses.replace(tensor, type=kind, name="")

    def integers(found: Iterable[Tensor]) -> tuple[Tensor, ...]:
        return tuple(integer(tensor) for tensor in found)

    made = [
        dataclasses.replace(o, inputs=integers(o.inputs), outputs=integers(o.outputs))
        for o in graph.operators
    ]
    return Subgraph(tuple(made), integers(graph.inputs), integers(graph.outputs))


def without_padding(graph: Subgraph) -> Subgraph:
    """Convolutions and poolings take what their padding took."""
    users: dict[int, list[str]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            users.setdefault(tensor.index, []).append(operator.name)
    before: dict[int, Tensor] = {}
    kept = []
    for operator in graph.operators:
        to = operator.outputs[0].index
        if operator.name in ("PAD", "PADV2") and set(users.get(to, ())) <= set(PADDED):
            before[to] = operator.inputs[0]
        else:
            inputs = tuple(before.get(t.index, t) for t in operator.inputs)
            kept.append(dataclasses.replace(operator, inputs=inputs))
    return dataclasses.replace(graph, operators=tuple(kept))


if __name__ == "__main__":
    raise SystemExit(main())
