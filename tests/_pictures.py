"""Small data sets of all kinds of faults, for the tests of readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the tag of EXIF


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (8, 8), **how: Any) -> Path:
    """Write a picture of one shade, `size` being width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), shade, np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def turned(orientation: int) -> Image.Exif:
    """Return the EXIF of a picture that is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def shades(images: np.ndarray[Any, Any]) -> list[int]:
    """Return the shade of each picture of one shade."""
    return [int(image.flat[0]) for image in images]
