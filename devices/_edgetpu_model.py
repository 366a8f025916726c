"""A Coral USB Accelerator that is not here: what it would run of a net, and for how long.

The answers come from the CPU of this machine; the latency does not: it is arithmetic on the shapes
in the file (_edgetpu_time.py). tests/benchmarks/edgetpu_model.py fits its five numbers to latencies
that the vendor has published, and prints how far it is off on nets that a fit has not seen. The
model was never compared with an Edge TPU at hand.

Limits: the times of operators on the host are rough, those of operators without multiplications a
guess. Nets with control flow, recurrent or custom operators are refused: nothing tells their time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from paretomark.devices import _device, _edgetpu_time
from paretomark.devices._device import Arrays, Chip, Placement, require
from paretomark.devices._edgetpu_time import HOST_BYTES_S, HOST_MACS_S, predict
from paretomark.devices._litert_interpreter import Cpu
from paretomark.devices.formats import _edgetpu_file, _edgetpu_mapping, _tflite
from paretomark.devices.formats._edgetpu_file import ON_CHIP_BYTES
from paretomark.devices.formats._tflite import Operator, Subgraph
from paretomark.suites.spec._errors import UserError

# Operators whose multiplications are not in the shapes of their tensors.
UNTIMED = re.compile(r".*_?(LSTM|RNN)|SVDF|CONV_3D.*|IF|WHILE|CALL|CALL_ONCE|STABLEHLO_.*")

# Mean and worst, of published nets whose family was left out of the fit.
HELD_OUT_ERROR = (0.15, 1.04)


class Modelled:
    """The device: answers from the CPU, by LiteRT, and a latency that is predicted."""

    def __init__(self) -> None:
        self._cpu = Cpu("xnnpack")

    def probe(self) -> Chip:
        """Raise Unavailable where what reads and runs the file is not installed."""
        version = require("ai-edge-litert", "litert")
        self._cpu.probe()
        return Chip("Edge TPU (USB 3), modelled", {"ai-edge-litert": version})

    def load(self, model: Path, threads: int) -> Placement:
        """Predict, and make ready to run on the CPU. Raise UserError as `read` does."""
        graph = read(model)
        chip = len(_edgetpu_mapping.mapped(graph).chip)
        rows = predict(graph)
        return replace(
            self._cpu.load(model, threads),
            home="edgetpu",
            operators={"edgetpu": chip, "cpu": len(graph.operators) - chip},
            predicted_s=sum(row.ns for row in rows) / 1e9,
            warnings=warnings(graph, rows),
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference on the CPU."""
        return self._cpu.run(inputs)

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[_device.Operator]:
        """Tell what is predicted, which no input changes."""
        return predict(read(model))


def read(model: Path) -> Subgraph:
    """Read the graph of a full integer TFLite file. Raise UserError for any other, and say why."""
    graphs = _tflite.read(model)
    if _edgetpu_file.placement(model).custom_ops:
        raise UserError(
            f"{model.name} is compiled for the Edge TPU, which hides its operators: give the file "
            "that it was compiled from"
        )
    _edgetpu_file.check_integer(model, graphs)
    if untimed := sorted({o.name for g in graphs for o in g.operators if _untimed(o)}):
        raise UserError(
            f"{model.name} has operators whose time nothing tells: {', '.join(untimed)}; leave "
            "them out of the net, or run it on the chip (edgetpu)"
        )
    for tensor in (t for o in graphs[0].operators for t in (*o.inputs, *o.outputs)):
        if any(size < 0 for size in tensor.shape):
            raise UserError(
                f"{model.name}: the tensor {tensor.name} has no fixed shape {tensor.shape}, which "
                "the Edge TPU needs: export the model with fixed sizes"
            )
    return graphs[0]


def _untimed(operator: Operator) -> bool:
    return operator.custom or UNTIMED.fullmatch(operator.name) is not None


def warnings(graph: Subgraph, rows: Sequence[_device.Operator]) -> tuple[str, ...]:
    """Say how far to trust the prediction that these rows are of a graph, in sentences."""
    mean, worst = HELD_OUT_ERROR
    where = _edgetpu_mapping.mapped(graph)
    chip = [graph.operators[index] for index in where.chip]
    too_large = sum(_edgetpu_time.activation_bytes(o) > ON_CHIP_BYTES for o in chip)
    said = [
        "the latency is predicted, not measured: on nets that the model was not fitted to it is "
        f"off by {mean:.0%} on average, by {worst:.0%} at worst"
    ]
    if where.left:
        said.append(_on_host(graph, where.left, rows))
    if too_large:
        said.append(
            f"{too_large} operators take in and give more than the {ON_CHIP_BYTES >> 20} MiB of "
            "the chip, the cost of which is not modelled: the net may be refused, or slower"
        )
    return tuple(said)


def _on_host(graph: Subgraph, left: Mapping[int, str], rows: Sequence[_device.Operator]) -> str:
    """What stays on the host's processor, why, and how long it takes."""
    causes = [
        f"{graph.operators[index].name} ({graph.operators[index].outputs[0].name}) {reason}"
        for index, reason in left.items()
        if reason != _edgetpu_mapping.AFTER
    ]
    host_ms = sum(row.ns for row in rows if row.unit == "cpu") / 1e6
    total_ms = sum(row.ns for row in rows) / 1e6
    more = f", and {len(causes) - 1} more cannot be mapped" * (len(causes) > 1)
    return (
        f"{len(left)} of {len(graph.operators)} operators stay on the host's processor: "
        f"{causes[0]}{more}; of the {total_ms:.3g} ms they take {host_ms:.3g} if the host does "
        f"{HOST_MACS_S / 1e9:.0f} G MACs/s and {HOST_BYTES_S / 1e9:.0f} GB/s"
    )
