"""A folder of pictures with a `labels.csv` whose first two columns are file and class index.

With or without a header, which may also say that the columns are others: `class` or `label`. Every
picture belongs to the test split: there is no other. Names of classes instead of indices need a
`classes.txt` in the folder: line n, from 0 on, is the name of class n.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from paretomark.models.data import _classes, _files, _pictures, _table
from paretomark.models.data._classes import DECLARATION
from paretomark.models.data._data import Examples, Holding, Split
from paretomark.models.data._notes import Notes, cover
from paretomark.models.data._table import Names, Row
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
TABLE = "labels.csv"
WORDS = ("class", "label", "target", "category", "groundtruth")  # what headers call classes
_WORDS = {word + end for word in WORDS for end in ("", "id", "idx", "index", "number")}
_INDEX = re.compile(r"\+?([0-9]+)(\.0*)?")


def splits(argument: str) -> tuple[Split, ...]:
    """Return only the test split."""
    return ("test",)


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in the order of the file. Raises UserError with the line of a bad row."""
    notes = Notes()
    classes, listing = _listing(Path(argument), split, notes)
    chosen = listing[:count]
    cover([label for _, label in chosen], [label for _, label in listing], notes)
    read = _files.read([f for f, _ in chosen], [c for _, c in chosen], preprocess, notes)
    return dataclasses.replace(read, classes=classes)


def holds(split: Split, argument: str, heads: int) -> Holding:
    """Return what is in the test split. Raises UserError as `load` does, but for what a picture's
    head does not tell."""
    notes = Notes()
    classes, listing = _listing(Path(argument), split, notes)
    _pictures.glance(file for file, _ in listing[:heads])
    return Holding(len(listing), classes, notes.told())


def _listing(
    folder: Path, split: Split, notes: Notes
) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes that are declared, and the pictures with the index of their class."""
    table = folder / TABLE
    if not table.is_file():
        raise UserError(f"{table} is missing: labels_csv needs columns file, class index")
    if split != "test":
        raise UserError(
            f"{table} has no {split} split; name other pictures with 'calibration = \"...\"', or "
            "accept the test pictures (their labels are not used) with 'calibration = \"test\"'"
        )
    classes = _classes.declared(folder)
    rows, names = _table.rows(table), Names(folder)
    file, label = _columns(rows, names, table)
    if (file, label) != (0, 1):
        notes.say(f"{TABLE}: files stand in column {file + 1}, classes in column {label + 1}")
    if rows[0].cells[label] not in classes and _is_header(rows, file, label, names):
        rows = rows[1:]
    of: dict[str, tuple[int, int]] = {}  # of each picture: class and line
    for line, cells in rows:
        path = os.path.normpath(names.file(cells[file], table, line))
        index = _index(cells[label], classes, table, line)
        first, place = of.setdefault(path, (index, line))
        if first != index:
            raise UserError(
                f"{table}, line {line}: {cells[file]} is of class {index}, and of class {first} in "
                f"line {place}; leave one of them"
            )
    notes.count("row left out as a repetition of another", len(rows) - len(of))
    files = [Path(path) for path in of]
    names.outside(files, notes)
    unnamed = set(_files.listing(folder).pictures) - set(files)
    notes.count(f"picture of the folder not in {TABLE}", len(unnamed))
    return classes, [(Path(path), index) for path, (index, _) in of.items()]


def _columns(rows: Sequence[Row], names: Names, table: Path) -> tuple[int, int]:
    """The columns of file and class: what the header calls a class, else what stands behind the
    file, else before."""
    header = [re.sub(r"[^a-z]", "", cell.lower()) for cell in rows[0].cells]
    if any(_table.is_picture(cell) or names.exact(cell) for cell in rows[0].cells):
        header = [""] * len(header)
    called = [c for c, word in enumerate(header) if word in _WORDS]
    numbers = [c for c in called if all(_INDEX.fullmatch(row.cells[c]) for row in rows[1:])]
    labels = numbers or called
    if any(row.cells[c] != row.cells[labels[0]] for c in labels[1:] for row in rows[1:]):
        told = " and ".join(rows[0].cells[c] for c in labels)
        raise UserError(f"{table}: columns {told} may both be the class; leave one of them")
    file = names.column(rows, table, labels)
    if labels or file + 1 < len(header):
        return file, labels[0] if labels else file + 1
    if len({row.cells[file - 1] for row in rows}) == len(rows):
        raise UserError(
            f"{table}: column {file} before the file may be a count of rows, not a class: put "
            "'file,class' as the first line, in the order of the columns"
        )
    return file, file - 1


def _is_header(rows: Sequence[Row], file: int, label: int, names: Names) -> bool:
    """Whether the first row names no picture and no number."""
    cells = rows[0].cells
    if names.exact(cells[file]) or _table.is_picture(cells[file]) or _INDEX.fullmatch(cells[label]):
        return False
    return not names.stems(cells[file])


def _index(cell: str, classes: Sequence[str], table: Path, line: int) -> int:
    """The class that a cell says: its index, or its name where names are declared."""
    named = not all(_INDEX.fullmatch(name) for name in classes)
    number = _INDEX.fullmatch(cell)
    where = f"{table}, line {line}"
    if cell in classes:
        return classes.index(cell)
    if not classes and number:
        return int(number[1])
    if not classes:
        raise UserError(
            f"{where}: expected file, class index, and '{cell}' is no index from 0 on; names of "
            f"classes need {table.with_name(DECLARATION)}, whose line n, from 0 on, names class n"
        )
    if not number or not named or int(number[1]) >= len(classes):
        raise UserError(
            f"{where}: class '{cell}' is none of the {len(classes)} that "
            f"{table.with_name(DECLARATION)} declares"
        )
    return int(number[1])
