"""What the pages of several reports have in common: data sets, commits, pictures and links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from paretomark.reports import _html
from paretomark.reports._figure import Plot
from paretomark.reports._html import esc
from paretomark.suites.records._record import Header
from paretomark.suites.records._row import Row
from paretomark.suites.tasks import _task


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


def files(written: Sequence[Path]) -> str:
    """Link the files beside a page, as HTML."""
    links = " · ".join(f'<a href="{esc(p.name)}">{esc(p.name)}</a>' for p in written)
    return f"<h2>The numbers</h2><p>{links}</p>"
