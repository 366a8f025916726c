"""Masks at their own sizes, one after the other in a file, that a visit reads as it goes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "full.bin"  # beside the prepared pictures
HEAD = struct.Struct("<III")  # height, width, bytes that follow
LEVEL = 1  # of compression: masks shrink fiftyfold by the fastest


def write(masks: Iterable[NDArray[np.uint8]], file: Path) -> None:
    """Write masks, each uint8 (H, W)."""
    with file.open("wb") as out:
        for mask in masks:
            content = zlib.compress(np.ascontiguousarray(mask).tobytes(), LEVEL)
            out.write(HEAD.pack(*mask.shape, len(content)) + content)


def read(file: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the masks that `write` wrote."""
    with file.open("rb") as source:
        while head := source.read(HEAD.size):
            height, width, size = HEAD.unpack(head)
            values = np.frombuffer(zlib.decompress(source.read(size)), np.uint8)
            yield values.reshape(height, width)
