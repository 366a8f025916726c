"""A NumPy archive with `x_test`, `y_test` and, if there is training, `x_train`, `y_train`.

Pictures are uint8 (N, H, W, C). The last tenth of the training pictures, at least one and at most
512, is set aside for calibration. Other layouts and numbers are read where they can only mean one
thing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.models.data._data import SPLITS, Examples, Holding, Split
from paretomark.models.data._notes import Notes, cover
from paretomark.suites.spec._errors import UserError, at
from paretomark.suites.spec._model import Preprocess

PATH = "file"
CHANNELS = (1, 3)
PART = {"train": "train", "calibration": "train", "test": "test"}
REMEDY = "save uint8 from 0 to 255"

Array = NDArray[Any]


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in the order of the archive. Raises UserError if an array is not as it must
    be."""
    path, part, notes = Path(argument), PART[split], Notes()
    images, labels = _arrays(path, part, (f"x_{part}", f"y_{part}"))
    labels = _checked(path, part, images, labels, notes)
    with at(f"{path}, x_{part}"):
        images = _bytes(_channels_last(images, preprocess, notes), preprocess, notes)
    if preprocess is not None and preprocess.size != images.shape[1:3]:
        raise UserError(
            f"{path}: pictures are {images.shape[1:3]}, the net wants {preprocess.size}"
        )
    kept = _kept(split, len(images))
    images, labels = images[kept], labels[kept]
    cover(labels[:count].tolist(), labels.tolist(), notes)
    return Examples(images[:count], labels[:count], notes=notes.told())


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that there are arrays of."""
    arrays = _read(Path(argument), ())
    return tuple(s for s in SPLITS if {f"x_{PART[s]}", f"y_{PART[s]}"} <= set(arrays))


def holds(split: Split, argument: str, heads: int) -> Holding:
    """Return what is in a split. Raises UserError as `load` does, but for what only the pixels and
    the net's size can tell."""
    path, part, notes = Path(argument), PART[split], Notes()
    images, labels = _arrays(path, part, (f"y_{part}",))
    labels = _checked(path, part, images, labels, notes)
    return Holding(len(labels[_kept(split, len(labels))]), (), notes.told())


def _kept(split: Split, count: int) -> slice:
    if split == "test":
        return slice(None)
    aside = min(512, max(1, count // 10)) if count > 1 else 0
    return slice(count - aside, None) if split == "calibration" else slice(count - aside)


def _checked(
    path: Path, part: str, images: Array, labels: Array, notes: Notes
) -> NDArray[np.int64]:
    """The class indices, one for each picture."""
    with at(f"{path}, y_{part}"):
        indices = _indices(labels, notes)
    with at(f"{path}, x_{part}"):
        if images.ndim and len(images) != len(indices):
            raise UserError(f"has {len(images)} pictures, y_{part} has {len(indices)} labels")
        if images.dtype.kind not in "buif":
            raise UserError(f"must be pixels, is {images.dtype}: {REMEDY}")
        if images.ndim not in (3, 4):
            told = f"{images.dtype} {images.shape}"
            raise UserError(f"must be uint8 (N, H, W, C) of 1 or 3 channels, is {told}")
    return indices


def _read(path: Path, names: Collection[str]) -> dict[str, Array]:
    """The arrays of these names, and of all others type and shape, without their numbers. Raises
    UserError for another file."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {
                name: archive[name] if name in names else _head(archive, name) for name in archive
            }
    except Exception as error:  # a file of any kind may be here
        raise UserError(f"{path} is not a readable .npz file: {error}") from None


def _head(archive: Any, name: str) -> Array:
    """An array of the type and shape that an archive says, which takes no memory."""
    with archive.zip.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            header = np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
    return np.broadcast_to(np.empty((), dtype), shape)


def _arrays(path: Path, part: str, names: Collection[str]) -> tuple[Array, Array]:
    """Pictures and labels, of which those of other names have no numbers."""
    arrays = _read(path, names)
    images, labels = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
    if images is None or labels is None:
        raise UserError(
            f"{path} has no x_{part} and y_{part}, but {', '.join(arrays) or 'nothing'}"
        )
    return images, labels


def _indices(labels: Array, notes: Notes) -> NDArray[np.int64]:
    """Class indices (N,), also of (N, 1) and of one-hot rows (N, classes)."""
    if labels.dtype.kind not in "buif":
        raise UserError(f"must be class indices from 0 on, is {labels.dtype}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
        notes.say(f"labels were one-hot, of {labels.shape[1]} classes")
        labels = labels.argmax(1)
    if labels.ndim != 1:
        raise UserError(
            f"must be class indices (N,), is {labels.shape} and not one-hot: save the index of "
            "each class"
        )
    if len(labels) and (not (np.isfinite(labels) & (labels % 1 == 0)).all() or labels.min() < 0):
        raise UserError(
            f"must be whole numbers from 0 on, is from {labels.min():g} to {labels.max():g}: save "
            "class indices"
        )
    return labels.astype(np.int64)


def _channels_last(images: Array, preprocess: Preprocess | None, notes: Notes) -> Array:
    """Pictures (N, H, W, C), also of (N, H, W) and (N, C, H, W)."""
    channels = {*CHANNELS, len(preprocess.mean)} if preprocess else set(CHANNELS)
    if images.ndim == 3:
        notes.say("pictures (N, H, W) were read as grey")
        return images[..., None]
    if images.ndim != 4 or not channels & {images.shape[1], images.shape[3]}:
        raise UserError(
            f"must be uint8 (N, H, W, C) of {' or '.join(map(str, sorted(channels)))} channels, is "
            f"{images.dtype} {images.shape}"
        )
    last, first = images.shape[3] in channels, images.shape[1] in channels
    if last and first and preprocess:  # pictures as narrow as they have channels
        last, first = (preprocess.size == size for size in (images.shape[1:3], images.shape[2:]))
    if last and first:
        raise UserError(f"{images.shape} may be (N, H, W, C) or (N, C, H, W): resize the pictures")
    if not first:
        return images
    notes.say("pictures (N, C, H, W) were read as such")
    return images.transpose(0, 2, 3, 1)


def _bytes(images: Array, preprocess: Preprocess | None, notes: Notes) -> NDArray[np.uint8]:
    """Pixels from 0 to 255, also of other whole numbers, of floats 0..1 and 0..255."""
    if not images.size:
        return images.astype(np.uint8)
    least, most = float(images.min()), float(images.max())
    told = f"{images.dtype} from {least:g} to {most:g}"
    if images.dtype == np.uint8:
        if most <= 1:
            notes.say(f"no pixel is above {most:g}: on the scale of 0 to 255 all are black")
        return images
    if not (least >= 0 and most <= 255):  # or not a number
        raise UserError(f"must be pixels from 0 to 255, is {told}: {REMEDY}")
    whole = images.dtype.kind != "f" or bool((images % 1 == 0).all())
    if images.dtype.kind == "b" or (images.dtype.kind == "f" and most <= 1):
        if preprocess and max(preprocess.std) <= 1:
            raise UserError(
                f"is {told}, and preprocess.std {max(preprocess.std):g}: mean and std are for "
                "pixels from 0 to 255; multiply both by 255"
            )
        notes.say(f"pixels were {told}: they were multiplied by 255, and rounded")
        return np.rint(images.astype(np.float32) * 255).astype(np.uint8)
    if most <= 1 or (not whole and most < 128):
        raise UserError(f"is {told}, which may be 0..1 or 0..255: {REMEDY}")
    notes.say(f"pixels were {told}: they were read as 0..255{'' if whole else ', and rounded'}")
    return np.rint(images).astype(np.uint8)
