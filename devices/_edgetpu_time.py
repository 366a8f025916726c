"""How long an operator takes on an Edge TPU at USB 3, and a net: the arithmetic of the model.

The chip is taken as an array of 64 x 64 multipliers at 480 MHz (4 TOPS, two operations each), with
8 MiB of memory for parameters and activations, at the end of a USB 3 cable:

    call + inputs and outputs / USB
         + for each operator: its overhead + the longest of
             array     cycles of its tiles of 64 x 64 / (clock x efficiency)
             memory    bytes in, out, and of parameters / bandwidth
             USB       bytes of its parameters that the chip has no room for / USB
         + for each operator that is not mapped: MACs / rate of the host + bytes / rate of the host

Parameters that find no room are sent anew with each inference, and that is most of the time of all
large nets. Room is what the largest operator's inputs and outputs leave; it is filled in order of
running. What is mapped says formats/_edgetpu_mapping.py.

More numbers (a rate for depthwise convolutions, one for loading weights, memory added to the array
instead of the longer of both) did not bring nets that a fit has not seen nearer by more than 1 %.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import ceil, prod

from paretomark.devices import _device
from paretomark.devices.formats import _counts, _edgetpu_mapping
from paretomark.devices.formats._edgetpu_file import ON_CHIP_BYTES
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor

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


@dataclass(frozen=True)
class EdgeTPU:
    """What the fit found, rounded.

    `usb_bytes_s`: bandwidth of USB. `call_s`: an inference of nothing. `efficiency`: share of the
    cycles in which the array is fed. `memory_bytes_s`: bandwidth of the chip's own memory.
    `operator_s`: what each operator takes besides.
    The first and the third are at the upper end of what they may be: the published nets wait for
    USB and for the memory, and say little about the array.
    """

    usb_bytes_s: float = 500e6
    call_s: float = 0.256e-3
    efficiency: float = 1.0
    memory_bytes_s: float = 14.6e9
    operator_s: float = 11.7e-6


FITTED = EdgeTPU()


@dataclass(frozen=True)
class Work:
    """What an operator asks of the chip: cycles of the array, bytes moved, and sent by USB."""

    cycles: int
    moved_bytes: int
    sent_bytes: int

    def busy_s(self, tpu: EdgeTPU) -> float:
        """Seconds of the array or the memory, whichever takes longer."""
        array_s = self.cycles / (CLOCK_HZ * tpu.efficiency)
        return max(array_s, self.moved_bytes / tpu.memory_bytes_s)

    def waiting_s(self, tpu: EdgeTPU) -> float:
        """Seconds for which its parameters keep the chip waiting."""
        return max(0.0, self.sent_bytes / tpu.usb_bytes_s - self.busy_s(tpu))


@dataclass(frozen=True)
class Demand:
    """What one inference asks for: bytes in and out, work by place in the graph, host's seconds."""

    port_bytes: int
    chip: dict[int, Work]
    host_s: dict[int, float]

    def seconds(self, tpu: EdgeTPU) -> float:
        """Add it up."""
        host_s = sum(self.host_s.values())
        if not self.chip:
            return host_s
        works = self.chip.values()
        chip_s = sum(w.busy_s(tpu) + w.waiting_s(tpu) + tpu.operator_s for w in works)
        return tpu.call_s + self.port_bytes / tpu.usb_bytes_s + chip_s + host_s


def demand(graph: Subgraph) -> Demand:
    """Tell what an inference of a graph asks for, whatever the chip's numbers are."""
    where = _edgetpu_mapping.mapped(graph).chip
    chip = {index: graph.operators[index] for index in sorted(where)}
    room = max(0, ON_CHIP_BYTES - max(map(activation_bytes, chip.values()), default=0))
    works = {}
    for index, operator in chip.items():
        parameters = parameter_bytes(operator)
        kept = min(parameters, room)
        room -= kept
        works[index] = Work(_cycles(operator), _moved(operator), parameters - kept)
    host = {
        index: macs(operator) / HOST_MACS_S + _moved(operator) / HOST_BYTES_S
        for index, operator in enumerate(graph.operators)
        if index not in where
    }
    return Demand(_crossing(graph, where), works, host)


def predict(graph: Subgraph, tpu: EdgeTPU = FITTED) -> list[_device.Operator]:
    """Predict the time of one inference, as rows that add up to it.

    Their units: "usb" for the call, the inputs and outputs, and for parameters that are sent, as
    far as the chip waits for them; "edgetpu" and "cpu" for operators.
    """
    asked = demand(graph)
    host = [_row(graph.operators[i], "cpu", seconds) for i, seconds in asked.host_s.items()]
    if not asked.chip:
        return host
    on_chip = [
        _row(graph.operators[i], "edgetpu", work.busy_s(tpu) + tpu.operator_s)
        for i, work in asked.chip.items()
    ]
    ports, works = asked.port_bytes, asked.chip.values()
    waiting_s, sent = sum(w.waiting_s(tpu) for w in works), sum(w.sent_bytes for w in works)
    usb = [
        _device.Operator("call", "CALL", "usb", tpu.call_s * 1e9, 0, 0),
        _device.Operator(
            "inputs and outputs", "TRANSFER", "usb", ports / tpu.usb_bytes_s * 1e9, 0, ports
        ),
        _device.Operator("parameters without room", "TRANSFER", "usb", waiting_s * 1e9, 0, sent),
    ]
    return [*usb, *on_chip, *host]


def parameter_bytes(operator: Operator) -> int:
    """Count the bytes that the constants of an operator take on the chip."""
    if operator.name not in WEIGHTED or not operator.inputs[1].constant:
        return _bytes(t for t in operator.inputs if t.constant)
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


def activation_bytes(operator: Operator) -> int:
    """Count the bytes that an operator takes in and gives, without its constants."""
    tensors = (*operator.inputs, *operator.outputs)
    return _bytes(t for t in tensors if not t.constant)


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


def _crossing(graph: Subgraph, where: Collection[int]) -> int:
    """Bytes that go to the chip, and come back from it, in one inference."""
    chip = [o for index, o in enumerate(graph.operators) if index in where]
    others = [o for index, o in enumerate(graph.operators) if index not in where]
    made = {t.index for o in chip for t in o.outputs}
    read_off = {t.index for o in others for t in o.inputs} | {t.index for t in graph.outputs}
    sent = (t for o in chip for t in o.inputs if not t.constant and t.index not in made)
    return _bytes(sent) + _bytes(t for o in chip for t in o.outputs if t.index in read_off)


def _row(operator: Operator, unit: str, seconds: float) -> _device.Operator:
    name = operator.outputs[0].name
    return _device.Operator(
        name, operator.name, unit, seconds * 1e9, macs(operator), _moved(operator)
    )


def _moved(operator: Operator) -> int:
    return _bytes((*operator.inputs, *operator.outputs))


def _bytes(tensors: Iterable[Tensor]) -> int:
    """The size of tensors, where one that is there twice is counted once."""
    once = {t.index: t for t in tensors}
    return sum(BYTES.get(t.type, 4) * prod(t.shape) for t in once.values())
