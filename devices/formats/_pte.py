"""What an ExecuTorch program (.pte) says of its steps, and an ETDump of the time they took.

ExecuTorch's own readers are not used: `deserialize_pte_binary` takes longer than all the rest of
loading a model. Fields go by their numbers in program.fbs, xnnpack/serialization/runtime_schema.fbs
and etdump_schema_flatcc.fbs, which the package brings along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretomark.devices._device import Operator
from paretomark.devices.formats import _xnnpack_steps
from paretomark.devices.formats._counts import Node, Shape, macs, stored_bytes

KERNEL_CALL, DELEGATE_CALL = 1, 2  # of InstructionArguments
XNNPACK = "XnnpackBackend"
TENSOR = 5  # of KernelTypes
# Portable kernels that multiply and accumulate; how much is not worked out.
HEAVY = ("conv", "mm", "linear", "attention", "einsum", "lstm", "gru")
# Bits of an element, by ScalarType and by XNNDatatype.
SCALAR_BITS = dict(enumerate((8, 8, 16, 32, 64, 16, 32, 64, 32, 64, 128, 8)))
XNN_BITS = {1: 32, 2: 16, 3: 8, 4: 8, 5: 32, 6: 8, 7: 32, 8: 4, 9: 8, 10: 4, 11: 8, 12: 32}
XNN_BITS |= {13: 32, 14: 16}
XNODE_UNION = """
    add fully_connected softmax sigmoid transpose clamp conv2d div resize pad avg_pool minimum
    depthwise_conv2d max_pool multiply subtract floor convert global_avg_pool reshape argmax_pool
    sqrt ceil hardswish leaky_relu maximum negate square elu abs prelu concat2 concat3 concat4 slice
    attention batch_matmul concat5 conv_transpose2d rsqrt log gelu tanh exp sin copy cos
