"""What a TFLite file tells about running on an Edge TPU, read without one.

The compiler replaces the operators that it can map by custom operators that carry a package of
executables. The formats of both are those of libedgetpu (https://github.com/google-coral/libedgetpu,
tflite/custom_op_data.cc and executable/executable.fbs); nothing else is documented.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from paretomark.devices.formats import _tflite
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor
from paretomark.suites.spec._errors import UserError

COMPILER = "edgetpu_compiler"
CUSTOM_OP = "edgetpu-custom-op"
# "Roughly", and the instructions are placed there first (https://coral.ai/docs/edgetpu/compiler,
# parameter data caching).
ON_CHIP_BYTES = 8 * 2**20

EIGHT_BIT = ("INT8", "UINT8")
INTEGER = (*EIGHT_BIT, "INT32", "INT64", "BOOL")  # the wide ones: biases, shapes, indices

IDENTIFIER = b"DWN1"
KINDS = {0: "stand-alone", 1: "parameter-caching", 2: "execution-only"}
# Which field of its table each of these is, counted from 0.
PACKAGE_EXECUTABLES, MULTI_EXECUTABLE_LIST, PARAMETERS, KIND = 1, 0, 6, 13


@dataclass(frozen=True)
class Split:
    """Operators of a file: custom ones that run on the Edge TPU, and those on the CPU, by name.

    How many operators of the original model a custom one stands for is not in a compiled file.
    """

    custom_ops: int
    cpu: Mapping[str, int]


@dataclass(frozen=True)
class Executable:
    """A program for the chip: which of KINDS, its size, and the parameters in it, in bytes."""

    kind: str
    size_bytes: int
    parameter_bytes: int


@dataclass(frozen=True)
class ParameterMemory:
    """Where the parameters of a compiled file lie, in bytes, with the padding of the chip's layout.

    `payload_bytes`: what the custom operators carry. `cached_bytes`: sent once, when the model is
    first run, and then kept on the chip. `streamed_bytes`: in the executables that run an
    inference, and so sent from the host's memory with each. The two are None where the payload is
    not a package that can be read. How much of ON_CHIP_BYTES is still free is not in the file.
    """

    payload_bytes: int
    cached_bytes: int | None
    streamed_bytes: int | None
    executables: tuple[Executable, ...]


def placement(file: Path) -> Split:
    """Tell which operators of a file run on an Edge TPU. Raise UserError if it is not TFLite."""
    operators = [o for graph in _tflite.read(file) for o in graph.operators]
    left = Counter(o.name for o in operators if o.name != CUSTOM_OP)
    return Split(len(operators) - left.total(), dict(left))


def parameter_memory(file: Path) -> ParameterMemory:
    """Tell what a file's custom operators carry. Raise UserError if it is not TFLite."""
    graphs = _tflite.read(file)
    payloads = [o.options for g in graphs for o in g.operators if o.name == CUSTOM_OP]
    size = sum(map(len, payloads))
    try:
        programs = [e for payload in payloads for e in _executables(payload)]
    except (struct.error, LookupError, ValueError):
        return ParameterMemory(size, None, None, ())
    cached = sum(e.parameter_bytes for e in programs if e.kind == "parameter-caching")
    streamed = sum(e.parameter_bytes for e in programs if e.kind != "parameter-caching")
    return ParameterMemory(size, cached, streamed, tuple(programs))


def not_integer(graphs: tuple[Subgraph, ...]) -> list[str]:
    """List the operators that are not integer, hence for the CPU, each kind with count and reason.

    Floats as input and output of the model are let pass: what converts them to 8 bit stays on the
    CPU, and the rest is compiled (https://coral.ai/docs/edgetpu/models-intro, float input and
    output tensors).
    """
    reasons: Counter[str] = Counter()
    for graph in graphs:
        ports = {t.index for t in (*graph.inputs, *graph.outputs)}
        for operator in graph.operators:
            if why := _why_not(operator, ports):
                reasons[f"{operator.name}: {why}"] += 1
    return [f"{count} x {reason}" for reason, count in reasons.items()]


def check_integer(model: Path, graphs: tuple[Subgraph, ...]) -> None:
    """Raise UserError, with the operators to blame, for a model that is not fully integer."""
    if left := not_integer(graphs):
        raise UserError(
            f'{model.name} is not fully integer quantized: quantize it (precision = "int8"). '
            f"These operators would stay on the CPU: {'; '.join(left)}"
        )


