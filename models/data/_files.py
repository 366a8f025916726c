"""Reading pictures from files, for the data sets that are folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from paretomark.models.data._data import SPLITS, Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

Size = tuple[int, int]
T = TypeVar("T")
TEST = ("val", "test")  # what the folder of the test split may be called


def part(root: Path, split: Split) -> Path:
    """Return the folder of a split: `val` or `test`, `train`, or, of the test split, the root
    itself.

    Raises UserError if there is none.
    """
    folders = TEST if split == "test" else ("train",)
    for name in folders:
        if (root / name).is_dir():
            return root / name
    if split == "test" and not (root / "train").is_dir():
        return root
    raise UserError(f"{root} has no folder '{folders[0]}' for the {split} split")


def splits(root: Path) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    if not (root / "train").is_dir():
        return ("test",)
    return SPLITS if any((root / name).is_dir() for name in TEST) else ("train", "calibration")


def share(listing: Sequence[T], split: Split) -> list[T]:
    """Shuffle once, by a seed; of what trains, every tenth is set aside for calibration."""
    shuffled = [listing[i] for i in np.random.default_rng(0).permutation(len(listing))]
    if split == "test":
        return shuffled
    return [x for i, x in enumerate(shuffled) if (i % 10 == 0) == (split == "calibration")]


def box(size: Size, preprocess: Preprocess) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of what a net sees of a picture of `size` (width, height)."""
    height, width = preprocess.size
    if preprocess.crop is None:
        return 0.0, 0.0, float(size[0]), float(size[1])
    scale = preprocess.crop * min(size[0] / width, size[1] / height)
    across, down = min(width * scale, size[0]), min(height * scale, size[1])
    left, top = (size[0] - across) / 2, (size[1] - down) / 2
    return left, top, left + across, top + down


def resized(picture: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Return the picture at the net's size, as `Preprocess` says, squashed or centre-cropped."""
    seen = box(picture.size, preprocess)
    how = Image.Resampling[preprocess.interpolation.upper()]
    return picture.resize(preprocess.size[::-1], how, box=seen)


def resized_mask(mask: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Return the same of a mask, whose numbers are classes: for each pixel the nearest."""
    seen = box(mask.size, preprocess)
    return mask.resize(preprocess.size[::-1], Image.Resampling.NEAREST, box=seen)


def moved(points: NDArray[np.float32], size: Size, preprocess: Preprocess) -> NDArray[np.float32]:
    """Return the keypoints (K, 3) of a picture of `size` (width, height) at the net's size.

    Those that are cut off count as not labelled.
    """
    left, top, right, bottom = box(size, preprocess)
    height, width = preprocess.size
    x = (points[:, 0] - left) * (width / (right - left))
    y = (points[:, 1] - top) * (height / (bottom - top))
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return np.stack([x, y, np.where(inside, points[:, 2], 0)], axis=1).astype(np.float32)


def opened(path: Path) -> Image.Image:
    """Return a picture. Raises UserError that names the file that cannot be read."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"cannot read picture {path}: {error}") from None


def sized(preprocess: Preprocess | None) -> Preprocess:
    """Return the preprocessing. Raises UserError if there is none."""
    if preprocess is None:
        raise UserError("pictures of different sizes need a net's preprocessing to be read")
    return preprocess


def read(files: Sequence[Path], labels: Sequence[int], preprocess: Preprocess | None) -> Examples:
    """Read and resize pictures. Raises UserError that names the file that cannot be read."""
    size = sized(preprocess).size
    images = np.empty((len(files), *size, 3), np.uint8)
    for image, path in zip(images, files, strict=True):
        image[:] = np.asarray(resized(opened(path).convert("RGB"), sized(preprocess)))
    return Examples(images, np.asarray(labels, np.int64))
