"""Listings: a line for each thing on a terminal, words whole, or all of it as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from paretomark.reports import _console, _json, _text

GAP = "  "
LEAST = 24  # letters of the last column; where there are fewer, it stands on lines of its own
INDENT = 4


def show(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of foreign text below their titles."""
    print("\n".join(lines(titles, rows, _console.width())))


def lines(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lay out rows, `width` wide: the last column is wrapped between words, the others never."""
    table = [[_text.clean(cell, 10_000) for cell in row] for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    taken = sum(width + len(GAP) for width in widths)
    below = width - taken < LEAST
    found = []
    for row in table:
        first = GAP.join(cell.ljust(n) for cell, n in zip(row[:-1], widths, strict=True))
        if below:
            found += [first.rstrip(), *wrapped(row[-1], width, INDENT)]
            continue
        last, *more = wrapped(row[-1], width, taken) or [""]
        found += [f"{first}{GAP}{last.strip()}".rstrip(), *more]
    return found


def wrapped(text: str, width: int, indent: int) -> list[str]:
    """Break a text between words into lines that are indented."""
    room = " " * indent
    return textwrap.wrap(
        text,
        max(width, indent + LEAST),
        initial_indent=room,
        subsequent_indent=room,
        break_long_words=False,
        break_on_hyphens=False,
    )


def as_json(name: str, rows: Sequence[Any], **further: Any) -> None:
    """Print rows as JSON: an object that says what it is, and has them under their name."""
    print(_json.text({"schema": f"paretomark/{name}/1", name: list(rows), **further}))
