"""Pictures with a mask each, for segmentation: `PATH/images/NAME.jpg` and `PATH/masks/NAME.png`.

A mask has one number per pixel, the class (grey or palette PNG), 255 where there is none. With
`PATH/train/` and `PATH/val/` (or `test`), each with these two folders, there is training as well;
every tenth training picture is set aside for calibration. Without, all is the test split.

`PATH/classes.txt` declares other numbers: each line is a number and the name of its class, as in
`255 figure`, the classes being those lines in their order from 0 on; `NUMBER void` is not scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _classes, _files, _pictures
from paretomark.models.data._classes import DECLARATION
from paretomark.models.data._data import Examples, Holding, Split
from paretomark.models.data._notes import Notes, some
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks.segmentation import VOID

PATH = "folder"
TASKS = ("segmentation",)
SUFFIXES = (".png", ".tif", ".tiff", ".bmp")  # of masks: JPEG smears numbers, GIF changes them
SMEARED = range(200, VOID)  # numbers that, undeclared, are rather shades than classes
NO_CLASS = "void"

Values = NDArray[np.uint8]


class Pair(NamedTuple):
    """A picture and its mask."""

    picture: Path
    mask: Path


class Declaration(NamedTuple):
    """What `classes.txt` says: the names of the classes, and the class of each number in a mask,
    VOID where it is not scored; {} if there is none."""

    classes: tuple[str, ...]
    numbers: dict[int, int]
    is_numbered: bool = False  # whether it says the numbers itself


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "segmentation",
) -> Examples:
    """Return pictures in one seeded shuffle. Raises UserError for a mask that is missing or no
    mask, and for masks of 0 and 255 that do not say what these are."""
    size, notes, root = _files.sized(preprocess), Notes(), Path(argument)
    declaration = _declared(root)
    files = _listing(root, split, notes)[:count]
    images = np.empty((len(files), *size.size, 3), np.uint8)
    masks = np.empty((len(files), *size.size), np.uint8)
    there: set[int] = set()
    for image, mask, pair in zip(images, masks, files, strict=True):
        picture, values = _read(pair, declaration.numbers, notes)
        there |= set(np.flatnonzero(np.bincount(values.ravel())).tolist())
        image[:] = np.asarray(_files.resized(picture, size))
        mask[:] = np.asarray(_files.resized_mask(Image.fromarray(values), size))
    if VOID in there and there <= {0, VOID} and not declaration.is_numbered:
        raise UserError(
            f"the masks of {root} have no numbers but 0 and 255, and 255 is not scored: if it is a "
            f"class, write {root / DECLARATION} with the lines '0 ground' and '255 figure'; if "
            "not, name every class in it, and '255 void'"
        )
    return Examples(images, masks, classes=declaration.classes, notes=notes.told())


def full_masks(
    split: Split, count: int | None, preprocess: Preprocess, argument: str
) -> Iterator[Values]:
    """Yield the masks of the pictures that `load` returns, in its order, each (H, W) in its own
    size: of what the net sees of the picture, rounded to whole pixels.

    Raises UserError as `load` does.
    """
    root = Path(argument)
    numbers = _declared(root).numbers
    for pair in _listing(root, split, Notes())[:count]:
        values = _read(pair, numbers, Notes())[1]
        high, wide = values.shape
        left, top, right, bottom = map(round, _files.box((wide, high), preprocess))
        yield values[top : max(bottom, top + 1), left : max(right, left + 1)]


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def holds(split: Split, argument: str, heads: int) -> Holding:
    """Return what is in a split. Raises UserError as `load` does, but for what only the pixels of
    pictures and masks can tell."""
    notes, root = Notes(), Path(argument)
    classes, pairs = _declared(root).classes, _listing(root, split, notes)
    _pictures.glance((p.picture for p in pairs[:heads]), (p.mask for p in pairs[:heads]))
    return Holding(len(pairs), classes, notes.told())


def _listing(root: Path, split: Split, notes: Notes) -> list[Pair]:
    """The pictures of a split with their masks, shuffled. Raises UserError for two that share a
    mask, and for one that has none."""
    folder = _files.part(root, split)
    if not (folder / "images").is_dir():
        raise UserError(f"{folder} has no folder 'images' (data set 'masks')")
    there = _files.listing(folder / "images")
    of: dict[str, Path] = {}
    for file in there.pictures:
        if (other := of.setdefault(file.stem, file)) != file:
            raise UserError(f"{other} and {file.name} have the same mask; rename one of them")
    _files.passed_over([there], notes)
    deeper = sum(map(_files.pictures_below, there.folders))
    notes.count("picture in folders inside 'images' passed over", deeper)
    masks = _files.listing(folder / "masks").pictures if (folder / "masks").is_dir() else []
    unused = [mask.name for mask in masks if mask.stem not in of]
    if unused:
        notes.count(f"mask without a picture passed over: {some(unused)}", len(unused))
    return _files.share(_pairs(there.pictures, folder / "masks", masks), split)


def _pairs(pictures: Sequence[Path], folder: Path, masks: Sequence[Path]) -> list[Pair]:
    """Every picture with its mask, which are `masks` of `folder`."""
    named = {mask.name: mask for mask in masks}
    pairs = []
    for picture in pictures:
        names = [f"{picture.stem}{suffix}" for suffix in SUFFIXES]
        mask = next((named[name] for name in names if name in named), None)
        if mask is None:
            others = [f" ({m.name} does not keep them)" for m in masks if m.stem == picture.stem]
            raise UserError(
                f"{folder / names[0]} is missing: every picture needs a mask of the same name, in "
                f"PNG, TIFF or BMP, which keep numbers{''.join(others)}"
            )
        pairs.append(Pair(picture, mask))
    return pairs


def _read(pair: Pair, numbers: Mapping[int, int], notes: Notes) -> tuple[Image.Image, Values]:
    """A picture and the classes of its pixels, both in the position that fits the mask: turned as
    the picture's EXIF says, unless the mask only fits the picture as it is stored."""
    path = pair.mask
    picture, mask = _pictures.read(pair.picture, notes), _pictures.read_mask(path)
    size = mask.values.shape[::-1]
    if picture.is_turned and size == picture.turned.size:
        told = (
            ""
            if mask.is_turned or size != picture.stored.size
            else ", the mask taken for that of what is turned"
        )
        notes.count(f"picture turned as EXIF says{told}")
        return picture.turned, _of_classes(mask.values, numbers, path)
    if size != picture.stored.size:
        wide, high = picture.turned.size
        raise UserError(f"{path} is {size[0]}x{size[1]}, its picture {wide}x{high}")
    if picture.is_turned:
        notes.count("picture not turned as EXIF says, since the mask fits what is stored")
    return picture.stored, _of_classes(mask.values, numbers, path)


