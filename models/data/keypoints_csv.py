"""Pictures with named points each: a folder with `keypoints.csv`, whose first column is the file.

The header names the points: `file, nose_x, nose_y, nose_v, ...`, in pixels of the picture, the
centre of the top left one being 0.5, 0.5. The visibility `_v` (COCO: 0 not labelled, 1 hidden,
2 seen) may be left out of the table, and an empty cell is not labelled. Points called left_ and
right_ are each other's mirror image. With `PATH/train/` and `PATH/val/` (or `test`), each with a
table, there is training as well; every tenth training picture is set aside for calibration.
Without, all is the test split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _files, _pictures, _table
from paretomark.models.data._data import Examples, Holding, Split
from paretomark.models.data._files import Size
from paretomark.models.data._notes import Notes, some
from paretomark.models.data._pictures import Picture
from paretomark.models.data._table import Names
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
TASKS = ("keypoints",)
TABLE = "keypoints.csv"
ENDS = ("_x", "_y", "_v")
SEEN = 2.0
SIDES = {"left_": "right_", "right_": "left_"}
Points = NDArray[np.float32]  # (K, 3): x, y and visibility


class Table(NamedTuple):
    """What a table says: the names of the points, and of each picture its points."""

    names: list[str]
    rows: list[tuple[Path, Points]]


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "keypoints",
) -> Examples:
    """Return pictures in one seeded shuffle. Raises UserError with the line of a bad row."""
    size, notes = _files.sized(preprocess), Notes()
    names, rows = _read(_files.part(Path(argument), split), notes)
    chosen = _files.share(rows, split)[:count]
    images = np.empty((len(chosen), *size.size, 3), np.uint8)
    labels = np.empty((len(chosen), len(names), 3), np.float32)
    for image, label, (file, points) in zip(images, labels, chosen, strict=True):
        picture = _position(_pictures.read(file, notes), points, notes)
        image[:] = np.asarray(_files.resized(picture, size))
        label[:] = _files.moved(points, picture.size, size)
        off, labelled = _off(points, picture.size), points[:, 2] > 0
        notes.count("keypoint outside of the picture, not scored", int(off.sum()))
        cut = labelled & ~off & (label[:, 2] == 0)
        notes.count("keypoint cut off with the edge of the picture, not scored", int(cut.sum()))
        if not (label[:, 2] > 0).any():
            notes.count("picture without a keypoint that is labelled and seen by the net")
    return Examples(images, labels, _mirrored(names), notes=notes.told())


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def holds(split: Split, argument: str, heads: int) -> Holding:
    """Return what is in a split. Raises UserError as `load` does, but for what a picture's head
    does not tell."""
    notes = Notes()
    rows = _files.share(_read(_files.part(Path(argument), split), notes).rows, split)
    _pictures.glance(file for file, _ in rows[:heads])
    return Holding(len(rows), (), notes.told())


def _position(picture: Picture, points: Points, notes: Notes) -> Image.Image:
    """The picture as the points lie in it: turned as its EXIF says, unless they only fit the
    other."""
    if not picture.is_turned:
        return picture.turned
    if _off(points, picture.turned.size).any() and not _off(points, picture.stored.size).any():
        notes.count("picture not turned as EXIF says, since the keypoints fit what is stored")
        return picture.stored
    notes.count("picture turned as EXIF says, the keypoints taken for those of what is turned")
    return picture.turned


def _off(points: Points, size: Size) -> NDArray[np.bool_]:
    """Which labelled points, (K,), are outside of a picture of `size` (width, height)."""
    outside = ((points[:, :2] < 0) | (points[:, :2] > size)).any(1)
    off: NDArray[np.bool_] = np.logical_and(outside, points[:, 2] > 0)
    return off


def _read(folder: Path, notes: Notes) -> Table:
    """The points of all pictures. Raises UserError with the line of a bad row."""
    table = folder / TABLE
    if not table.is_file():
        raise UserError(f"{table} is missing: it needs columns file, NAME_x, NAME_y, ...")
    header, *rows = _table.rows(table)
    columns = [name[:-2] + name[-2:].lower() for name in header.cells]
    names = [c.removesuffix("_x") for c in columns if c.endswith("_x")]
    if not names or any(f"{name}_y" not in columns for name in names):
        raise UserError(f"{table}: needs columns file, NAME_x, NAME_y, ..., got {columns}")
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise UserError(f"{table}: column {twice[0]} is there twice")
    of_points = [c for c, name in enumerate(columns) if name[:-2] in names and name[-2:] in ENDS]
    found = Names(folder)
    file = found.column(rows, table, of_points) if rows else 0
    if unused := [c for i, c in enumerate(columns) if i != file and i not in of_points]:
        notes.say(f"{TABLE}: columns not used: {some(unused)}")
    of: dict[str, tuple[list[str], Path, Points]] = {}
    for line, cells in rows:
        path = found.file(cells[file], table, line)
        row = dict(zip(columns, cells, strict=True))
        try:
            points = np.array([_point(row, name) for name in names], np.float32)
        except ValueError as error:
            raise UserError(f"{table}, line {line}: {error}") from None
        first, *_ = of.setdefault(os.path.normpath(path), (cells, path, points))
        if first != cells:
            raise UserError(f"{table}, line {line}: {cells[file]} stands in an earlier line too")
    notes.count("row left out as a repetition of another", len(rows) - len(of))
    found.outside([path for _, path, _ in of.values()], notes)
    listing = [(path, points) for _, path, points in of.values()]
    _check_range(np.concatenate([p for _, p in listing]) if listing else None, table, notes)
    return Table(names, listing)


def _point(row: Mapping[str, str], name: str) -> tuple[float, float, float]:
    """x, y and visibility. Raises ValueError for what is none."""
    if not row[f"{name}_x"] or not row[f"{name}_y"]:
        return 0.0, 0.0, 0.0
    try:
        x, y = float(row[f"{name}_x"]), float(row[f"{name}_y"])
        seen = float(row[f"{name}_v"]) if f"{name}_v" in row else SEEN
    except ValueError:
        raise ValueError(f"a cell of '{name}' is no number") from None
    if not math.isfinite(x + y + seen):
        raise ValueError(f"a cell of '{name}' is no number that is finite")
    if seen not in (0, 1, 2):
        raise ValueError(f"{name}_v must be 0 (not labelled), 1 (hidden) or 2 (seen), got {seen:g}")
    return x, y, seen


def _check_range(points: Points | None, table: Path, notes: Notes) -> None:
    """Note points that may be missing ones. Raises UserError for shares of the picture."""
    labelled = points[points[:, 2] > 0, :2] if points is not None else np.empty((0, 2))
    if len(labelled) > 1 and (labelled >= 0).all() and 0 < labelled.max() <= 1:
        raise UserError(
            f"{table}: no coordinate is above 1; they must be in pixels of the picture, not in "
            "shares of its width and height"
        )
    corner = int((labelled == 0).all(1).sum())
    notes.count("keypoint at 0, 0 scored: the cells of a missing one must be empty", corner)


def _mirrored(names: list[str]) -> tuple[int, ...]:
    def image(name: str) -> str:
        for side, other in SIDES.items():
            if name.startswith(side) and other + name.removeprefix(side) in names:
                return other + name.removeprefix(side)
        return name

    return tuple(names.index(image(name)) for name in names)
