"""One CUDA stream with buffers on the GPU: arrays go there, work is done, answers come back.

Through cuda.bindings.runtime, whose functions return a status and then their values; every status
is looked at.
"""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from paretomark.devices._device import Arrays, Port

PHASES = ("h2d", "compute", "d2h")


class Stream:
    """A buffer for each port is in `addresses`, by name; the phases of each run in `spans_ns`."""

    def __init__(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        cuda = self._cuda = runtime()
        self._inputs, self._outputs = inputs, outputs
        self.spans_ns: list[list[int]] = []
        (self._stream,) = ok(cuda.cudaStreamCreate())
        self._events = [ok(cuda.cudaEventCreate())[0] for _ in range(len(PHASES) + 1)]
        self.addresses: dict[str, int] = {}
        weakref.finalize(self, _free, cuda, self._stream, self._events, self.addresses)
        for port in (*inputs, *outputs):
            size = np.dtype(port.dtype).itemsize * math.prod(port.shape)
            (self.addresses[port.name],) = ok(cuda.cudaMalloc(size))

    def run(self, inputs: Arrays, enqueue: Callable[[int], bool]) -> Arrays:
        """Copy the inputs, let `enqueue` put work on the stream, wait for the outputs: new arrays.

        Raise ValueError for inputs of a wrong shape or type, RuntimeError if CUDA fails.
        """
        for array, port in zip(inputs, self._inputs, strict=True):
            if array.shape != port.shape or array.dtype != port.dtype:
                other = f"{array.dtype} {array.shape}"
                raise ValueError(f"{port.name} takes {port.dtype} {port.shape}, not {other}")
        cuda, stream, (start, there, computed, back) = self._cuda, self._stream, self._events
        arrays = [np.ascontiguousarray(array) for array in inputs]
        outputs = [np.empty(port.shape, port.dtype) for port in self._outputs]
        ok(cuda.cudaEventRecord(start, stream))
        for array, port in zip(arrays, self._inputs, strict=True):
            to, kind = self.addresses[port.name], cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            ok(cuda.cudaMemcpyAsync(to, array.ctypes.data, array.nbytes, kind, stream))
        ok(cuda.cudaEventRecord(there, stream))
        if not enqueue(int(stream)):
            raise RuntimeError("the inference could not be started")
        ok(cuda.cudaEventRecord(computed, stream))
        for array, port in zip(outputs, self._outputs, strict=True):
            origin, kind = self.addresses[port.name], cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            ok(cuda.cudaMemcpyAsync(array.ctypes.data, origin, array.nbytes, kind, stream))
        ok(cuda.cudaEventRecord(back, stream))
        ok(cuda.cudaStreamSynchronize(stream))
        phases_ms = [ok(cuda.cudaEventElapsedTime(*pair))[0] for pair in pairwise(self._events)]
        self.spans_ns.append([round(1e6 * ms) for ms in phases_ms])
        return outputs


def runtime() -> Any:
    """Import CUDA's runtime library."""
    return importlib.import_module("cuda.bindings.runtime")


def ok(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give what a call returned besides its status. Raise RuntimeError in CUDA's own words."""
    if int(result[0]):
        words = runtime().cudaGetErrorString(result[0])[1].decode()
        raise RuntimeError(f"CUDA error {int(result[0])}: {words}")
    return result[1:]


def _free(cuda: Any, stream: Any, events: list[Any], addresses: dict[str, int]) -> None:
    for address in addresses.values():
        cuda.cudaFree(address)
    for event in events:
        cuda.cudaEventDestroy(event)
    cuda.cudaStreamDestroy(stream)