"""
KINDS = dict(enumerate(XNODE_UNION.split(), 1))
# The fields with the tensors of a node, the output last; of any other kind they are 0 and 1.
CONV, POOL, BINARY, AFTER_TWO, AFTER_THREE = (15, 16, 17, 18), (10, 11), (0, 1, 2), (2, 3), (3, 4)
TENSORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv_transpose2d"), CONV),
    **dict.fromkeys(("avg_pool", "max_pool"), POOL),
    **dict.fromkeys(("add", "div", "minimum", "maximum", "multiply", "subtract"), BINARY),
    **dict.fromkeys(("prelu", "batch_matmul"), BINARY),
    **dict.fromkeys(("transpose", "resize", "reshape"), AFTER_TWO),
    **dict.fromkeys(("pad", "slice"), AFTER_THREE),
    **dict.fromkeys(("elu", "leaky_relu"), (1, 2)),
    "fully_connected": (0, 1, 2, 3),
    "argmax_pool": (6, 7, 8),
    "attention": (0, 1, 2, 3, 4, 5),
    "concat2": (1, 2, 5),
    "concat3": (1, 2, 3, 5),
    "concat4": (1, 2, 3, 4, 5),
    "concat5": (1, 2, 3, 4, 7, 5),
}


@dataclass(frozen=True)
class Step:
    """An instruction: a call of one portable kernel, or of a delegate, and what is in it.

    Of another delegate than XNNPACK the inside is not known; it counts as one node.
    """

    unit: str
    nodes: tuple[Node, ...]


def steps(model: Path) -> dict[int, Step]:
    """Read the steps of `forward` by their place in it, in the order of running."""
    content = model.read_bytes()
    program = _Table(content, 0)
    plan = next(plan for plan in program.tables(1) if plan.blob(0) == b"forward")
    kernels, delegates, values = plan.tables(6), plan.tables(7), plan.tables(2)
    inline, segments = program.tables(3), program.tables(4)
    base = int.from_bytes(content[24:32], "little")  # of segments, in the extended header
    steps: dict[int, Step] = {}
    count = 0
    for place, instruction in enumerate(i for chain in plan.tables(5) for i in chain.tables(2)):
        call, kind = instruction.table(1), instruction.number(0, 1)
        if kind == KERNEL_CALL:
            node = _kernel(kernels[call.number(0, 4)].blob(0).decode(), call, values, count)
            steps[place] = Step("portable", (node,))
        elif kind == DELEGATE_CALL:
            delegate = delegates[call.number(0, 4)]
            name, where = delegate.blob(0).decode(), delegate.table(1)
            if name != XNNPACK:
                steps[place] = Step(name, (Node(f"{name} {count}", name, None, None),))
            elif where.number(0, 1):  # its graph is in a segment, else inside the program
                segment = segments[where.number(1, 4)]
                start = base + segment.number(0, 8)
                blob = content[start : start + segment.number(1, 8)]
                steps[place] = Step("xnnpack", _graph(blob, count))
            else:
                blob = inline[where.number(1, 4)].blob(0)
                steps[place] = Step("xnnpack", _graph(blob, count))
        else:
            continue
        count += len(steps[place].nodes)
    return steps


def profiled(etdump: bytes, steps: Mapping[int, Step]) -> list[Operator]:
    """Give the operators of an ETDump, with the mean of all its inferences but the first."""
    blocks = [run for run in _Table(etdump, 4).tables(1) if run.blob(0) == b"Execute"]  # size first
    times: dict[tuple[int, str], list[int]] = defaultdict(list)
    for run in blocks[1:]:
        inside = set()
        for event in (entry.table(0) for entry in run.tables(3) if entry.has(0)):
            place, name, step = event.number(2, 4), event.blob(0).decode(), event.blob(4).decode()
            if step:
                inside.add(place)
            # A call is told beside what is in it; where nothing is, it stands for itself.
            elif name != "OPERATOR_CALL" and (name != "DELEGATE_CALL" or place in inside):
                continue
            times[place, step].append(event.number(7, 8) - event.number(6, 8))
    names_of: dict[int, list[str]] = defaultdict(list)
    for place, step in times:
        names_of[place].append(step)
    operators = []
    for place, names in names_of.items():
        unit, nodes = steps[place].unit, steps[place].nodes
        if names != [""]:
            nodes = tuple(_xnnpack_steps.match([n.rpartition(" #")[0] for n in names], nodes))
        elif len(nodes) != 1:
            nodes = (Node(f"{unit} {place}", unit, None, None),)
        for node, name in zip(nodes, names, strict=True):
            ns = sum(times[place, name]) / (len(blocks) - 1)
            operators.append(Operator(node.name, node.kind, unit, ns, node.macs, node.bytes))
    return operators


def _kernel(name: str, call: _Table, values: Sequence[_Table], count: int) -> Node:
    tensors = {i: values[i].table(1) for i in call.numbers(1) if values[i].number(0, 1) == TENSOR}
    sizes = [(t.numbers(2), SCALAR_BITS.get(t.number(0, 1))) for t in tensors.values()]
    kind = name.rpartition("::")[2]
    heavy = any(word in kind for word in HEAVY)
    return Node(f"{kind} {count}", kind, None if heavy else 0, stored_bytes(sizes))


def _graph(blob: bytes, count: int) -> tuple[Node, ...]:
    """The nodes of a graph of XNNPACK, with what its export adds at the borders."""
    # Bytes 10 to 14 of a header, where there is one, say where the graph starts.
    start = int.from_bytes(blob[10:14], "little") if blob[4:8] == b"XH00" else 0
    graph, values = _Table(blob, start), {}
    for value in graph.tables(2):
        tensor = value.table(1) if value.number(0, 1) == 1 else value.table(1).table(0)
        values[tensor.number(6, 4)] = tensor.numbers(2), XNN_BITS.get(tensor.number(0, 2))
    nodes = []
    for place, entry in enumerate(graph.tables(1), count):
        number, node = entry.number(0, 1), entry.table(1)
        kind = KINDS.get(number, f"node{number}")
        ids = [node.number(field, 4) for field in TENSORS.get(kind, (0, 1))]
        tensors = [values[i] for i in ids if i in values]
        shapes = [shape for shape, _ in tensors]
        nodes.append(Node(f"{kind} {place}", kind, _macs(kind, shapes), stored_bytes(tensors)))
    return tuple(nodes)


def _macs(kind: str, shapes: Sequence[Shape]) -> int | None:
    """XNNPACK's tensors have their channels last."""
    if kind in ("conv2d", "depthwise_conv2d", "fully_connected"):
        return macs(shapes[-1], shapes[1], shapes[-1][-1])
    if kind == "conv_transpose2d":
        return macs(shapes[0], shapes[1], shapes[0][-1])
    if kind == "batch_matmul":
        return macs(shapes[-1], shapes[1][-2:], shapes[-1][-1])
    return None if kind == "attention" else 0


class _Table:
    """A table of a flatbuffer, to which the offset at byte `place` leads; fields by number."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._start = place + self._read(place, 4)
        back = int.from_bytes(content[self._start : self._start + 4], "little", signed=True)
        self._fields = self._start - back

    def has(self, field: int) -> bool:
        return self._place(field) > 0

    def number(self, field: int, size: int) -> int:
        return self._read(place, size) if (place := self._place(field)) else 0

    def numbers(self, field: int) -> list[int]:
        """A vector of 32-bit numbers."""
        start, count = self._vector(field)
        return [self._read(start + 4 * i, 4) for i in range(count)]

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
