"""How long one inference takes on a Coral USB Accelerator that is not here: an analytic model.

The chip is taken as an array of 64 x 64 multipliers at 480 MHz (4 TOPS, two operations each), with
8 MiB of memory for parameters and activations, at the end of a USB 3 cable:

    call + inputs and outputs / USB
         + for each operator: its overhead + the longest of
             array     cycles of its tiles of 64 x 64 / (clock x efficiency)
             memory    bytes in, out, and of parameters / bandwidth
             USB       bytes of its parameters that the chip has no room for / USB

Parameters that find no room are sent anew with each inference, and that is most of the time of all
large nets. Room is what the largest operator's inputs and outputs leave; it is filled in order of
running. After the first operator that the compiler cannot map, all run on the host's processor.

`EdgeTPU` has the five numbers that tests/benchmarks/edgetpu_model.py fitted to eight published
times, and prints how far the model is off: 3 % from the eight, 7 % from each if it is left out of
the fit, and 15 % (3 to 33 %) from eight others that it was not fitted to, of which those with many
narrow or depthwise layers come out too slow. A ninth, Inception-ResNet V2, is published at half of
what is predicted. The model was never compared with an Edge TPU at hand.

Limits: that an operator is supported is judged by its name, while the compiler also refuses some
for their size or options (a large RESIZE_BILINEAR). LSTM is not modelled. The times of the host are
rough, those of its operators without multiplications a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from pathlib import Path

from paretomark.devices import _device
from paretomark.devices._device import Arrays, Chip, Placement, require
from paretomark.devices._litert_interpreter import Cpu
from paretomark.devices.formats import _counts, _edgetpu_file, _tflite
from paretomark.devices.formats._edgetpu_file import INTEGER, ON_CHIP_BYTES
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor
from paretomark.suites.spec._errors import UserError

SIDE = 64
CLOCK_HZ = 480e6
# How parameters lie on the chip: in whole tiles of 64 outputs by 32 inputs, and 16 bytes for each
# output channel. This gives what edgetpu_compiler wrote into four files within 3 %.
TILE_OUT, TILE_IN, CHANNEL_BYTES = 64, 32, 16
# The desktop CPU of the same published table: MACs over time, the geometric mean of seven nets.
HOST_MACS_S = 14e9
HOST_BYTES_S = 1e9  # a guess: one byte in a nanosecond

BYTES = {"INT8": 1, "UINT8": 1, "BOOL": 1, "INT16": 2, "FLOAT16": 2, "INT64": 8}  # others: 4
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# https://coral.ai/docs/edgetpu/models-intro/#supported-operations, all but LSTM.
SUPPORTED = frozenset(
    (
        *WEIGHTED,
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC"),
        *("MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU", "QUANTIZE"),
        *("REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RSQRT", "SLICE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT"),
        *("SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE"),
    )
)


@dataclass(frozen=True)
class EdgeTPU:
    """What the fit found, rounded.

    `usb_bytes_s`: bandwidth of USB. `call_s`: an inference of nothing. `efficiency`: share of the
    cycles in which the array is fed. `memory_bytes_s`: bandwidth of the chip's own memory.
    `operator_s`: what each operator takes besides.
    The eight nets say little about `call_s`: it came out at the lower end of what it may be.
    """

    usb_bytes_s: float = 493e6
    call_s: float = 0.1e-3
    efficiency: float = 0.766
    memory_bytes_s: float = 31.6e9
    operator_s: float = 20.8e-6


FITTED = EdgeTPU()


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
        chip = len(mapped(graph))
        return replace(
            self._cpu.load(model, threads),
            home="edgetpu",
            operators={"edgetpu": chip, "cpu": len(graph.operators) - chip},
            predicted_s=sum(row.ns for row in predict(graph)) / 1e9,
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
    for tensor in (t for o in graphs[0].operators for t in (*o.inputs, *o.outputs)):
        if any(size < 0 for size in tensor.shape):
            raise UserError(
                f"{model.name}: the tensor {tensor.name} has no fixed shape {tensor.shape}, which "
                "the Edge TPU needs: export the model with fixed sizes"
            )
    return graphs[0]


def mapped(graph: Subgraph) -> range:
    """Tell which operators the compiler puts on the chip.

    It is one run of them, up to the first that is not supported. Those that take in floats stay
    before it.
    """
    fits = [
        o.name in SUPPORTED and all(t.type in INTEGER for t in (*o.inputs, *o.outputs))
        for o in graph.operators
    ]
    first = 0
    while first < len(fits) and graph.operators[first].name == "QUANTIZE" and not fits[first]:
        first += 1
    return range(first, fits.index(False, first) if False in fits[first:] else len(fits))


def predict(graph: Subgraph, tpu: EdgeTPU = FITTED) -> list[_device.Operator]:
    """Predict the time of one inference, as rows that add up to it.

    Their units: "usb" for the call, the inputs and outputs, and for parameters that are sent, as
    far as the chip waits for them; "edgetpu" and "cpu" for operators.
    """
    where = mapped(graph)
    chip = graph.operators[where.start : where.stop]
    room = max(0, ON_CHIP_BYTES - max((_bytes(_activations(o)) for o in chip), default=0))
    on_chip, streamed, waiting_s = [], 0, 0.0
    for operator in chip:
        parameters = parameter_bytes(operator)
        kept = min(parameters, room)
        room -= kept
        streamed += parameters - kept
        busy_s = max(
            _cycles(operator) / (CLOCK_HZ * tpu.efficiency), _moved(operator) / tpu.memory_bytes_s
        )
        waiting_s += max(0.0, (parameters - kept) / tpu.usb_bytes_s - busy_s)
        on_chip.append(_row(operator, "edgetpu", busy_s + tpu.operator_s))
    host = [
        _row(o, "cpu", macs(o) / HOST_MACS_S + _moved(o) / HOST_BYTES_S)
        for index, o in enumerate(graph.operators)
        if index not in where
    ]
    if not chip:
        return host
    ports = _crossing(graph, where)
    usb = [
        _device.Operator("call", "CALL", "usb", tpu.call_s * 1e9, 0, 0),
        _device.Operator(
            "inputs and outputs", "TRANSFER", "usb", ports / tpu.usb_bytes_s * 1e9, 0, ports
        ),
        _device.Operator(
            "parameters without room", "TRANSFER", "usb", waiting_s * 1e9, 0, streamed
        ),
    ]
    return [*usb, *on_chip, *host]


def parameter_bytes(operator: Operator) -> int:
    """Count the bytes that the constants of an operator take on the chip."""
    if operator.name not in WEIGHTED or not operator.inputs[1].constant:
        return _bytes({t.index: t for t in operator.inputs if t.constant})
    out, *window, into = operator.inputs[1].shape
    if operator.name == "DEPTHWISE_CONV_2D":
        return (prod(window) + CHANNEL_BYTES) * into
    tiles = ceil(out / TILE_OUT) * ceil(into / TILE_IN) * prod(window)
    return tiles * TILE_OUT * TILE_IN + CHANNEL_BYTES * out


def macs(operator: Operator) -> int:
    """Count the multiply-accumulates of an operator; 0 if it has none."""
    swept = operator.outputs[0].shape
    if operator.name == "BATCH_MATMUL":
        return prod(swept) * operator.inputs[0].shape[-1]
    if operator.name not in WEIGHTED:
        return 0
    weights = operator.inputs[1].shape
    if operator.name == "TRANSPOSE_CONV":  # its inputs: the output's shape, weights, data
        return _counts.macs(operator.inputs[2].shape, weights, weights[-1])
    return _counts.macs(swept, weights, weights[-1 if "DEPTHWISE" in operator.name else 0])


def _cycles(operator: Operator) -> int:
    """Of the array: 64 values of the unrolled window go in, 64 output channels come out.

    A depthwise convolution mixes no channels, so of each tile it fills one diagonal.
    """
    if operator.name not in WEIGHTED:
        return 0
    out, *window, into = operator.inputs[1].shape
    pixels = prod(operator.outputs[0].shape[:-1])
    if operator.name == "DEPTHWISE_CONV_2D":
        return pixels * prod(window) * ceil(into / SIDE)
    if operator.name == "TRANSPOSE_CONV":
        pixels = prod(operator.inputs[2].shape[:-1])
        return pixels * ceil(into / SIDE) * ceil(out * prod(window) / SIDE)
    groups = operator.inputs[0].shape[-1] // into if operator.name == "CONV_2D" else 1
    return pixels * groups * ceil(prod(window) * into / SIDE) * ceil(out / groups / SIDE)


def _crossing(graph: Subgraph, where: range) -> int:
    """Bytes that go to the chip, and come back from it, in one inference."""
    chip = graph.operators[where.start : where.stop]
    others = (*graph.operators[: where.start], *graph.operators[where.stop :])
    made = {t.index: t for o in chip for t in o.outputs}
    read = {t.index: t for o in chip for t in o.inputs if not t.constant}
    read_off = {t.index for o in others for t in o.inputs} | {t.index for t in graph.outputs}
    sent = {i: t for i, t in read.items() if i not in made}
    return _bytes(sent) + _bytes({i: t for i, t in made.items() if i in read_off})


def _row(operator: Operator, unit: str, seconds: float) -> _device.Operator:
    name = operator.outputs[0].name
    return _device.Operator(
        name, operator.name, unit, seconds * 1e9, macs(operator), _moved(operator)
    )


def _moved(operator: Operator) -> int:
    return _bytes({t.index: t for t in (*operator.inputs, *operator.outputs)})


def _activations(operator: Operator) -> dict[int, Tensor]:
    return {t.index: t for t in (*operator.inputs, *operator.outputs) if not t.constant}


def _bytes(tensors: dict[int, Tensor]) -> int:
    """The size of tensors by their index, so that one that is there twice is counted once."""
    return sum(BYTES.get(t.type, 4) * prod(t.shape) for t in tensors.values())
