"""LiteRT on a GPU or NPU, by its compiled models (ai_edge_litert.compiled_model).

All of a model runs there or none: the processor is not offered for what the accelerator cannot do,
so such a model is an error that says so. The GPU computes in float16 where the file has float16
weights, else in float32, which by itself it would not. On Linux it is driven by WebGPU over Vulkan;
a driver that only computes on the processor (SwiftShader, Mesa's lavapipe) is marked emulated.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require
from paretomark.devices.formats import _tflite

DRIVERS = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # the Vulkan loader's variables
SOFTWARE = ("swiftshader", "lvp")
NODES = ("dri/renderD*", "nvidia[0-9]*", "mali*", "kgsl*", "dxg")  # of GPUs, below /dev
REMEDIES = {
    "gpu": "install a GPU's Vulkan driver; `vulkaninfo --summary` lists what there is",
    "npu": "LiteRT needs the vendor's dispatch library; see ai.google.dev/edge/litert/next/npu",
}


class Compiled:
    """A model that is compiled for an accelerator; `variant` is gpu or npu."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._model: Any = None
        self._buffers: tuple[list[Any], list[Any]] = ([], [])
        self._outputs: list[Port] = []

    def probe(self) -> Chip:
        """Compile a tiny model, which shows whether there is such a chip. Raise Unavailable."""
        require("ai-edge-litert", "litert")
        try:
            self._compile(_trial(), exact=True)
        except RuntimeError as error:
            raise Unavailable(
                f"LiteRT finds no {self._variant.upper()}: {_reason(error)}",
                REMEDIES[self._variant],
            ) from None
        name = {"gpu": "GPU through WebGPU", "npu": "NPU"}[self._variant]
        version = metadata.version("ai-edge-litert")
        return Chip(
            f"{name} (software driver)" if _software() else name, {"ai-edge-litert": version}
        )

    def load(self, model: Path, threads: int) -> Placement:
        """Compile. Raise RuntimeError for a model that does not run there as a whole."""
        from ai_edge_litert.interpreter import Interpreter

        (graph, *_) = _tflite.read(model)
        used = {tensor.type for operator in graph.operators for tensor in operator.inputs}
        self._model = self._compile(model.read_bytes(), exact="FLOAT16" not in used)
        self._buffers = self._model.create_input_buffers(0), self._model.create_output_buffers(0)
        reader = Interpreter(str(model))  # of shapes and scales; it is not made ready to run
        inputs, self._outputs = (
            [_tflite.port(port) for port in ports]
            for ports in (reader.get_input_details(), reader.get_output_details())
        )
        return Placement(
            home=self._variant,
            operators={self._variant: len(graph.operators)},
            inputs=inputs,
            outputs=self._outputs,
            simulated="emulated" if self._variant == "gpu" and _software() else "",
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference."""
        sources, results = self._buffers
        for buffer, array in zip(sources, inputs, strict=True):
            buffer.write(array)
        self._model.run_by_index(0, sources, results)
        return [
            buffer.read(int(np.prod(port.shape)), np.dtype(port.dtype).type).reshape(port.shape)
            for buffer, port in zip(results, self._outputs, strict=True)
        ]

    def _compile(self, content: bytes, exact: bool) -> Any:
        from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, Options
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        options = Options(
            hardware_accelerators=HardwareAccelerator[self._variant.upper()],
            gpu_options=GpuOptions(enforce_f32=exact),
        )
        return CompiledModel.from_buffer(content, options=options)


def _software() -> bool:
    """Whether Vulkan has no GPU behind it: by the driver that the environment names, or because
    Linux has no GPU at all; Mesa brings a driver for the processor beside those for chips."""
    names = [Path(f).name for variable in DRIVERS for f in os.environ.get(variable, "").split(":")]
    if any(software in name for name in names for software in SOFTWARE):
        return True
    return sys.platform == "linux" and not any(any(Path("/dev").glob(n)) for n in NODES)


def _reason(error: Exception) -> str:
    """The last line of what LiteRT says, without its own source lines."""
    lines = [line.strip("└ ") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("ERROR: [")]
    return said[-1] if said else "it cannot compile a model of one operator for it"


def _trial() -> bytes:
    """A model of one operator, which any accelerator takes."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: bytes) -> Any:
        return schema.TensorT(name=name, shape=[1, 8, 8, 4], type=schema.TensorType.FLOAT32)

    graph = schema.SubGraphT(
        tensors=[tensor(b"input"), tensor(b"output")],
        inputs=[0],
        outputs=[1],
        operators=[schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])],
    )
    relu = schema.BuiltinOperator.RELU
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(builtinCode=relu, deprecatedBuiltinCode=relu)],
        subgraphs=[graph],
        buffers=[schema.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
