"""ExecuTorch: the runtime that the Python package of the same name brings along."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Operator, Placement, Port, Unavailable, require
from paretomark.devices.formats import _pte

FORMAT = "pte"
VARIANTS = ("xnnpack",)
REMEDY = "pip install 'paretomark[executorch]'"
# By their number in ExecuTorch's ScalarType.
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


class _ExecuTorch:
    def __init__(self) -> None:
        self._program: Any = None
        self._method: Any = None
        self._tensor: Any = None

    def probe(self) -> Chip:
        version = require("executorch", "executorch")
        try:
            import torch
            from executorch.extension.pybindings import portable_lib
        except ImportError as error:
            raise Unavailable(f"executorch is here without its runtime: {error}", REMEDY) from None
        if not portable_lib._is_available("XnnpackBackend"):
            raise Unavailable("this build of executorch has no XNNPACK backend", REMEDY)
        return Chip(_host.chip_name(), {"executorch": version, "torch": torch.__version__})

    def load(self, model: Path, threads: int) -> Placement:
        self._open(model, threads, trace=False)
        meta = self._method.method_meta()
        inputs = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
        ports = _ports("input", inputs), _ports("output", outputs)
        return Placement("xnnpack", _operators(model), *ports)

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """By the ETDump of the runtime, which tells the inside of XNNPACK in steps of 1 µs."""
        self._open(model, threads, trace=True)
        if not self._program.has_etdump():
            raise Unavailable("this build of executorch does not trace events", REMEDY)
        for run in range(runs + 1):
            self.run(inputs[run % len(inputs)])
        with tempfile.TemporaryDirectory(prefix="paretomark-") as folder:
            etdump = Path(folder) / "profile.etdp"
            self._program.write_etdump_result_to_file(str(etdump))
            return _pte.profiled(etdump.read_bytes(), _pte.steps(model))

    def _open(self, model: Path, threads: int, trace: bool) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib

        self._tensor = torch.from_numpy
        # The pool belongs to the process, and has to be set before a model is loaded.
        portable_lib._unsafe_reset_threadpool(threads)
        if (count := portable_lib._threadpool_get_thread_count()) != threads:
            raise RuntimeError(f"asked for {threads} threads, ExecuTorch takes {count}")
        self._program = portable_lib._load_program(str(model), enable_etdump=trace)
        self._method = self._program.load_method("forward")

    def run(self, inputs: Arrays) -> Arrays:
        # Inputs are copied as they lie in memory, whatever their strides: they must be contiguous,
        # as Port.encode makes them. Outputs lie where the next call overwrites them. NumPy copies
        # them, for ExecuTorch would have torch do so, with threads of its own if they are large.
        outputs = self._method([*map(self._tensor, inputs)], clone_outputs=False)
        return [output.numpy().copy() for output in outputs]


def _ports(name: str, tensors: list[Any]) -> list[Port]:
    """Inputs or outputs. Raise IndexError for a type that NumPy does not have."""
    return [Port(f"{name}{i}", tuple(t.sizes()), DTYPES[t.dtype()]) for i, t in enumerate(tensors)]


def _operators(model: Path) -> dict[str, int]:
    """Operators by unit: nodes of XNNPACK's graphs, and calls of ExecuTorch's own kernels.

    XNNPACK's include what it adds at its borders, changes of layout and of precision, for they
    are run as well. Of another delegate, whose inside is not known, calls are counted.
    """
    units = Counter(xnnpack=0, portable=0)
    for step in _pte.steps(model).values():
        units[step.unit] += len(step.nodes)
    return dict(units)


def device(variant: str) -> _ExecuTorch:
    """Open the only variant, `xnnpack`: the delegate to which the export gives what it takes."""
    return _ExecuTorch()
