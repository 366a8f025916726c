"""A history on a terminal: what changed, the newest first, and a line for each cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from paretomark.reports import _console, _fit, _history_lines
from paretomark.reports._history import History

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MOST = 40  # cells, unless all are asked for; those that changed are always there
MOST_CHANGES = 12  # of one interval, unless all are asked for; alarms are always there
STYLES = {"slower": "red", "worse": "red", "more": "red", "fails": "red"}
STYLES |= {"faster": "green", "better": "green", "less": "green", "mended": "green"}


def show(history: History, every: bool = False) -> None:
    """Print it; with `every` also the cells, and changes, that there are too many of."""
    _console.show(*parts(history, every))


def parts(history: History, every: bool = False) -> Iterator[object]:
    """Give what is printed, one below the other."""
    title = _history_lines.headline(history)
    yield _text(title[:1].upper() + title[1:], "bold red" if history.alarms else "bold")
    yield from map(_text, _history_lines.facts(history))
    for interval in _history_lines.intervals(history):
        yield _text("")
        yield _text(_history_lines.heading(history, interval), "bold")
        yield from (_text(f"  {name}", "dim") for name in _history_lines.candidates(interval))
        yield from (_text(f"  {_history_lines.event(e)}", "cyan") for e in interval.events)
        shown = sorted(interval.changes, key=lambda change: not change.alarm)
        if not every:
            shown = shown[: max(MOST_CHANGES, sum(change.alarm for change in shown))]
        for why, changes in _history_lines.reasons(shown).items():
            if why:
                yield _text(f"  {why}")
            for each in changes:
                style = STYLES[each.answer]
                style = style if each.alarm or style == "green" else ""
                yield _text(f"    {_history_lines.what(each)}", style)
        if len(shown) < len(interval.changes):
            yield _text(f"    and {len(interval.changes) - len(shown)} more: --all", "dim")
        if command := _history_lines.bisect(history, interval):
            yield _text(f"  to find it: {command}", "dim")
    yield _text("")
    yield _cells(history, every)


def _cells(history: History, every: bool) -> Table:
    from rich.table import Table

    cells = _history_lines.ordered(history)
    changed = len({each.cell for each in history.changes} & set(cells))
    shown = cells if every else cells[: max(MOST, changed)]
    lines = [[*map(_text, _history_lines.line(history, cell))] for cell in shown]
    titles = _history_lines.TITLES
    must = [title for title in titles if title in ("cell", "latency", "proven", "trend")]
    body, hidden = _fit.table(titles, lines, must, titles[:1], _console.width())
    page = Table.grid()
    page.add_row(body)
    if hidden:
        page.add_row(_text(_fit.hidden(hidden, "and with --html or --json"), "dim"))
    if len(shown) < len(cells):
        page.add_row(_text(f"and {len(cells) - len(shown)} more: --all lists them", "dim"))
    return page


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)
