"""What the adapter uses of TensorRT's bindings and of CUDA's, without a GPU.

Memory of the GPU is memory of the host, a clock advances with what is done, and an engine is the
graph that was parsed: ONNX Runtime runs it. So what the adapter asks for is seen, and answers are
real; that NVIDIA's libraries do as is written here is not tested.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from paretomark.devices import _nvidia
from paretomark.devices._device import State

SHAPE = (1, 1, 8, 8)  # of the pictures that the nets of the tests take
TOTAL_BYTES, COPY_MS, COMPUTE_MS = 10**9, 0.25, 2.0
LAYERS = [("Reformatting CopyNode for Input Tensor 0 to conv", "Reformat"), ("conv", "Convolution")]


class Flag(enum.IntEnum):
    """Builder flags, by the numbers of TensorRT 11."""

    TF32 = 7
    SPARSE_WEIGHTS = 8


class Cuda(ModuleType):
    """cuda.bindings.runtime. `fail` makes the call of that name fail."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.memory: dict[int, Any] = {}
        self.now_ms, self.fail = 0.0, ""
        self._handles = itertools.count(1)

    def __getattr__(self, call: str) -> Any:
        def answer(*arguments: Any) -> tuple[Any, ...]:
            if call == self.fail:
                return (2, None)
            values = getattr(self, f"_{call.removeprefix('cuda')}")(*arguments)
            return (0, *values)

        if call.startswith("_"):
            raise AttributeError(call)
        return answer

    def cudaGetErrorString(self, status: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"out of memory"

    def _GetDeviceProperties(self, index: int) -> list[Any]:  # noqa: N802
        uuid = SimpleNamespace(bytes=b"\1" * 16)
        return [SimpleNamespace(name=b"Fake GPU", uuid=uuid, major=9, minor=0)]

    def _MemGetInfo(self) -> list[int]:  # noqa: N802
        return [TOTAL_BYTES - sum(map(len, self.memory.values())), TOTAL_BYTES]

    def _Malloc(self, size: int) -> list[int]:  # noqa: N802
        buffer = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(buffer)] = buffer
        return [ctypes.addressof(buffer)]

    def _Free(self, address: int) -> list[Any]:  # noqa: N802
        if address:
            del self.memory[address]
        return []

    def _MemcpyAsync(self, to: int, origin: int, size: int, kind: int, stream: int) -> list[Any]:  # noqa: N802
        assert (to if kind == 1 else origin) in self.memory
        ctypes.memmove(to, origin, size)
        self.now_ms += COPY_MS
        return []

    def _StreamCreate(self) -> list[int]:  # noqa: N802
        return [next(self._handles)]

    def _EventCreate(self) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(ms=0.0)]

    def _EventRecord(self, event: Any, stream: int) -> list[Any]:  # noqa: N802
        event.ms = self.now_ms
        return []

    def _EventElapsedTime(self, start: Any, end: Any) -> list[float]:  # noqa: N802
        return [end.ms - start.ms]

    def _nothing(self, *_: Any) -> list[Any]:
        return []

    _StreamSynchronize = _StreamDestroy = _EventDestroy = _nothing


class Context:
    """An execution context: runs the graph on the addresses it was given."""

    def __init__(self, graph: bytes, cuda: Cuda) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.addresses: dict[str, int] = {}
        self.profiler: Any = None
        self._cuda = cuda

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        feeds = {}
        for port in self.session.get_inputs():
            size = 4 * int(np.prod(port.shape))
            content = ctypes.string_at(self.addresses[port.name], size)
            feeds[port.name] = np.frombuffer(content, np.float32).reshape(port.shape)
        for port, answer in zip(
            self.session.get_outputs(), self.session.run(None, feeds), strict=True
        ):
            ctypes.memmove(self.addresses[port.name], answer.ctypes.data, answer.nbytes)
        self._cuda.now_ms += COMPUTE_MS
        for i, (name, _) in enumerate(LAYERS if self.profiler else ()):
            self.profiler.report_layer_time(name, (i + 1) * COMPUTE_MS / 4)
        return True


