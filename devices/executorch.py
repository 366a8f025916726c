"""ExecuTorch: the runtime that the Python package of the same name brings along."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require

FORMAT = "pte"
VARIANTS = ("xnnpack",)
REMEDY = "pip install 'paretomark[executorch]'"
# By their number in ExecuTorch's ScalarType.
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
KERNEL_CALL, DELEGATE_CALL = 1, 2  # of InstructionArguments


class _ExecuTorch:
    def __init__(self) -> None:
        self._program: Any = None
        self._method: Any = None

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
        from executorch.extension.pybindings import portable_lib

        # The pool belongs to the process, and has to be set before a model is loaded.
        portable_lib._unsafe_reset_threadpool(threads)
        if (count := portable_lib._threadpool_get_thread_count()) != threads:
            raise RuntimeError(f"asked for {threads} threads, ExecuTorch takes {count}")
        self._program = portable_lib._load_program(str(model))
        self._method = self._program.load_method("forward")
        meta = self._method.method_meta()
        inputs = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
        ports = _ports("input", inputs), _ports("output", outputs)
        return Placement("xnnpack", _operators(model), *ports)

    def run(self, inputs: Arrays) -> Arrays:
        import torch

        # Inputs are copied as they lie in memory, whatever their strides: they must be contiguous,
        # as Port.encode makes them. Outputs lie where the next call overwrites them. NumPy copies
        # them, for ExecuTorch would have torch do so, with threads of its own if they are large.
        outputs = self._method([torch.from_numpy(array) for array in inputs], clone_outputs=False)
        return [output.numpy().copy() for output in outputs]


def _ports(name: str, tensors: list[Any]) -> list[Port]:
    """Inputs or outputs. Raises IndexError for a type that NumPy does not have."""
    return [Port(f"{name}{i}", tuple(t.sizes()), DTYPES[t.dtype()]) for i, t in enumerate(tensors)]


def _operators(model: Path) -> dict[str, int]:
    """Operators by unit: nodes of XNNPACK's graphs, and calls of ExecuTorch's own kernels.

    XNNPACK's include what it adds at its borders, changes of layout and of precision, for they
    are run as well. Of another delegate, whose inside is not known, calls are counted.
    """
    # Fields go by their numbers in executorch/schema/program.fbs. ExecuTorch's own reader,
    # `deserialize_pte_binary`, takes longer than all the rest of `load`.
    found = Counter(xnnpack=0, portable=0)
    content = model.read_bytes()
    program = _Table(content, 0)
    plan = next(plan for plan in program.tables(1) if plan.blob(0) == b"forward")
    delegates, inline, segments = plan.tables(7), program.tables(3), program.tables(4)
    base = int.from_bytes(content[24:32], "little")  # of segments, in the extended header
    for step in (step for chain in plan.tables(5) for step in chain.tables(2)):
        kind = step.number(0, 1)
        if kind == KERNEL_CALL:
            found["portable"] += 1
        elif kind == DELEGATE_CALL:
            delegate = delegates[step.table(1).number(0, 4)]
            place = delegate.table(1)
            if (name := delegate.blob(0)) != b"XnnpackBackend":
                found[name.decode()] += 1
            elif place.number(0, 1):  # its graph is in a segment, else inside the program
                segment = segments[place.number(1, 4)]
                start = base + segment.number(0, 8)
                found["xnnpack"] += _nodes(content[start : start + segment.number(1, 8)])
            else:
                found["xnnpack"] += _nodes(inline[place.number(1, 4)].blob(0))
    return dict(found)


def _nodes(blob: bytes) -> int:
    """How many nodes a graph of XNNPACK has: XNNGraph.xnodes in its runtime_schema.fbs."""
    # Bytes 10 to 14 of a header, where there is one, say where the graph starts.
    start = int.from_bytes(blob[10:14], "little") if blob[4:8] == b"XH00" else 0
    return len(_Table(blob, start).tables(1))


class _Table:
    """A table of a flatbuffer, to which the offset at byte `place` leads; fields by number."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._start = place + self._read(place, 4)
        back = int.from_bytes(content[self._start : self._start + 4], "little", signed=True)
        self._fields = self._start - back

    def number(self, field: int, size: int) -> int:
        return self._read(place, size) if (place := self._place(field)) else 0

    def table(self, field: int) -> _Table:
        return _Table(self._content, self._place(field))

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field)
        return [_Table(self._content, start + 4 * i) for i in range(count)]

    def blob(self, field: int) -> bytes:
        start, size = self._vector(field)
        return self._content[start : start + size]

    def _vector(self, field: int) -> tuple[int, int]:
        if not (place := self._place(field)):
            return 0, 0
        start = place + self._read(place, 4)
        return start + 4, self._read(start, 4)

    def _place(self, field: int) -> int:
        """Where a field lies; 0 if it has its default."""
        entry = 4 + 2 * field
        there = entry < self._read(self._fields, 2) and self._read(self._fields + entry, 2)
        return self._start + there if there else 0

    def _read(self, place: int, size: int) -> int:
        return int.from_bytes(self._content[place : place + size], "little")


def device(variant: str) -> _ExecuTorch:
    """The only variant is `xnnpack`, the delegate to which the export gives what it takes."""
    return _ExecuTorch()
