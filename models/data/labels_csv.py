"""A folder of pictures with a `labels.csv` whose first two columns are file and class index.

Every picture belongs to the test split: there is no other.
"""

from __future__ import annotations

import csv
from pathlib import Path

from paretomark.models.data import _files
from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"


def splits(argument: str) -> tuple[Split, ...]:
    """Return only the test split."""
    return ("test",)


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in the order of the file. Raises UserError with the line of a bad row."""
    folder = Path(argument)
    table = folder / "labels.csv"
    if not table.is_file():
        raise UserError(f"{table} is missing: labels_csv needs columns file, class index")
    if split != "test":
        raise UserError(
            f"{table} has no {split} split; name other pictures with 'calibration = \"...\"', or "
            "accept the test pictures (their labels are not used) with 'calibration = \"test\"'"
        )
    files, labels = [], []
    with table.open(newline="", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        next(rows, None)
        for number, row in enumerate(rows, start=2):
            if len(row) < 2 or not row[1].strip().isdigit():
                raise UserError(
                    f"{table}, line {number}: expected file, class index, got {row[:2]}"
                )
            files.append(folder / row[0])
            labels.append(int(row[1]))
    return _files.read(files[:count], labels[:count], preprocess)
