"""Pictures in folders: which there are, how they are shared out, and how they become a net's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _data, _pictures
from paretomark.models.data._data import SPLITS, Examples, Split
from paretomark.models.data._notes import Notes, some
from paretomark.models.data._pictures import SUFFIXES
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

Size = tuple[int, int]
T = TypeVar("T")
TEST = ("val", "test")  # what the folder of the test split may be called
# Names in small letters.
SYSTEM_FOLDERS = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found")
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "system volume information")


class Listing(NamedTuple):
    """What lies in a folder, each sorted by name."""

    pictures: list[Path]
    folders: list[Path]
    hidden: list[Path]  # what a system, not the user, put there
    others: list[Path]


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is hidden, or put there by a system."""
    return name.startswith(".") or name.lower() in (*SYSTEM_FOLDERS, *SYSTEM_FILES)


def listing(folder: Path) -> Listing:
    """Return what lies in a folder. Raises UserError if it cannot be read."""
    try:
        entries = sorted(folder.iterdir(), key=attrgetter("name"))
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from None
    sorts = Listing([], [], [], [])
    for entry in entries:
        if is_hidden(entry.name):
            sorts.hidden.append(entry)
        elif entry.suffix.lower() in SUFFIXES:  # even a folder: it is named when it is read
            sorts.pictures.append(entry)
        else:
            (sorts.folders if entry.is_dir() else sorts.others).append(entry)
    return sorts


def pictures_below(folder: Path) -> int:
    """Return how many pictures are in a folder and those in it."""
    found = [f for f in _data.files(folder) if f.suffix.lower() in SUFFIXES]
    return sum(not any(map(is_hidden, f.relative_to(folder).parts)) for f in found)


def merged(one: Listing, other: Listing) -> Listing:
    """Return what lies in either of two folders."""
    return Listing(*(a + b for a, b in zip(one, other, strict=True)))


def passed_over(there: Iterable[Listing], notes: Notes) -> None:
    """Note what lies beside pictures and is none."""
    listings = list(there)
    for where, which in (
        ("of the system or hidden", [f for x in listings for f in x.hidden]),
        ("without a suffix of pictures", [f for x in listings for f in x.others]),
    ):
        if which:
            names = some(dict.fromkeys(f.name for f in which))
            notes.count(f"file {where} passed over: {names}", len(which))


def text(path: Path) -> str:
    """Return the text of a table in UTF-8, or in UTF-16 that says so.

    Raises UserError with the line that is in another encoding.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        content = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: this is not UTF-8 ({raw[error.start : error.start + 1]!r}); "
            "save the file as UTF-8"
        ) from None
    if "\0" in content:
        raise UserError(f"{path} is no text in UTF-8: save the file as UTF-8")
    return content


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


def sized(preprocess: Preprocess | None) -> Preprocess:
    """Return the preprocessing. Raises UserError if there is none."""
    if preprocess is None:
        raise UserError("pictures of different sizes need a net's preprocessing to be read")
    return preprocess


def read(
    files: Sequence[Path], labels: Sequence[int], preprocess: Preprocess | None, notes: Notes
) -> Examples:
    """Read and resize pictures. Raises UserError that names the file that cannot be read."""
    size = sized(preprocess).size
    images = np.empty((len(files), *size, 3), np.uint8)
    for image, path in zip(images, files, strict=True):
        picture = _pictures.read(path, notes)
        if picture.is_turned:
            notes.count("picture turned as EXIF says")
        image[:] = np.asarray(resized(picture.turned, sized(preprocess)))
    return Examples(images, np.asarray(labels, np.int64), notes=notes.told())
