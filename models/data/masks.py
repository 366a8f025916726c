"""Pictures with a mask each, for segmentation: `PATH/images/NAME.jpg` and `PATH/masks/NAME.png`.

A mask has one number per pixel, the class (grey or palette PNG), 255 where there is none. With
`PATH/train/` and `PATH/val/` (or `test`), each with these two folders, there is training as well;
every tenth training picture is set aside for calibration. Without, all is the test split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretomark.models.data import _files
from paretomark.models.data._data import Examples, Split
from paretomark.models.data.imagefolder import SUFFIXES
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
TASKS = ("segmentation",)


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "segmentation",
) -> Examples:
    """Return pictures in one seeded shuffle. Raises UserError for a mask that is missing or no
    mask."""
    size = _files.sized(preprocess)
    folder = _files.part(Path(argument), split)
    if not (folder / "images").is_dir():
        raise UserError(f"{folder} has no folder 'images' (data set 'masks')")
    listing = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in SUFFIXES)
    files = _files.share(listing, split)[:count]
    images = np.empty((len(files), *size.size, 3), np.uint8)
    masks = np.empty((len(files), *size.size), np.uint8)
    for image, mask, file in zip(images, masks, files, strict=True):
        picture = _files.opened(file).convert("RGB")
        image[:] = np.asarray(_files.resized(picture, size))
        mask[:] = _mask(folder / "masks" / f"{file.stem}.png", picture.size, size)
    return Examples(images, masks)


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def _mask(file: Path, size: tuple[int, int], preprocess: Preprocess) -> NDArray[np.uint8]:
    if not file.is_file():
        raise UserError(f"{file} is missing: every picture needs a mask of the same name")
    mask = _files.opened(file)
    if mask.mode not in ("P", "L"):
        raise UserError(f"{file} is a picture in {mask.mode}: a mask has one class number a pixel")
    if mask.size != size:
        raise UserError(f"{file} is {mask.size[0]}x{mask.size[1]}, its picture {size[0]}x{size[1]}")
    return np.asarray(_files.resized_mask(mask, preprocess))
