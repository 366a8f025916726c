"""The tables of a page that have a line for every row."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence

from paretomark.reports import _columns, _html, _text
from paretomark.reports._columns import Column, Place
from paretomark.reports._html import Cell, esc
from paretomark.suites.records._record import CALL
from paretomark.suites.records._row import SIGNIFICANT, Row


def table(
    place: Place,
    rows: Sequence[Row],
    among: Sequence[Row] = (),
    more: Mapping[str, Sequence[Cell]] | None = None,
) -> str:
    """Write the rows in the columns of a place, and in `more` ones of its own, by title.

    Pictures have the scale of all the rows that these are `among`, by default of these alone.
    """
    among, more = among or rows, more or {}
    columns = _columns.at(place, among)
    cells = [_column(column, rows, among) for column in columns]
    return _html.table(
        [*(column.head(among) for column in columns), *more],
        list(zip(*cells, *more.values(), strict=True)),
        [_head(column) for column in columns],
        [_line(row) for row in rows],
    )


def _head(column: Column) -> str:
    """What a title tells of its column, and to the script: which numbers are better."""
    better = f" data-b={column.better}" if column.better else ""
    return f' title="{esc(_about(column))}"{better}'


def _line(row: Row) -> str:
    """What a row tells the script: of which cell it is."""
    dim = "" if row.sound else " class=dim"
    return f'{dim} data-c="{esc(row.cell)}"'


FILTERS = ("model", "recipe", "device", "precision")


def filters(rows: Sequence[Row]) -> str:
    """Write the fields that narrow tables and plots; hidden where no script shows them."""
    fields = []
    for name in FILTERS:
        values = dict.fromkeys(_text.clean(getattr(row, name)) for row in rows)
        if len(values) > 1:
            options = "".join(
                f'<option value="{html.escape(v)}">{html.escape(v) or "none"}</option>'
                for v in values
            )
            every = f'<option value="">every {name}</option>'
            fields.append(f'<select name={name} aria-label="{name}">{every}{options}</select>')
    return (
        "<div class=filters role=search hidden>"
        + "".join(fields)
        + "<label><input type=checkbox id=front> on a front</label>"
        '<input type=search id=word placeholder="part of a name" aria-label="part of a name">'
        "<span id=left class=soft aria-live=polite></span></div>"
    )


def _column(column: Column, rows: Sequence[Row], among: Sequence[Row]) -> list[Cell]:
    reach = column.reach(among)
    return [column.way.cell(column.of(row), row, reach) for row in rows]


def _about(column: Column) -> str:
    better = f" ({column.better} is better)" if column.better else ""
    return column.description + better


def every(rows: Sequence[Row]) -> str:
    """Write every cell, and all that is known of it."""
    return (
        "<h2>Every cell</h2><p class=soft>In the order of the plan; click a column to sort. ▼ "
        "marks a loss of accuracy that is more than chance, counting how many differences this "
        f"page tests (false discovery rate {SIGNIFICANT * 100:.0f} %). Compressed in: processor "
        "time of the steps on the building machine, training included.</p>"
        + "<p><button type=button id=few hidden></button></p>"
        + _html.card(_every(rows), "every cell", tall=True)
    )


def _every(rows: Sequence[Row]) -> str:
    """All columns in which some row has anything; those that few ask for can be left out."""
    columns = [c for c in _columns.at(_columns.EVERY, rows) if c.name in ALWAYS or _tells(c, rows)]
    cells = [_column(column, rows, rows) for column in columns]
    extra = [column.name not in CORE for column in columns]
    return _html.table(
        [column.head(rows) for column in columns],
        [
            [
                dataclasses.replace(cell, style=f"{cell.style} x".strip()) if more else cell
                for cell, more in zip(row, extra, strict=True)
            ]
            for row in zip(*cells, strict=True)
        ],
        [_head(column) for column in columns],
        [_line(row) + _said(row) for row in rows],
    )


def _tells(column: Column, rows: Sequence[Row]) -> bool:
    """Whether it says anything of some row, that is not in the table already."""
    if column.name == "call_s" and all(row.boundary == CALL for row in rows):
        return False  # that is the latency
    return any(column.of(row).middle not in (None, "", {}) for row in rows)


# What a reader asks first; the other columns of `every` are shown on demand.
ALWAYS = (
    *("model", "recipe", "device", "status", "accuracy", "delta", "latency_s", "speedup"),
    *("front_probability", "artifact_bytes"),
)
CORE = (*ALWAYS, "throughput", "best_rate", "energy_j")


def _said(row: Row) -> str:
    """What a row tells the filters."""
    said = "".join(f' data-{name}="{esc(getattr(row, name))}"' for name in FILTERS)
    return f" data-all{said}{' data-front=1' if row.mark else ''}"


def zeros(rows: Sequence[Row], picture: str = "") -> str:
    """Say what pruning brought, cell by cell, below a picture; "" if nothing was pruned."""
    pruned = [row for row in rows if row.zeros]
    if not pruned:
        return ""
    return (
        "<h2>What zeros bring</h2><p class=soft>Faster is only what the interval of its speed-up "
        "over the same net with all its weights shows, by 5 % or more. Zeros are counted among the "
        "parameters of the net, and among the weights that the file itself holds. Encoded: run "
        "lengths, codebooks and Huffman codes, without loss.</p>"
        + picture
        + _html.card(table(_columns.ZEROS, pruned))
    )


def legend() -> str:
    """Say what the columns of cells.csv are, folded up."""
    table = [
        [
            Cell("<br>".join(f"<code>{key}</code>" for key in column.keys), column.name),
            _html.text(column.unit),
            _html.text(column.better),
            _html.text(column.description + (", and its 95 % interval" * bool(column.interval))),
        ]
        for column in _columns.COLUMNS
    ]
    titles = ("column", "unit", "better", "what it is")
    return (
        "<details><summary>What the columns of cells.csv are</summary>"
        + _html.card(_html.table(titles, table))
        + "</details>"
    )
