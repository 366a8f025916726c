"""Pictures with named points each: a folder with `keypoints.csv`, whose first column is the file.

The header names the points: `file, nose_x, nose_y, nose_v, ...`, in pixels of the picture, the
centre of the top left one being 0.5, 0.5. The visibility `_v` (COCO: 0 not labelled, 1 hidden,
2 seen) may be left out of the table, and an empty cell is not labelled. Points called left_ and
right_ are each other's mirror image. With `PATH/train/` and `PATH/val/` (or `test`), each with a
table, there is training as well; every tenth training picture is set aside for calibration.
Without, all is the test split.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretomark.models.data import _files
from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
TASKS = ("keypoints",)
TABLE = "keypoints.csv"
SEEN = 2.0
SIDES = {"left_": "right_", "right_": "left_"}


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "keypoints",
) -> Examples:
    """Return pictures in one seeded shuffle. Raises UserError with the line of a bad row."""
    size = _files.sized(preprocess)
    folder = _files.part(Path(argument), split)
    names, rows = _rows(folder / TABLE)
    chosen = _files.share(rows, split)[:count]
    images = np.empty((len(chosen), *size.size, 3), np.uint8)
    points = np.empty((len(chosen), len(names), 3), np.float32)
    for image, point, (file, labelled) in zip(images, points, chosen, strict=True):
        picture = _files.opened(folder / file).convert("RGB")
        image[:] = np.asarray(_files.resized(picture, size))
        point[:] = _files.moved(labelled, picture.size, size)
    return Examples(images, points, _mirrored(names))


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def _rows(table: Path) -> tuple[list[str], list[tuple[str, NDArray[np.float32]]]]:
    """The names of the points, and per row of the table its file and its points (K, 3)."""
    if not table.is_file():
        raise UserError(f"{table} is missing: it needs columns file, NAME_x, NAME_y, ...")
    with table.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        names = [c.removesuffix("_x") for c in columns[1:] if c.endswith("_x")]
        if not names or any(f"{name}_y" not in columns for name in names):
            raise UserError(f"{table}: needs columns file, NAME_x, NAME_y, ..., got {columns}")
        rows = []
        for row in reader:
            try:
                points = [_point(row, name) for name in names]
            except (TypeError, ValueError):
                raise UserError(f"{table}, line {reader.line_num}: a cell is no number") from None
            rows.append((row[columns[0]], np.array(points, np.float32)))
    return names, rows


def _point(row: dict[str, str], name: str) -> tuple[float, float, float]:
    """x, y and visibility. Raises TypeError or ValueError for what is not a finite number."""
    if None in row.values():
        raise ValueError("the row is too short")
    if not row[f"{name}_x"].strip() or not row[f"{name}_y"].strip():
        return 0.0, 0.0, 0.0
    x, y = float(row[f"{name}_x"]), float(row[f"{name}_y"])
    seen = float(row[f"{name}_v"]) if f"{name}_v" in row else SEEN
    if not math.isfinite(x + y + seen):
        raise ValueError(name)
    return x, y, seen


def _mirrored(names: list[str]) -> tuple[int, ...]:
    def image(name: str) -> str:
        for side, other in SIDES.items():
            if name.startswith(side) and other + name.removeprefix(side) in names:
                return other + name.removeprefix(side)
        return name

    return tuple(names.index(image(name)) for name in names)