def prepare(model: Path, folder: Path) -> tuple[Path, dict[str, int]]:
    """Give the compiled file of a model, and its operators by unit: "edgetpu" and "cpu".

    A model that was compiled before is returned as it is. Then its operators are those that are in
    the file, where a custom one counts as one, whatever it stands for; a file that leaves more to
    the CPU is a fallback. Raise UserError for a model that cannot be compiled, and says why.
    """
    split = placement(model)
    if split.custom_ops:
        return model, {"edgetpu": split.custom_ops, "cpu": sum(split.cpu.values())}
    check_integer(model, _tflite.read(model))
    compiled = compile_model(model, folder)
    cpu = sum(placement(compiled).cpu.values())
    return compiled, {"edgetpu": max(0, sum(split.cpu.values()) - cpu), "cpu": cpu}


def compile_model(model: Path, folder: Path) -> Path:
    """Compile a full integer TFLite model into a folder. Raise UserError if that fails."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise UserError(
            f"{model.name} is not compiled for the Edge TPU, and {COMPILER} is not on PATH. It "
            "exists for x86-64 Linux only (https://coral.ai/docs/edgetpu/compiler): install "
            "edgetpu-compiler there, and give the file NAME_edgetpu.tflite that it writes"
        )
    done = subprocess.run(
        [compiler, "--out_dir", str(folder), str(model)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    compiled = folder / f"{model.stem}_edgetpu.tflite"
    if done.returncode or not compiled.exists():
        words = " ".join(done.stdout.split())[-300:]
        raise UserError(f"{COMPILER} could not compile {model.name}: {words}")
    return compiled


def _why_not(operator: Operator, ports: set[int]) -> str:
    """Why an operator is not an integer one; "" if it is."""
    tensors = (*operator.inputs, *operator.outputs)
    wrong = [t for t in tensors if t.type not in INTEGER]
    moving_8bit = any(t.type in EIGHT_BIT and not t.constant for t in tensors)
    if not wrong or (moving_8bit and all(t.index in ports for t in wrong)):
        return ""
    activations = _types(t for t in wrong if not t.constant)
    if any(t.type in EIGHT_BIT and t.constant for t in tensors) and activations:
        return f"8-bit weights, but {activations} activations"
    constants = _types(t for t in wrong if t.constant)
    parts = [f"{activations} activations"] * bool(activations)
    return " and ".join([*parts, *[f"{constants} constants"] * bool(constants)])


def _types(tensors: Iterable[Tensor]) -> str:
    return ", ".join(sorted({t.type for t in tensors}))


def _executables(payload: bytes) -> list[Executable]:
    """The executables of a payload: a FlexBuffer map, a value of which is the package."""
    start = payload.index(IDENTIFIER) - 4  # the identifier comes after the offset of the root
    package = memoryview(payload)[start:]
    many = _vector(package, _field(package, _root(package), PACKAGE_EXECUTABLES))
    listed = _field(many, _root(many), MULTI_EXECUTABLE_LIST)
    if listed is None:
        raise ValueError("a package without executables")
    first = listed + _u32(many, listed)
    executables = []
    for entry in range(first + 4, first + 4 + 4 * _u32(many, first), 4):
        data = _vector(many, entry)
        kind = _field(data, _root(data), KIND)
        number = 0 if kind is None else struct.unpack_from("<h", data, kind)[0]
        parameters = _vector(data, _field(data, _root(data), PARAMETERS))
        executables.append(Executable(KINDS[number], len(data), len(parameters)))
    return executables


# A flatbuffer (https://flatbuffers.dev/internals): a table starts with the distance back to its
# vtable, whose 16-bit entries, behind two sizes, are the offsets of the fields in the table.


def _u32(data: memoryview, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value


def _root(data: memoryview) -> int:
    return _u32(data, 0)


def _field(data: memoryview, table: int, index: int) -> int | None:
    """Where a field of a table is; None if it was left at its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    entry = 4 + 2 * index
    if entry >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset: int = struct.unpack_from("<H", data, vtable + entry)[0]
    return table + offset if offset else None


def _vector(data: memoryview, at: int | None) -> memoryview:
    """The bytes of the vector or string that a field refers to."""
    if at is None:
        return memoryview(b"")
    start = at + _u32(data, at)
    end = start + 4 + _u32(data, start)
    if end > len(data):
        raise ValueError("a vector that ends behind the file")
    return data[start + 4 : end]
