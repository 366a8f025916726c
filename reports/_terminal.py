"""What the rows of a run look like on a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from paretomark.reports import _columns, _console, _fit, _text
from paretomark.reports._columns import Column
from paretomark.reports._fit import Fit
from paretomark.reports._ways import Styled
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

SHOWN = 6  # cells that one reason or warning names
LEGEND = (
    "latency: of {boundary}. ±: 95 % interval.",
    "Δ: against the dense fp32 net, on the same examples, in points; ▼ lost by more than chance.",
    "● on the front of its device, ≈ perhaps off it by chance only, with the probability that it "
    "truly is on it; ✗ not valid, or its answers mean nothing, so on no front.",
)


def show(summary: Summary) -> None:
    """Print the table."""
    _console.show(table(summary, _console.width()))


def table(summary: Summary, width: int) -> Table:
    """Lay out what was measured, by device, and below it what was not and why, `width` wide."""
    from rich.table import Table
    from rich.text import Text

    page, rows = Table.grid(), summary.rows
    timed = sorted(
        (r for r in rows if r.latency_s is not None),
        key=lambda r: (_text.origin(r), r.group, r.latency_s),
    )
    if not any(r.measured for r in rows):
        page.add_row(Text("Nothing was measured."))
    groups = [list(members) for _, members in itertools.groupby(timed, key=lambda r: r.group)]
    fit = _fit.fit(_texts(groups), width)
    for members in groups:
        group = members[0].group
        scored = _text.clean(group.data) or f"no {_task.metric(group.task)}"
        page.add_row(Text(f"{_text.place_label(group)} · {scored}", style="bold"))
        page.add_row(_timed(members, fit))
        if found := summary.hypervolumes.get(group):
            page.add_row(Text(_text.hypervolume(found), style="dim"))
        page.add_row("")
    for told in _legend(summary, fit, timed):
        page.add_row(Text(told, style="dim"))
    if told := _text.precision(rows, summary.run.header.precision):
        page.add_row(Text(told, style="yellow"))
    if warnings := _text.warnings(rows):
        page.add_row("")
        page.add_row(_warnings(warnings, width))
    if rest := [r for r in rows if r.status not in ("ok", "fallback") or not r.measured]:
        page.add_row("")
        page.add_row(_not_measured(rest, width))
    return page


def _legend(summary: Summary, fit: Fit, rows: Sequence[Row]) -> Iterator[str]:
    """What signs mean, and which columns there is no room for."""
    if fit.hidden:
        titles = [_title(_columns.named(name), rows) for name in fit.hidden]
        yield _fit.hidden(titles, "the page and cells.csv")
    of, delta, marks = LEGEND
    boundary = _text.BOUNDARY[summary.run.header.boundary]
    parts = (of.format(boundary=boundary), "" if "delta" in fit.hidden else delta, marks)
    yield " ".join(filter(None, parts))


def _timed(rows: Sequence[Row], fit: Fit) -> Table:
    """The rows of one group, without the columns in which none of them has anything to say."""
    from rich.text import Text

    body = _console.frame()
    lines: list[list[Text]] = [[] for _ in rows]
    if fit.stacked:
        body.add_column("model/recipe", overflow="fold", width=(width := fit.widths[_fit.CELL]))
        for line, row in zip(lines, rows, strict=True):
            name = _text.clean(f"{row.model}/{row.recipe}")
            line.append(Text(_console.broken(name, width)))
    for column in _columns.at(_columns.TERMINAL, rows):
        told = [_line(column, row) for row in rows]
        if column.name in fit.widths and any(text for text, _ in told):
            side: Literal["left", "right"] = "right" if column.way.numeric else "left"
            title, width = _title(column, rows), fit.widths[column.name]
            body.add_column(title, justify=side, overflow="fold", width=width)
            for line, (text, style) in zip(lines, told, strict=True):
                line.append(Text(text, style=style))
    for row, line in zip(rows, lines, strict=True):
        body.add_row(*line, style="" if row.sound else "dim")
    return body


def _title(column: Column, rows: Sequence[Row]) -> str:
    return (column.short or column.head(rows)) + column.way.sign


def _line(column: Column, row: Row) -> Styled:
    return column.way.line(column.of(row), row)


def _texts(groups: Sequence[Sequence[Row]]) -> dict[str, list[str]]:
    """All that stands in each column, by its name, in the tables of all groups."""
    found = {}
    for column in _columns.at(_columns.TERMINAL, list(itertools.chain(*groups))):
        texts = [_line(column, row)[0] for rows in groups for row in rows]
        if any(texts):
            found[column.name] = [*texts, *(_title(column, rows) for rows in groups)]
    return found


def _not_measured(rows: Sequence[Row], room: int) -> Table:
    from rich.text import Text

    reasons = [(*why, _text.some(cells, SHOWN)) for *why, cells in _text.reasons(rows)]
    body = _console.frame()
    for title in ("not measured", "stage"):
        body.add_column(title, no_wrap=True)
    narrow = [max(map(len, column)) for column in zip(*(r[:2] for r in reasons), strict=True)]
    taken = max(narrow[0], len("not measured")) + max(narrow[1], len("stage")) + 2 * _fit.GAP
    width = _cells_width([names for *_, names in reasons], room - taken)
    body.add_column("cells", width=width, overflow="fold")
    body.add_column("reason", overflow="fold")
    for status, stage, reason, names in reasons:
        body.add_row(Text(status, style="red"), Text(stage), _broken(names, width), Text(reason))
    return body


def _warnings(warnings: Sequence[tuple[str, Sequence[str]]], room: int) -> Table:
    from rich.text import Text

    body = _console.frame()
    told = [(warning, _text.some(cells, SHOWN)) for warning, cells in warnings]
    width = _cells_width([names for _, names in told], room)
    body.add_column("to know", overflow="fold")
    body.add_column("cells", width=width, overflow="fold")
    for warning, names in told:
        body.add_row(Text(warning, style="yellow"), _broken(names, width))
    return body


def _cells_width(names: Sequence[str], room: int) -> int:
    """How wide a column of cells is beside one of sentences: half of the room, and no less than
    what stands between two slashes."""
    lines = [line for several in names for line in several.splitlines()]
    least = max(map(_console.longest_part, lines))
    return min(max(map(len, lines)), max(least, room // 2))


def _broken(names: str, width: int) -> Text:
    from rich.text import Text

    return Text("\n".join(_console.broken(line, width) for line in names.splitlines()))
