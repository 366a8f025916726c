"""What the pages of several reports have in common: data sets, commits, pictures and links."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from paretomark.reports import _html
from paretomark.reports._figure import Plot
from paretomark.reports._html import esc
from paretomark.suites.records._record import Header
from paretomark.suites.records._row import Row
from paretomark.suites.spec._errors import UserError
from paretomark.suites.tasks import _task

FILES = "files.json"  # what a report wrote
MARKED = 1000  # letters at the start of a page, which say who wrote it


def names(rows: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Name a file for each data set and task: by them as far as that is a name, and unique."""
    names: dict[tuple[str, str], str] = {}
    for data, task in sorted({(r.data, r.task) for r in rows if r.data}):
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", data)[:60].strip("-").lower() or "data"
        if task != _task.CLASSIFICATION:
            name += f"-{task}"
        while name in names.values():
            name += "-2"
        names[data, task] = name
    return names


def heading(data: str, task: str) -> str:
    """Write a data set as a title: with its task, unless that is the usual one."""
    return data if task == _task.CLASSIFICATION else f"{data}, {task}"


def commit(header: Header) -> str:
    """Write the commit that ran, as HTML."""
    name = f"<code>{esc(header.commit[:12])}</code>" if header.commit else "not from git"
    return name + (" <span class=tag>with uncommitted changes</span>" if header.dirty else "")


def pictures(plots: Mapping[str, Plot], out: Path) -> list[Path]:
    """Write each plot into the folder `out` as NAME.svg and NAME.png. Raises as `_html.save`."""
    return [
        _html.save(out / f"{name}.{form}", content)
        for name, plot in plots.items()
        for form, content in (("svg", plot.svg), ("png", plot.png))
    ]


def swept(out: Path) -> Callable[[Sequence[Path]], None]:
    """Check that a folder is ours to write into, and return what takes away the files of an
    earlier page that the new one, of these files, does not have.

    Raises UserError if there is a page that was not written here.
    """
    page, listing = out / "index.html", out / FILES
    start = _html.GENERATOR
    if page.exists():
        with page.open(errors="replace") as file:
            start = file.read(MARKED)
    if not any(mark in start for mark in (_html.GENERATOR, _html.OLDER)):
        raise UserError(f"{page}: was not written by paretomark; choose another folder with --out")
    try:
        old = [name for name in json.loads(listing.read_text())["files"] if isinstance(name, str)]
    except (OSError, ValueError, TypeError, KeyError):
        old = []

    def sweep(written: Sequence[Path]) -> None:
        names = [path.name for path in written]
        for name in old:
            if name not in names and Path(name).name == name:
                (out / name).unlink(missing_ok=True)
        _html.save(listing, json.dumps({"files": names}, indent=1))

    return sweep


def files(written: Sequence[Path]) -> str:
    """Link the files beside a page, as HTML."""
    links = " · ".join(f'<a href="{esc(p.name)}">{esc(p.name)}</a>' for p in written)
    return f"<h2>The numbers</h2><p>{links}</p>"
