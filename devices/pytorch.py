"""PyTorch on the CPU, running an exported program (.pt2).

`eager` runs it operator by operator, `channels_last` with weights and input laid out so, and
`compile` through torch.compile (Inductor), whose time to compile is reported apart.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require

FORMAT = "pt2"
VARIANTS = ("eager", "channels_last", "compile")
COMPILERS = ("c++", "g++", "clang++")


class _PyTorch:
    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._net: Any = None
        self._layout: Any = None

    def probe(self) -> Chip:
        version = require("torch", "pytorch")
        if self._variant == "compile" and not any(map(shutil.which, COMPILERS)):
            raise Unavailable("torch.compile needs a C++ compiler", "apt install g++")
        # torch imports these when it first loads a program; that is not the time to load a model.
        import torch._export.serde.serialize
        import torch.export.pt2_archive._package  # noqa: F401

        return Chip(_host.chip_name(), {"torch": version})

    def load(self, model: Path, threads: int) -> Placement:
        import torch

        torch.set_num_threads(threads)
        program = torch.export.load(model)
        for name, weight in program.state_dict.items():
            if weight.dtype is torch.half:
                program.state_dict[name] = torch.nn.Parameter(weight.float(), requires_grad=False)
        self._net = program.module()
        self._layout = torch.contiguous_format
        inputs = _ports(program, program.graph_signature.user_inputs)
        compile_s = None
        if self._variant == "channels_last":
            self._layout = torch.channels_last
            self._net = self._net.to(memory_format=self._layout)
        elif self._variant == "compile":
            compile_s = self._compile(inputs)
        operators = sum(node.op == "call_function" for node in program.graph.nodes)
        return Placement(
            home="cpu",
            operators={"cpu": operators},
            inputs=inputs,
            outputs=_ports(program, program.graph_signature.user_outputs),
            compile_s=compile_s,
        )

    def _compile(self, inputs: Sequence[Port]) -> float:
        """Compile for these inputs; the seconds that took, most of them in the C++ compiler."""
        import numpy as np
        import torch

        start = time.perf_counter()
        self._net = torch.compile(self._net)
        self.run([np.zeros(port.shape, port.dtype) for port in inputs])
        return time.perf_counter() - start

    def run(self, inputs: Arrays) -> Arrays:
        import torch

        with torch.inference_mode():
            tensors = [torch.from_numpy(a).contiguous(memory_format=self._layout) for a in inputs]
            outputs = self._net(*tensors)
        return [o.numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _ports(program: Any, names: Any) -> list[Port]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        Port(name, tuple(values[name].shape), str(values[name].dtype).removeprefix("torch."))
        for name in names
    ]


def device(variant: str) -> _PyTorch:
    """One of VARIANTS."""
    return _PyTorch(variant)
