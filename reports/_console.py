"""How reports print: on a terminal, or into a file as if it were 120 columns wide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(*parts: object) -> None:
    """Print the parts, one below the other."""
    _stdout().print(*parts, sep="\n")


def width() -> int:
    """Return how many letters a line has."""
    return _stdout().width


def frame() -> Table:
    """Return an empty table in the style of all."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)


def broken(name: str, width: int) -> str:
    """Break the name of a cell into lines, `width` wide where its parts allow: at slashes only."""
    lines, line = [], ""
    for part in re.findall(r"[^/]*/|[^/]+", name):
        if line and len(line) + len(part) > width:
            lines.append(line)
            line = ""
        line += part
    return "\n".join([*lines, line])


def longest_part(name: str) -> int:
    """Tell how many letters the name of a cell needs on a line."""
    return max((len(part) for part in re.findall(r"[^/]*/|[^/]+", name)), default=0)


def _stdout() -> Console:
    from rich.console import Console

    class Plain(Console):
        """One that draws the same lines whatever the encoding: `_encoding` finds likenesses."""

        encoding = "utf-8"

    console = Plain(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console
