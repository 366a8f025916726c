"""The tables of a page that have a line for every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretomark.reports import _columns, _html
from paretomark.reports._columns import Column, Place
from paretomark.reports._html import Cell
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
        [not row.sound for row in rows],
        [_about(column) for column in columns],
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
        + _html.card(table(_columns.EVERY, rows))
    )


def zeros(rows: Sequence[Row]) -> str:
    """Say what pruning brought, cell by cell; "" if nothing was pruned."""
    pruned = [row for row in rows if row.zeros]
    if not pruned:
        return ""
    return (
        "<h2>What zeros bring</h2><p class=soft>Faster is only what the interval of its speed-up "
        "over the same net with all its weights shows, by 5 % or more. Zeros are counted among the "
        "parameters of the net, and among the weights that the file itself holds. Encoded: run "
        "lengths, codebooks and Huffman codes, without loss.</p>"
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
