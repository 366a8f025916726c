"""TensorRT 10 and 11 on the first GPU that CUDA shows. Written to NVIDIA's documentation and its
Python bindings; never run on a GPU so far.

Precision is that of the file (see _tensorrt_onnx.py): TF32 is off, unless the file is marked tf32.
The engine is built when the model is loaded first, which is `compile_s`, and kept (see
_tensorrt_engine.py). An engine from elsewhere is not loaded. There is no number of threads.

`run` is what a caller with ordinary NumPy arrays waits for: the driver copies them from and to
pageable memory, with no pinned buffers in between, and the answers are new arrays. By the events
between them, h2d, compute and d2h hold the time in which the GPU waits for the host as well: the
compute of a small net is the time to launch its kernels. Reading the events costs every run a few
microseconds. Memory is what the whole GPU has in use beyond what it had before the engine was
loaded: other programs on the same GPU falsify it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices import _cuda_stream, _nvidia, _tensorrt_engine
from paretomark.devices._cuda_stream import PHASES, Stream, ok
from paretomark.devices._device import (
    Arrays,
    Chip,
    Operator,
    Placement,
    Port,
    State,
    Unavailable,
    require,
)

FORMAT = "onnx"
VARIANTS = ()
ALONE = ("",)
METERS = {"": "nvidia"}
PRECISIONS = {"": ("fp32", "tf32", "fp16", "bf16", "int8")}


class _TensorRT:
    again = False

    def __init__(self) -> None:
        self._context: Any = None
        self._stream: Any = None
        self._layers: list[tuple[str, str]] = []
        self._free_bytes = self._peak_bytes = 0

    def probe(self) -> Chip:
        trt = _tensorrt_engine.bindings()
        onnx, _ = require("onnx", "tensorrt"), require("cuda-bindings", "tensorrt")
        importlib.import_module("onnx")
        name, versions = _nvidia.chip()
        try:
            ok(_cuda_stream.runtime().cudaFree(0))  # makes CUDA's context
        except RuntimeError as error:
            remedy = "update NVIDIA's driver, or install the cuda-bindings of its CUDA version"
            raise Unavailable(str(error), remedy) from None
        return Chip(name, {"tensorrt": trt.__version__, "onnx": onnx, **versions})

    def load(self, model: Path, threads: int) -> Placement:
        trt, cuda = _tensorrt_engine.bindings(), _cuda_stream.runtime()
        (card,) = ok(cuda.cudaGetDeviceProperties(0))
        gpu = {"name": card.name.decode(), "uuid": card.uuid.bytes.hex(), **_nvidia.chip()[1]}
        gpu["compute"] = f"{card.major}.{card.minor}"
        plan, compile_s = _tensorrt_engine.plan(trt, model, gpu)
        self._context = self._stream = None  # gives the memory back
        self._free_bytes, self._peak_bytes = ok(cuda.cudaMemGetInfo())[0], 0
        log = _tensorrt_engine.logger(trt)
        engine = trt.Runtime(log).deserialize_cuda_engine(plan)
        context = self._context = engine and engine.create_execution_context()
        if context is None:
            raise RuntimeError(f"TensorRT cannot load the engine: {'; '.join(log.errors[-3:])}")
        # An engine that tells of its layers would also name them to NVIDIA's tools in every run.
        context.nvtx_verbosity = trt.ProfilingVerbosity.NONE
        inputs: list[Port] = []
        outputs: list[Port] = []
        for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            port = Port(name, tuple(engine.get_tensor_shape(name)), dtype.name)
            entering = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (inputs if entering else outputs).append(port)
        self._stream = Stream(inputs, outputs)
        for name, address in self._stream.addresses.items():
            context.set_tensor_address(name, address)
        self._layers = _tensorrt_engine.layers(trt, engine)
        operators = {"tensorrt": len(self._layers)}
        return Placement("tensorrt", operators, inputs, outputs, compile_s)

    def run(self, inputs: Arrays) -> Arrays:
        outputs: Arrays = self._stream.run(inputs, self._context.execute_async_v3)
        return outputs

    def inference_ns(self) -> int:
        spans: Sequence[int] = self._stream.spans_ns[-1]
        return spans[PHASES.index("compute")]

    def phases_ns(self) -> Mapping[str, Sequence[int]]:
        spans = self._stream.spans_ns
        return {phase: [span[i] for span in spans] for i, phase in enumerate(PHASES)}

    def state(self) -> State:
        used = self._free_bytes - ok(_cuda_stream.runtime().cudaMemGetInfo())[0]
        self._peak_bytes = max(self._peak_bytes, used)
        return _nvidia.state(self._peak_bytes)

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        self.load(model, threads)
        times = _tensorrt_engine.layer_times(_tensorrt_engine.bindings())
        self._context.profiler = times
        self.run(inputs[0])
        times.ms.clear()
        for i in range(runs):
            self.run(inputs[i % len(inputs)])
        kinds = dict(self._layers)
        return [
            Operator(name, kinds.get(name, ""), "tensorrt", 1e6 * ms / runs)
            for name, ms in times.ms.items()
        ]


def device(variant: str) -> _TensorRT:
    """Open the first GPU: there is no variant."""
    return _TensorRT()
