"""Messages of Protocol Buffers, read by hand: neither the parent nor a user of ONNX Runtime need
have the package onnx.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of a message: their numbers, and an integer, or the bytes of a string, a
    message, packed numbers or a number of fixed size.

    Raises IndexError for what is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise IndexError
        if at + size > len(message):
            raise IndexError
        yield tag >> 3, message[at : at + size]
        at += size


def parts(message: memoryview, number: int) -> list[memoryview]:
    """Return the fields of one number that hold bytes. Raises IndexError as `fields` does."""
    return [v for n, v in fields(message) if n == number and isinstance(v, memoryview)]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
