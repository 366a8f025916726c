"""PyTorch on the first NVIDIA GPU that CUDA shows. Never run on one; what needs none is tested.

fp16 and bf16 are computed as such, and so is tf32, on matrix units that round factors of float32
to 10 bits of mantissa; fp32 does without those. In fp16 and bf16, linear layers whose weights are
2:4 sparse run on sparse matrix units (Mishra et al., "Accelerating Sparse Deep Neural Networks",
2021), where PyTorch has a kernel for their size. With `compiled`, torch.compile records the net as
a CUDA graph; where it cannot, the placement says so.

`run` is what a caller with ordinary NumPy arrays waits for: copies from and to pageable memory
included. Reading the events costs every run a few microseconds. The memory is that of tensors, by
PyTorch's allocator, without CUDA's own context. There is no number of threads.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from paretomark.devices import _nvidia
from paretomark.devices._device import Arrays, Chip, Placement, State, Unavailable, require
from paretomark.devices.formats import _torch_file

PHASES = ("h2d", "compute", "d2h")
KEPT_RUNS = 100_000
# A CUDA graph is compiled in the first call, recorded in the second, and replayed from then on.
RUNS_TO_RECORD = 3


class Cuda:
    """The GPU, for files of these precisions; `compiled`: as a CUDA graph."""

    again = False

    def __init__(self, target: str, precisions: Sequence[str], compiled: bool) -> None:
        self._target, self._precisions, self._compiled = target, precisions, compiled
        self._net: Any = None
        self._events: list[Any] = []
        self._spans_ns: deque[list[int]] = deque(maxlen=KEPT_RUNS)

    def probe(self) -> Chip:
        """Name the GPU. Raise Unavailable without one, or a PyTorch that is built for it."""
        version = require("torch", "pytorch")
        name, versions = _nvidia.chip()
        import torch

        if not torch.cuda.is_available():
            raise Unavailable(
                f"PyTorch {version} is built for {torch.version.cuda or 'no'} CUDA, "
                f"the NVIDIA driver for {versions['cuda']}",
                "install the PyTorch for your CUDA version: pytorch.org/get-started/locally",
            )
        torch.zeros((), device="cuda")  # makes CUDA's context, which is not the time to load
        _torch_file.register()
        return Chip(name, {"torch": version, **versions})

    def load(self, model: Path, threads: int) -> Placement:
        """Make ready to run. Raise UserError for a file of another precision."""
        import torch

        torch.cuda.reset_peak_memory_stats()
        program = _torch_file.read(model, self._target, self._precisions, "cuda")
        allow_tf32(program.precision == "tf32")
        types = {"fp16": torch.float16, "bf16": torch.bfloat16}
        dtype = types.get(program.precision, torch.float32)
        net = program.net.to(dtype)
        if program.precision in types:
            sparsify(net, torch.sparse.to_sparse_semi_structured)
        self._net = _torch_file.typed(net, dtype)
        event: Any = torch.cuda.Event
        self._events = [event(enable_timing=True) for _ in range(len(PHASES) + 1)]
        home, unit, compile_s = "cuda", "cuda", None
        if self._compiled:
            home, (unit, compile_s) = "cuda graph", self._compile(program)
        self._spans_ns.clear()
        operators = {unit: program.operators}
        return Placement(home, operators, program.inputs, program.outputs, compile_s)

    def _compile(self, program: _torch_file.Program) -> tuple[str, float]:
        """What it runs as now, and the seconds it took to compile and record."""
        import numpy as np
        import torch
        from torch._dynamo.utils import counters

        skipped = counters["inductor"]["cudagraph_skips"]
        start = time.perf_counter()
        self._net = torch.compile(self._net, mode="reduce-overhead")
        for _ in range(RUNS_TO_RECORD):
            self.run([np.zeros(port.shape, port.dtype) for port in program.inputs])
        recorded = counters["inductor"]["cudagraph_skips"] == skipped
        return "cuda graph" if recorded else "cuda", time.perf_counter() - start

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference, and wait for it."""
        import torch

        begin, there, computed, back = self._events
        with torch.inference_mode():
            begin.record()
            tensors = [_torch_file.tensor(array).to("cuda") for array in inputs]
            there.record()
            outputs = _torch_file.flat(self._net(*tensors))
            computed.record()
            arrays = [output.cpu().numpy() for output in outputs]
            back.record()
            back.synchronize()
        self._spans_ns.append([round(1e6 * a.elapsed_time(b)) for a, b in pairwise(self._events)])
        return arrays

    def inference_ns(self) -> int:
        """Give what the GPU computed in the last run, by CUDA's events."""
        return self._spans_ns[-1][PHASES.index("compute")]

    def phases_ns(self) -> Mapping[str, Sequence[int]]:
        """Give the phases of the last runs, by CUDA's events."""
        return {name: [spans[i] for spans in self._spans_ns] for i, name in enumerate(PHASES)}

    def state(self) -> State:
        """Say how the GPU is now, and the most that tensors have taken of its memory."""
        import torch

        return _nvidia.state(torch.cuda.max_memory_allocated())


def allow_tf32(allowed: bool) -> None:
    """Say whether float32 may be multiplied as TF32.

    By default PyTorch does so in convolutions, and not in matrix products: a file called fp32 would
    be measured in a mixture.
    """
    import torch

    # Not the newer `fp32_precision`: what asks by the older names, as Inductor does, fails then.
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def sparsify(net: Any, convert: Callable[[Any], Any]) -> int:
    """Convert the 2:4 sparse weights of linear layers of a GraphModule, and count them."""
    import torch

    linear = torch.ops.aten.linear.default
    converted = 0
    for node in net.graph.find_nodes(op="get_attr"):
        if any(user.target is not linear or user.args[1] is not node for user in node.users):
            continue
        parent, _, leaf = node.target.rpartition(".")
        owner = net.get_submodule(parent)
        if is_two_of_four(weight := getattr(owner, leaf)):
            with contextlib.suppress(RuntimeError):  # there is no kernel for its size
                sparse = convert(weight.detach())
                setattr(owner, leaf, torch.nn.Parameter(sparse, requires_grad=False))
                converted += 1
    return converted


def is_two_of_four(weight: Any) -> bool:
    """Tell whether in every four weights in a row, along the inputs, two or more are zero."""
    if weight.dim() != 2 or weight.shape[1] % 4:
        return False
    return bool((weight.reshape(-1, 4) != 0).sum(1).max() <= 2)
