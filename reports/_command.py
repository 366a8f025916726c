"""What the commands that reports bring have in common: exit codes, and kinds of arguments.

A file of this folder without a leading underscore is a command of `bench.py`, named by its file
name. It says what it does in the first line of its docstring, and has

    def arguments(parser: argparse.ArgumentParser) -> None    adds what the command takes
    def command(arguments: argparse.Namespace) -> int         does it, and returns the exit code

What is made of runs also has `write(summary, out) -> list[Path]`, which writes into a folder.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError

ALL_WELL, SOME_FAILED = 0, 1
WORSE, INCONCLUSIVE = 1, 3  # of a comparison: a change for the worse is proven; not all is known


def listing() -> dict[str, str]:
    """Say what each command does, by name. Raises UserError for a file that is no Python."""
    return {name: _does(_plugins.file("reports", name)) for name in _plugins.names("reports")}


def _does(file: Path) -> str:
    """What a command does, from the docstring of its file, which is not imported for that."""
    try:
        docstring = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as Python: {error}") from None
    line = docstring.partition("\n")[0]
    return line[:1].lower() + line[1:].rstrip(".")


def positive(text: str) -> int:
    """Read a number of at least 1. Raises what argparse puts into words."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def percentage(text: str) -> float:
    """Read a share, as 0.02 or 2%. Raises what argparse puts into words."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1, as 0.02 or 2%")
    return value


def duration(text: str) -> float:
    """Read a time in seconds, as 90, 90s, 10m or 2h. Raises what argparse puts into words."""
    units = {"s": 1, "m": 60, "h": 3600}
    value = float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a time, as 90s, 10m or 2h")
    return value


def check_page(wanted: bool, page: Path | None) -> None:
    """Raise UserError if a page is to be shown, and none is written."""
    if wanted and not page:
        raise UserError("--open shows a page: name the file that it is written to by --html FILE")


def open_page(page: Path) -> None:
    """Show a page in the user's browser, or say that there is none."""
    import webbrowser

    if not webbrowser.open(page.absolute().as_uri()):
        print(f"no browser can be started here: open {page} in one", file=sys.stderr)
