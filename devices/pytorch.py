"""PyTorch, running an exported program (.pt2) on the CPU, or on an NVIDIA GPU (_torch_cuda.py).

`eager` runs it operator by operator, `channels_last` with weights and input laid out so, and
`compile` through torch.compile (Inductor), whose time to compile is reported apart. fp16 is widened
to float32 when it is loaded; bf16 is computed as such, for which newer processors have units.

`int8` compiles a quantized program with its weights frozen, the path that PyTorch documents for
x86: "PyTorch 2 Export Quantization with X86 Backend through Inductor". Its placement counts which
convolutions and linear layers became int8 kernels of oneDNN. The other targets refuse such a file:
they would compute in float32 between its quantize operators, under the name of int8.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import (
    Arrays,
    Chip,
    Device,
    Operator,
    Placement,
    Port,
    Unavailable,
    require,
)
from paretomark.devices._torch_cuda import Cuda
from paretomark.devices.formats import _torch_file
from paretomark.devices.profilers import _torch_profile

FORMAT = "pt2"
VARIANTS = ("eager", "channels_last", "compile", "int8", "cuda", "cuda-compile")
ALONE = ("cuda", "cuda-compile")
METERS = {"cuda": "nvidia", "cuda-compile": "nvidia"}
PRECISIONS = {
    **dict.fromkeys(("eager", "channels_last", "compile"), ("fp32", "fp16", "bf16")),
    **dict.fromkeys(("cuda", "cuda-compile"), ("fp32", "tf32", "fp16", "bf16")),
    "int8": ("int8",),
}
COMPILED = ("compile", "int8")
COMPILERS = ("c++", "g++", "clang++")


class _Cpu:
    again = False

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._graph: Any = None
        self._net: Any = None
        self._dtype: Any = None
        self._layout: Any = None  # if it is another than the usual one
        self._inference_mode: Any = None
        self._inference_ns = 0

    def probe(self) -> Chip:
        version = require("torch", "pytorch")
        if self._variant in COMPILED and not any(map(shutil.which, COMPILERS)):
            raise Unavailable("torch.compile needs a C++ compiler", "apt install g++")
        _torch_file.register()
        return Chip(_host.chip_name(), {"torch": version})

    def load(self, model: Path, threads: int) -> Placement:
        import torch

        torch.set_num_threads(threads)
        self._inference_mode = torch.inference_mode
        target = f"pytorch:{self._variant}"
        program = _torch_file.read(model, target, PRECISIONS[self._variant])
        self._dtype = torch.bfloat16 if program.precision == "bf16" else torch.float32
        self._graph = program.net.to(self._dtype)
        if self._variant == "channels_last":
            self._layout = torch.channels_last
            self._graph = self._graph.to(memory_format=self._layout)
        self._net = _torch_file.typed(self._graph, self._dtype)
        home, operators, compile_s = "cpu", {"cpu": program.operators}, None
        if self._variant in COMPILED:
            compile_s, kernels = self._compile(program.inputs)
        if self._variant == "int8":
            home, operators = "int8", {"int8": kernels, "float": program.products - kernels}
        ports = program.inputs, program.outputs
        return Placement(home, operators, *ports, compile_s, warnings=program.warnings)

    def _compile(self, inputs: Sequence[Port]) -> tuple[float, int]:
        """Compile for these inputs: the seconds that took, most of them in the C++ compiler, and
        how many int8 kernels came of it."""
        import numpy as np
        import torch
        import torch._inductor.config as inductor

        start, before = time.perf_counter(), _int8_kernels()
        self._net = torch.compile(self._net)
        # A graph that comes finished from Inductor's cache is not counted; its kernels still do.
        options = {"freezing": True, "fx_graph_cache": False} if self._variant == "int8" else {}
        with inductor.patch(options):
            self.run([np.zeros(port.shape, port.dtype) for port in inputs])
        return time.perf_counter() - start, _int8_kernels() - before

    def run(self, inputs: Arrays) -> Arrays:
        clock = time.perf_counter_ns
        with self._inference_mode():
            tensors = self._tensors(inputs)
            begin = clock()
            outputs = self._net(*tensors)
            self._inference_ns = clock() - begin
        return [o.numpy() for o in _torch_file.flat(outputs)]

    def inference_ns(self) -> int:
        """Give what the net itself took in the last run, from tensors to tensors."""
        return self._inference_ns

    def _tensors(self, inputs: Arrays) -> list[Any]:
        """As tensors, to be made in the inference mode: for others, a compiled net is compiled once
        more."""
        tensors = [_torch_file.tensor(array) for array in inputs]
        if self._layout is not None:
            return [t.contiguous(memory_format=self._layout) for t in tensors]
        return tensors

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        import torch._inductor.config as inductor

        with inductor.patch({"cpp.enable_kernel_profile": True}):
            self.load(model, threads)
        with self._inference_mode():
            tensors = [self._tensors(arrays) for arrays in inputs]
        cast = [[_torch_file.cast(t, self._dtype) for t in each] for each in tensors]
        if self._variant in COMPILED:
            layers = _torch_profile.layers(self._graph, cast[0])
            return _torch_profile.compiled(self._net, layers, tensors, runs)
        return _torch_profile.eager(self._graph, cast, runs)


def _int8_kernels() -> int:
    """How many convolutions and linear layers Inductor has so far made int8 kernels of oneDNN."""
    from torch._dynamo.utils import counters

    return sum(
        count
        for name, count in counters["inductor"].items()
        if name.startswith(("qconv", "qlinear")) and name.endswith("_lower_count")
    )


def device(variant: str) -> Device:
    """Open one of VARIANTS."""
    if variant.startswith("cuda"):
        return Cuda(f"pytorch:{variant}", PRECISIONS[variant], variant == "cuda-compile")
    return _Cpu(variant)
