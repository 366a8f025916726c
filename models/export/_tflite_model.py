"""A TFLite file as Python objects: the one reader of it, for exporters and for devices.

Read by the schema that ai-edge-litert brings along (schema.fbs of TensorFlow Lite, version 3).
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.spec._errors import UserError

IDENTIFIER = b"TFL3"
NUMPY = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "INT32": np.int32}
# What following offsets out of a damaged file raises; the generated readers verify nothing.
DAMAGE = (struct.error, LookupError, AttributeError, TypeError, ValueError, OverflowError)


def load(file: Path) -> Any:
    """Return the schema's ModelT of a TFLite file, with all constants in their buffers.

    Raises UserError where there is none, where it is damaged, and without ai-edge-litert.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise UserError(
            "reading a .tflite file needs ai-edge-litert; pip install 'paretomark[litert]'"
        ) from None
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; give a .tflite file that can be read") from None
    if data[4:8] != IDENTIFIER:
        raise UserError(f"{file} is not a TFLite file: it does not have {IDENTIFIER!r} at byte 4")
    with damage_of(file):
        model = schema.ModelT.InitFromPackedBuf(data)
        _bring_in(model, data)
    if not model.subgraphs:
        raise UserError(f"{file} is a TFLite file without a graph; export it again")
    return model


@contextmanager
def damage_of(file: Path) -> Iterator[None]:
    """Say UserError of what stumbles, in this block, over numbers that the file has wrong."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{file} is a damaged TFLite file ({error}); export it again") from None


def _bring_in(model: Any, data: bytes) -> None:
    """Constants that lie behind the flatbuffer, where AI Edge Quantizer puts those of larger files:
    read by the schema alone, they are empty, and a file written from that cannot be loaded."""
    for buffer in model.buffers:
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(data):
                raise ValueError("a constant ends behind the end of the file")
            part = data[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(part, np.uint8), 0, 0


def kind(model: Any, operator: Any) -> str:
    """Return the name of an operator: of the builtin ("CONV_2D"), or "CUSTOM"."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    code = model.operatorCodes[operator.opcodeIndex]
    # Codes above 126 do not fit the old field, and old files do not have the new one.
    return _names(BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]


def type_name(tensor: Any) -> str:
    """Return the type of a tensor: "FLOAT32"."""
    from ai_edge_litert.schema_py_generated import TensorType

    return _names(TensorType)[tensor.type]


def shape(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor; () of a scalar."""
    return tuple(int(size) for size in (() if tensor.shape is None else tensor.shape))


def is_constant(model: Any, tensor: Any) -> bool:
    """Say whether the file has the values of a tensor; everything else is computed or given."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def stored(model: Any, tensor: Any) -> NDArray[Any] | None:
    """Return the numbers of a constant, flat, as they are in the file; None of what is computed.

    Of a type that is not in `NUMPY`, the bytes; but of INT4, each half, as if it were unsigned.
    """
    if not is_constant(model, tensor):
        return None
    numbers = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    if type_name(tensor) == "INT4":
        halves = np.stack([numbers & 15, numbers >> 4], 1).reshape(-1)
        return halves[: math.prod(shape(tensor))]  # an odd number leaves half a byte over
    return numbers.view(NUMPY.get(type_name(tensor), np.uint8))


@functools.cache
def _names(enum: type) -> dict[int, str]:
    """The names of an enum of the schema by their numbers."""
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}
