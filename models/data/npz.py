"""A NumPy archive with `x_test`, `y_test` and, if there is training, `x_train`, `y_train`.

Pictures are uint8 (N, H, W, C). The last tenth of the training pictures, at most 512, is set
aside for calibration.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretomark.models.data._data import SPLITS, Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "file"


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in the order of the archive. Raises UserError if an array is not as it must
    be."""
    path = Path(argument)
    part = "test" if split == "test" else "train"
    images, labels = _arrays(path, part)
    if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
        raise UserError(
            f"{path}: x_{part} must be uint8 (N, H, W, C) with y_{part} (N,), got "
            f"{images.dtype} {images.shape} and {labels.shape}"
        )
    if preprocess is not None and preprocess.size != images.shape[1:3]:
        raise UserError(
            f"{path}: pictures are {images.shape[1:3]}, the net wants {preprocess.size}"
        )
    if split != "test":
        aside = min(512, len(images) // 10)
        kept = slice(-aside, None) if split == "calibration" else slice(None, -aside)
        images, labels = images[kept], labels[kept]
    return Examples(images[:count], labels[:count].astype(np.int64))


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that there are arrays of."""
    try:
        with np.load(argument, allow_pickle=False) as archive:
            arrays = set(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{argument} is not a readable .npz file: {error}") from None
    part = {"train": "train", "calibration": "train", "test": "test"}
    return tuple(s for s in SPLITS if {f"x_{part[s]}", f"y_{part[s]}"} <= arrays)


def _arrays(path: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[f"x_{part}"], archive[f"y_{part}"]
    except KeyError:
        raise UserError(f"{path} has no x_{part} and y_{part}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable .npz file: {error}") from None
