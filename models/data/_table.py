"""Tables of files and what is to be said of them: CSV as people and their tools write it.

Separated by commas, semicolons or tabs, quoted or not, in UTF-8 or UTF-16. What cannot be read is
refused with its line; no row is dropped, and no column guessed where two could be meant.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from paretomark.models.data import _files
from paretomark.models.data._notes import Notes
from paretomark.models.data._pictures import SUFFIXES
from paretomark.suites.spec._errors import UserError, nearest

SEPARATORS = "\t;,"
LOOKED_AT = 50  # rows, to tell which column names files


class Row(NamedTuple):
    """A row of a table, its cells stripped of blanks."""

    line: int  # its last one in the file, from 1 on
    cells: list[str]


def rows(table: Path) -> list[Row]:
    """Return the rows that are not blank, all of the same length, at least 2.

    Raises UserError with the line of a row that is not like the others.
    """
    content = _files.text(table)
    splits = [_split(content, each) for each in SEPARATORS]
    best = max((rows for rows, _ in splits), key=_alike)
    if not best:
        raise UserError(f"{table}{splits[-1][1] or ' is empty'}")
    width = len(best[0].cells)
    for row in best:
        if len(row.cells) != width or width < 2:
            raise UserError(
                f"{table}, line {row.line}: {len(row.cells)} cells, where the first row has "
                f"{width}: every row needs the same two or more, separated by commas, and quotes "
                "around a name with a comma"
            )
        if any("\n" in cell for cell in row.cells):
            raise UserError(f"{table}, line {row.line}: a quote is not closed")
    return best


def _split(content: str, separator: str) -> tuple[list[Row], str]:
    """The rows that are not blank; else none, and what is wrong."""
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        split = [Row(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        return [], f", line {reader.line_num}: {error}"
    return [row for row in split if any(row.cells)], ""


def _alike(split: Sequence[Row]) -> int:
    """How many rows have as many cells as the first, if that is more than one."""
    width = len(split[0].cells) if split else 0
    return sum(len(row.cells) == width for row in split) if width > 1 else 0


class Names:
    """The files that the names in a table stand for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inside = functools.cache(lambda place: _files.listing(place).pictures)
        self._is_file = functools.cache(Path.is_file)

    def exact(self, name: str) -> Path | None:
        """Return the file of this name, which may have backslashes; None if there is none."""
        for written in (name, name.replace("\\", "/")):
            if name and self._is_file(path := self.folder / written):
                return path
        return None

    def stems(self, name: str) -> list[Path]:
        """Return the pictures that have this name but for their suffix."""
        path = self.folder / name.replace("\\", "/")
        if not name or not path.parent.is_dir():
            return []
        return [p for p in self._inside(path.parent) if p.stem == path.name]

    def column(self, rows: Sequence[Row], table: Path, labels: Sequence[int] = ()) -> int:
        """Return the column that names files, which is none of `labels`; the first if none does.

        Raises UserError if several name different ones, and the first is none of them.
        """
        last = rows[-LOOKED_AT:]
        columns = [c for c in range(len(rows[0].cells)) if c not in labels]
        for look in (self.exact, self.stems):
            named = {c: [look(row.cells[c]) for row in last] for c in columns}
            hits = {c: sum(map(bool, paths)) for c, paths in named.items()}
            most = max(hits.values())
            best = [c for c, n in hits.items() if n == most]
            if not most:
                continue
            if best[0] and any(named[c] != named[best[0]] for c in best):
                told = " and ".join(str(c + 1) for c in best)
                raise UserError(f"{table}: columns {told} both name files; leave one of them")
            return best[0]
        return columns[0]

    def file(self, name: str, table: Path, line: int) -> Path:
        """Return the file that a row names. Raises UserError if there is none, or several."""
        if path := self.exact(name):
            return path
        likely = self.stems(name)
        if len(likely) == 1:
            return likely[0]
        missing = self.folder / name
        what = f"there is no file {missing}{nearest(missing)}"
        if likely:
            what = f"'{name}' may be {likely[0].name} or {likely[1].name}; say which"
        raise UserError(f"{table}, line {line}: {what}")

    def outside(self, files: Sequence[Path], notes: Notes) -> None:
        """Note files that do not lie in the folder, whose changes are not seen."""
        root = self.folder.resolve()
        n = sum(not path.resolve().is_relative_to(root) for path in files)
        notes.count("picture outside of the data folder, whose changes are not noticed", n)


def is_picture(name: str) -> bool:
    """Say whether a cell looks like the name of a picture."""
    return Path(name.replace("\\", "/")).suffix.lower() in SUFFIXES
