"""What the rows of a run look like on a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from paretomark.reports import _columns, _console, _text
from paretomark.reports._columns import Column
from paretomark.reports._ways import Styled
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from rich.table import Table

FOLD = 8  # letters of a name that stay together, however little room there is
SHOWN = 6  # cells that one reason or warning names
GAP = 2  # letters between columns
LEGEND = (
    "latency: of {boundary}. ±: 95 % interval. Δ: against the dense fp32 net, on the same "
    "examples, in points; ▼ lost by more than chance. ● on the front of its device, ≈ perhaps off "
    "it by chance only, with the probability that it truly is on it; ✗ not valid, or its answers "
    "mean nothing, so on no front."
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
    widths = _widths(groups, width)
    for members in groups:
        group = members[0].group
        scored = _text.clean(group.data) or f"no {_task.metric(group.task)}"
        page.add_row(Text(f"{_text.place_label(group)} · {scored}", style="bold"))
        page.add_row(_timed(members, widths))
        if found := summary.hypervolumes.get(group):
            page.add_row(Text(_text.hypervolume(found), style="dim"))
        page.add_row("")
    boundary = _text.BOUNDARY[summary.run.header.boundary]
    page.add_row(Text(LEGEND.format(boundary=boundary), style="dim"))
    if told := _text.precision(rows, summary.run.header.precision):
        page.add_row(Text(told, style="yellow"))
    if warnings := _text.warnings(rows):
        page.add_row("")
        page.add_row(_warnings(warnings))
    if rest := [r for r in rows if r.status not in ("ok", "fallback") or not r.measured]:
        page.add_row("")
        page.add_row(_not_measured(rest))
    return page


def _timed(rows: Sequence[Row], widths: Mapping[str, int]) -> Table:
    """The rows of one group, without the columns in which none of them has anything to say."""
    from rich.text import Text

    body = _console.frame()
    lines: list[list[Text]] = [[] for _ in rows]
    for column in _columns.at(_columns.TERMINAL, rows):
        told = [_line(column, row) for row in rows]
        if any(text for text, _ in told):
            side: Literal["left", "right"] = "right" if column.way.numeric else "left"
            title, width = _title(column, rows), widths[column.name]
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


def _widths(groups: Sequence[Sequence[Row]], room: int) -> dict[str, int]:
    """The width of each column by name, the same in all groups, such that `room` letters suffice.

    Where they do not, columns fold, those first that save most; numbers between words only.
    """
    widths, spare = {}, {}
    for column in _columns.at(_columns.TERMINAL, list(itertools.chain(*groups))):
        texts = [_line(column, row)[0] for rows in groups for row in rows]
        if not any(texts):  # it is not shown
            continue
        texts += [_title(column, rows) for rows in groups]
        word = max((len(word) for text in texts for word in text.split()), default=0)
        widths[column.name] = max(map(len, texts), default=0)
        spare[column.name] = widths[column.name] - (word if column.way.numeric else min(word, FOLD))
    excess = sum(widths.values()) + GAP * (len(widths) - 1) - room
    for name in sorted(spare, key=spare.__getitem__, reverse=True):
        less = max(0, min(excess, spare[name]))
        widths[name] -= less
        excess -= less
    return widths


def _not_measured(rows: Sequence[Row]) -> Table:
    from rich.text import Text

    body = _console.frame()
    for title in ("not measured", "stage", "cells", "reason"):
        body.add_column(title, overflow="fold")
    for status, stage, reason, cells in _text.reasons(rows):
        named = _text.some(cells, SHOWN)
        body.add_row(Text(status, style="red"), Text(stage), Text(named), Text(reason))
    return body


def _warnings(warnings: Sequence[tuple[str, Sequence[str]]]) -> Table:
    from rich.text import Text

    body = _console.frame()
    for title in ("to know", "cells"):
        body.add_column(title, overflow="fold")
    for warning, cells in warnings:
        body.add_row(Text(warning, style="yellow"), Text(_text.some(cells, SHOWN)))
    return body