class Engine:
    def __init__(self, graph: bytes, trt: TensorRT) -> None:
        self._context, self._trt = Context(graph, trt.cuda), trt
        session = self._context.session
        self._ports = [(p, "in") for p in session.get_inputs()]
        self._ports += [(p, "out") for p in session.get_outputs()]
        self.num_io_tensors = len(self._ports)

    def create_execution_context(self) -> Context:
        self._trt.context = self._context
        return self._context

    def get_tensor_name(self, i: int) -> str:
        return str(self._ports[i][0].name)

    def get_tensor_shape(self, name: str) -> Any:
        return next(p.shape for p, _ in self._ports if p.name == name)

    def get_tensor_dtype(self, name: str) -> Any:
        return next(p.type for p, _ in self._ports if p.name == name)

    def get_tensor_mode(self, name: str) -> str:
        return next(mode for p, mode in self._ports if p.name == name)

    def create_engine_inspector(self) -> Any:
        told = {"Layers": [{"Name": name, "LayerType": kind} for name, kind in LAYERS]}
        return SimpleNamespace(get_engine_information=lambda form: json.dumps(told))


class TensorRT(ModuleType):
    """The module `tensorrt`. What was built is counted; what was asked for is kept."""

    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    BuilderFlag = Flag
    ProfilingVerbosity = SimpleNamespace(DETAILED="detailed", NONE="none")
    LayerInformationFormat = SimpleNamespace(JSON="json")
    TensorIOMode = SimpleNamespace(INPUT="in")

    class ILogger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    class IProfiler:
        pass

    def __init__(self, cuda: Cuda) -> None:
        super().__init__("tensorrt")
        self.__version__ = "11.4.0"
        self.cuda, self.builds, self.refuses = cuda, 0, ""
        self.flags: set[Flag] = set()
        self.network_flags = 0
        self.config: Any = None
        self.context: Any = None

    def nptype(self, kind: str) -> Any:
        return {"tensor(float)": np.float32}[kind]

    def Builder(self, log: Any) -> Any:  # noqa: N802
        self.log, self.flags = log, {Flag.TF32}  # on by default
        self.config = SimpleNamespace(set_flag=self.flags.add, clear_flag=self.flags.discard)
        return SimpleNamespace(
            create_network=self._network,
            create_builder_config=lambda: self.config,
            build_serialized_network=self._build,
        )

    def _network(self, flags: int) -> Any:
        self.network_flags = flags
        return SimpleNamespace()

    def OnnxParser(self, network: Any, log: Any) -> Any:  # noqa: N802
        def parse(graph: bytes) -> bool:
            network.graph = graph
            return self.refuses != "parse"

        error = SimpleNamespace(desc=lambda: "unknown operator Foo")
        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda i: error)

    def _build(self, network: Any, config: Any) -> bytes | None:
        self.builds += 1
        if self.refuses == "build":
            self.log.log(self.ILogger.Severity.ERROR, "no kernel for conv")
            return None
        return b"plan" + bytes(network.graph)

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        def load(plan: bytes) -> Engine | None:
            return Engine(plan[4:], self) if plan.startswith(b"plan") else None

        return SimpleNamespace(deserialize_cuda_engine=load)


def install(patch: pytest.MonkeyPatch) -> TensorRT:
    """Put the fakes where the adapter imports the real ones."""
    cuda = Cuda()
    trt = TensorRT(cuda)
    patch.setitem(sys.modules, "tensorrt", trt)
    patch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    patch.setattr(_nvidia, "chip", lambda: ("Fake GPU", {"driver": "600.1"}))
    patch.setattr(_nvidia, "state", lambda peak: State(clock_mhz=1, peak_memory_bytes=peak))
    return trt


def pictures(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).standard_normal((count, *SHAPE[1:])).astype(np.float32)


def answer(graph: bytes | Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    content = graph if isinstance(graph, bytes) else graph.read_bytes()
    options = onnxruntime.SessionOptions()
    # Without VNNI, products of uint8 and int8 would saturate, which TensorRT's do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outs: list[Any] = [session.run(None, {"input": image[None]})[0] for image in images]
    return np.concatenate(outs)
