"""Reading pictures from files, for the data sets that are folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from paretomark.models._data import Examples, Preprocess
from paretomark.suites._errors import UserError


def folder(argument: str, name: str) -> Path:
    """The folder a data set was given. Raises UserError if it is missing."""
    if not argument:
        raise UserError(f"data set '{name}' needs a folder: write {name}:PATH")
    path = Path(argument)
    if not path.is_dir():
        raise UserError(f"data folder missing: {path} (data set '{name}')")
    return path


def resized(picture: Image.Image, preprocess: Preprocess) -> Image.Image:
    """The picture at the net's size, as `Preprocess` says, squashed or centre-cropped."""
    height, width = preprocess.size
    if preprocess.crop is None:
        box = (0.0, 0.0, float(picture.width), float(picture.height))
    else:
        scale = preprocess.crop * min(picture.width / width, picture.height / height)
        across, down = width * scale, height * scale
        left, top = (picture.width - across) / 2, (picture.height - down) / 2
        box = (left, top, left + across, top + down)
    how = Image.Resampling[preprocess.interpolation.upper()]
    return picture.resize((width, height), how, box=box)


def read(files: Sequence[Path], labels: Sequence[int], preprocess: Preprocess | None) -> Examples:
    """Read and resize pictures. Raises UserError that names the file that cannot be read."""
    if preprocess is None:
        raise UserError("pictures of different sizes need a net's preprocessing to be read")
    images = np.empty((len(files), *preprocess.size, 3), np.uint8)
    for image, path in zip(images, files, strict=True):
        try:
            with Image.open(path) as picture:
                image[:] = np.asarray(resized(picture.convert("RGB"), preprocess))
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"cannot read picture {path}: {error}") from None
    return Examples(images, np.asarray(labels, np.int64))
