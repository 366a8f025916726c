"""What the writers of results for other tools have in common.

A writer is a file of this folder without a leading underscore, and the name of a format. It has

    SUFFIX = "json"                                               of the file that it writes
    def write(summaries: Sequence[Summary]) -> str | bytes        what that file holds

What was not measured is absent. Rows that were not measured here bear that in their name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from paretomark.reports import _columns, _text
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec._errors import UserError

MAX_NAME = 1000  # characters; Bencher takes 1024


class Figure(NamedTuple):
    """A number of a row, in the unit of its column, with the ends of its 95 % interval."""

    value: float
    low: float | None
    high: float | None


def name(row: Row) -> str:
    """Name a row: the key of its cell, and what it is where it was not measured here."""
    origin = _text.origin(row)
    return _text.clean(row.cell + (f" ({origin})" if origin else ""), MAX_NAME)


def rows(summaries: Sequence[Summary]) -> Iterator[tuple[Summary, Row]]:
    """Go through the rows of runs that have no cell in common, for a tool that knows rows by their
    names only. Raises UserError for a cell that two runs have."""
    seen: set[str] = set()
    for summary in summaries:
        for row in summary.rows:
            if (told := name(row)) in seen:
                raise UserError(f"{told} is in two runs: export them into a file each")
            seen.add(told)
            yield summary, row


def figure(row: Row, column: str) -> Figure | None:
    """Return a number of a row; None where it is not known, or does not count."""
    if not row.valid or (row.broken and column == "accuracy"):
        return None
    value = _columns.named(column).of(row)
    return None if value.middle is None else Figure(*map(_number, value))  # type: ignore[arg-type]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def why_not(row: Row) -> str:
    """Say why a row has no time that counts; "" if it has one."""
    if row.valid:
        return ""
    return _text.clean(row.reason or ", ".join(row.flags) or row.status, 2000)
