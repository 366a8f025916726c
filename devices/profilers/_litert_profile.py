"""What LiteRT's profiler says of the operators of a model.

The Python packages have no way to ask for it; the C interface of the library that ai-edge-litert
brings along has (litert/c/litert_compiled_model.h and litert_profiler_event.h of LiteRT), and is
called here. It tells the inside of XNNPACK as well. The library's compiled model is not the
interpreter that the package offers, but runs the same kernels in the same order.

Run with ai-edge-litert 2.3 on Linux, x86-64. What an event looks like in memory is not promised to
stay: `_read` checks it before it believes it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Arrays, Operator, Unavailable
from paretomark.devices.formats import _tflite, _xnnpack_steps
from paretomark.devices.formats._counts import Node, Shape, macs, stored_bytes

FIRST_VERSION = (2, 3)
REMEDY = "pip install --upgrade 'ai-edge-litert>=2.3'"
CPU = 1  # of LiteRtHwAccelerators
WRITE = 1  # of LiteRtTensorBufferLockMode
OPERATOR, INSIDE_DELEGATE = 1 << 1, 1 << 3  # of LiteRtProfilerEventType
# Of 64 bits each: tag, type, start, duration, memory before and after (3 each), metadata, source
EVENT_WORDS = 13
UNTOUCHED = 0xA5A5_A5A5_A5A5_A5A5
RANKED_TYPE_WORDS = 64  # has 72 or 76 bytes; the library only reads what it has written itself
BITS = {"INT4": 4, "INT8": 8, "UINT8": 8, "BOOL": 8, "INT16": 16, "FLOAT16": 16, "BFLOAT16": 16}
BITS |= {"INT32": 32, "UINT32": 32, "FLOAT32": 32, "INT64": 64, "FLOAT64": 64}
# Which input is the weight, and which of its dimensions has the channels of what it sweeps.
WEIGHTS = {"CONV_2D": (1, 0), "DEPTHWISE_CONV_2D": (1, 3), "FULLY_CONNECTED": (1, 0)}
UNKNOWN = ("LSTM", "RNN", "SVDF", "CONV_3D")


@dataclass(frozen=True)
class Event:
    """What was run: name, whether inside a delegate, else the number of the operator."""

    tag: str
    delegated: bool
    index: int


def profile(
    model: Path, threads: int, kernels: str, inputs: Sequence[Arrays], runs: int
) -> list[Operator]:
    """Tell the time per operator, with the `kernels` "xnnpack" or "builtin".

    Raise Unavailable if the library is not here, RuntimeError for what it refuses.
    """
    graph = _tflite.read(model)[0]
    names = [tensor.name for tensor in graph.inputs]
    with ExitStack() as stack:
        library = _Model(_library(), stack, model, threads, kernels)
        events: list[Event] = []
        total_us = np.zeros(0)
        for run in range(runs + 1):  # the first is not counted
            arrays = inputs[run % len(inputs)]
            run_events = library.run(dict(zip(names, arrays, strict=True)))
            if run == 0:
                events, total_us = [event for event, _ in run_events], np.zeros(len(run_events))
            elif [event for event, _ in run_events] != events:
                raise RuntimeError("two inferences have not run the same operators")
            else:
                total_us += [us for _, us in run_events]
    nodes = [_node(operator) for operator in graph.operators]
    own = {event.index for event in events if not event.delegated}
    others = [node for i, node in enumerate(nodes) if i not in own]
    steps = [event.tag for event in events if event.delegated]
    delegated = iter(_xnnpack_steps.match(steps, others))
    profiled = []
    for event, us in zip(events, total_us.tolist(), strict=True):
        node = next(delegated) if event.delegated else nodes[event.index]
        unit = "xnnpack" if event.delegated else "builtin"
        ns = 1000 * us / runs
        profiled.append(Operator(node.name, node.kind, unit, ns, node.macs, node.bytes))
    return profiled


class _Model:
    """A compiled model with its profiler and buffers; `stack` frees them."""

    def __init__(
        self, library: ctypes.CDLL, stack: ExitStack, model: Path, threads: int, kernels: str
    ) -> None:
        self._library, self._stack = library, stack
        self._environment = self._new("CreateEnvironment", 0, None, kind="Environment")
        file = self._new("CreateModelFromFile", self._environment, bytes(model), kind="Model")
        options = self._new("CreateOptions", kind="Options")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        self._kept: list[Any] = []
        self._add(options, "runtime_options_string", "enable_profiling = true")
        cpu = f'kernel_mode = "{kernels}"\nnum_threads = {threads}'
        self._add(options, "xnnpack", cpu)
        self._model = self._new(
            "CreateCompiledModel", self._environment, file, options, kind="CompiledModel"
        )
        self._profiler = self._new("CompiledModelGetProfiler", self._model)
        self._signature = self._new("GetModelSignature", file, c_size_t(0))
        self._inputs = self._buffers("Input")
        self._outputs = self._buffers("Output")

    def run(self, values: Mapping[str, Any]) -> list[tuple[Event, int]]:
        """One inference: what was run, in that order, and for how many µs."""
        for name, buffer in self._inputs.items():
            content, address = values[name].tobytes(), c_void_p()
            self._call("LockTensorBuffer", buffer, byref(address), WRITE)
            ctypes.memmove(address, content, len(content))
            self._call("UnlockTensorBuffer", buffer)
        sides = []
        for buffers in (self._inputs, self._outputs):
            sides += [c_size_t(len(buffers)), (c_void_p * len(buffers))(*buffers.values())]
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        self._call("RunCompiledModel", self._model, c_size_t(0), *sides)
        self._call("StopProfiler", self._profiler)
        return self._read()

    def _read(self) -> list[tuple[Event, int]]:
        count = c_int()
        self._call("GetNumProfilerEvents", self._profiler, byref(count))
        # More room than is needed, to see from what stays untouched how long an event is.
        words = np.full(4 * EVENT_WORDS * max(1, count.value), UNTOUCHED, np.uint64)
        self._call("GetProfilerEvents", self._profiler, count, c_void_p(words.ctypes.data))
        if np.count_nonzero(words != UNTOUCHED) != EVENT_WORDS * count.value:
            raise RuntimeError("this version of ai-edge-litert tells events in another form")
        events = []
        for event in words[: EVENT_WORDS * count.value].reshape(-1, EVENT_WORDS).tolist():
            tag, kind, _, us, *_, index, subgraph, _ = event
            kind &= 0xFFFF_FFFF  # the rest of the word is not set
            # Operators of other subgraphs are part of the one that calls them.
            if kind == INSIDE_DELEGATE or (kind == OPERATOR and subgraph == 0):
                name = ctypes.string_at(tag).decode().removeprefix("Delegate/")
                events.append((Event(name, kind == INSIDE_DELEGATE, index), us))
        return events

    def _buffers(self, side: str) -> dict[str, c_void_p]:
        """A buffer for each input or output, by the name of its tensor."""
        count, buffers = c_size_t(), {}
        self._call(f"GetNumSignature{side}s", self._signature, byref(count))
        for number in map(c_size_t, range(count.value)):
            tensor = self._new(f"GetSignature{side}TensorByIndex", self._signature, number)
            name, shape = c_char_p(), (c_int * RANKED_TYPE_WORDS)()
            self._call("GetTensorName", tensor, byref(name))
            self._call("GetRankedTensorType", tensor, byref(shape))
            needs = self._new(
                f"GetCompiledModel{side}BufferRequirements", self._model, c_size_t(0), number
            )
            buffers[(name.value or b"").decode()] = self._new(
                "CreateManagedTensorBufferFromRequirements",
                self._environment,
                byref(shape),
                needs,
                kind="TensorBuffer",
            )
        return buffers

    def _add(self, options: c_void_p, name: str, toml: str) -> None:
        text = ctypes.create_string_buffer(toml.encode())
        free = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)  # Python frees the text
        self._kept += [text, free]
        self._call(
            "AddOpaqueOptions", options, self._new("CreateOpaqueOptions", name.encode(), text, free)
        )

    def _new(self, name: str, *arguments: Any, kind: str = "") -> c_void_p:
        """What a function hands out by its last argument; freed with the stack if it has a kind."""
        handle = c_void_p()
        self._call(name, *arguments, byref(handle))
        if kind:
            self._stack.callback(getattr(self._library, f"LiteRtDestroy{kind}"), handle)
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self._library, f"LiteRt{name}")(*arguments):
            raise RuntimeError(f"LiteRt{name} answers with status {status}")


def _library() -> ctypes.CDLL:
    try:
        version = metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        raise Unavailable("only ai-edge-litert tells times of operators", REMEDY) from None
    if tuple(int(part) for part in version.split(".")[:2]) < FIRST_VERSION:
        raise Unavailable(f"ai-edge-litert {version} does not tell times of operators", REMEDY)
    import ai_edge_litert

    for path in Path(ai_edge_litert.__path__[0]).glob("libLiteRt.*"):
        return ctypes.CDLL(str(path))
    raise Unavailable("ai-edge-litert is here without its library libLiteRt", REMEDY)


def _node(operator: _tflite.Operator) -> Node:
    """Named after its first output, for operators of TFLite have no names."""
    kind, outputs = operator.name, [_shape(tensor) for tensor in operator.outputs]
    inputs = [_shape(tensor) for tensor in operator.inputs]
    count: int | None = 0
    if kind in WEIGHTS:
        position, dimension = WEIGHTS[kind]
        weight = inputs[position]
        count = macs(outputs[0], weight, weight[dimension])
    elif kind == "TRANSPOSE_CONV":  # takes the shape of the output, the weight, the input
        count = macs(inputs[2], inputs[1], inputs[1][3])
    elif kind == "BATCH_MATMUL":
        count = macs(outputs[0], inputs[1][-2:], outputs[0][-1])
    elif operator.custom or any(word in kind for word in UNKNOWN):
        count = None
    tensors = dict.fromkeys((*operator.inputs, *operator.outputs))
    size = stored_bytes((_shape(tensor), BITS.get(tensor.type)) for tensor in tensors)
    return Node(operator.outputs[0].name if operator.outputs else kind, kind, count, size)


def _shape(tensor: _tflite.Tensor) -> Shape:
    """What is not fixed (the batch, mostly) is 1 as long as nobody sets it."""
    return tuple(max(1, size) for size in tensor.shape)