def _of_classes(values: NDArray[np.integer], numbers: Mapping[int, int], path: Path) -> Values:
    """The class of each pixel. Raises UserError for a number that is none."""
    present = np.unique(values).tolist()
    if numbers:
        if odd := [value for value in present if value not in numbers]:
            raise UserError(f"{path} has the number {some(odd)}, which {DECLARATION} does not name")
        table = np.array([numbers[value] for value in present], np.uint8)
        return table[np.searchsorted(present, values)]
    if odd := [value for value in present if value in SMEARED or not 0 <= value <= VOID]:
        raise UserError(
            f"{path} has the number {some(odd)}: these are rather shades of grey, or of a picture "
            f"that was a JPEG, than classes; if they are classes, declare them in {DECLARATION} "
            "beside the pictures, as in '255 figure'"
        )
    return values.astype(np.uint8)


def _declared(root: Path) -> Declaration:
    """What `classes.txt` says. Raises UserError with a line that does not say what it must."""
    lines = _classes.declared(root)
    split = [line.split(maxsplit=1) for line in lines]
    if not any(cells[0].isdecimal() for cells in split):
        return Declaration(
            lines, {VOID: VOID, **{n: n for n in range(len(lines))}} if lines else {}
        )
    names: list[str] = []
    numbers: dict[int, int] = {}
    for line, cells in enumerate(split, start=1):
        where = f"{root / DECLARATION}, line {line}"
        if len(cells) < 2 or not cells[0].isdecimal():
            raise UserError(f"{where}: must be a number and a name, as '255 figure'")
        if int(cells[0]) in numbers or cells[1] in names:
            raise UserError(f"{where}: the number or the name stands above already")
        if cells[1] == NO_CLASS:
            numbers[int(cells[0])] = VOID
            continue
        numbers[int(cells[0])] = len(names)
        names.append(cells[1])
    if len(names) > VOID:
        raise UserError(f"{root / DECLARATION} declares more than {VOID} classes")
    return Declaration(tuple(names), numbers, is_numbered=True)
