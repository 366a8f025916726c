"""A comparison on a terminal: what it comes to, what changed, and as much of the rest as fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paretomark.reports import _beside, _compared, _compared_lines, _console, _fit
from paretomark.reports._compared import Compared

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MOST = 40  # rows of a table, unless all are asked for; what is proven is always there
WHERE = "and with --html or --json"  # columns are, besides
STYLES = {"slower": "red", "faster": "green", "inconclusive": "yellow", "more": "red"}
STYLES |= {"less": "green"}


def show(compared: Compared, every: bool = False) -> None:
    """Print it; `every` row, not only those that changed and the first of the others."""
    _console.show(*parts(compared, every))


def parts(compared: Compared, every: bool = False) -> Iterator[object]:
    """Give what is printed, one below the other."""
    worse = bool(compared.outcome.worse)
    title = _compared_lines.headline(compared)
    yield _text(title[:1].upper() + title[1:], "bold red" if worse else "bold")
    yield from (_text(f"  {_compared_lines.finding(f)}", "red") for f in compared.outcome.worse)
    for name, x, y in _compared.differences(compared.a.run, compared.b.run):
        yield _text(f"{name}: {x} → {y}", "cyan")
    yield from map(_text, _compared.by_name(compared))
    yield from map(_text, _compared.of_runs(compared))
    if told := _compared_lines.fronts(compared):
        yield _text("Fronts", "bold")
        yield from (_text(f"  {line}") for line in told)
    yield table(compared, every)
    changed = [change for change in _beside.ordered(compared.beside) if change.answer]
    if changed:
        yield from _beside_time(changed if every else changed[:MOST])
        if len(changed) > MOST and not every:
            yield _text(f"and {len(changed) - MOST} more beside time: --all, or --json", "dim")
    for reason, cells in _compared.rest(compared.comparison.verdicts):
        yield _text(f"not compared: {reason}: {', '.join(cells)}", "dim")


def table(compared: Compared, every: bool = False) -> Table:
    """Lay out the verdicts, what changed first."""
    from rich.table import Table

    verdicts = _compared_lines.ordered(compared.comparison.verdicts)
    proven = sum(map(_compared_lines.is_change, verdicts))
    shown = verdicts if every else verdicts[: max(MOST, proven)]
    lines = [
        (_text(answer, STYLES.get(answer, "")), *map(_text, line))
        for answer, *line in map(_compared_lines.line, shown)
    ]
    titles, room = _compared_lines.TITLES, _console.width()
    body, hidden = _fit.table(titles, lines, titles[:4], titles[1:2], room)
    page = Table.grid()
    page.add_row(body)
    if hidden:
        page.add_row(_text(_fit.hidden(hidden, WHERE), "dim"))
    if len(shown) < len(verdicts):
        page.add_row(_text(f"and {len(verdicts) - len(shown)} more: --all lists them", "dim"))
    page.add_row(_text(_compared.counts(compared.comparison.verdicts), "bold"))
    return page


def _beside_time(changes: Sequence[_beside.Change]) -> Iterator[object]:
    lines = [
        (*map(_text, line), _text(answer, STYLES.get(answer, "")))
        for *line, answer in map(_beside.line, changes)
    ]
    titles = _beside.TITLES
    must = [title for title in titles if title != "detectable"]
    body, hidden = _fit.table(titles, lines, must, titles[1:2], _console.width())
    yield body
    if hidden:
        yield _text(_fit.hidden(hidden, WHERE), "dim")


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)
