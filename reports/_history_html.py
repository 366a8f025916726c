"""A history as a page: what changed, pictures of every net and place, and a row for each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from paretomark.reports import _figure, _history, _history_lines, _history_plot, _html
from paretomark.reports import _text as text
from paretomark.reports._history import History
from paretomark.reports._history_changes import Change
from paretomark.reports._html import Cell, esc

STYLES = {"slower": "loss", "worse": "loss", "more": "loss", "fails": "loss"}
STYLES |= {"faster": "gain", "better": "gain", "less": "gain", "mended": "gain"}


def write(history: History, file: Path) -> Path:
    """Write the page into a file, and return it. Raises UserError if that is not possible."""
    return _html.save(file, page(history))


def page(history: History) -> str:
    """Write the page."""
    return _html.document("History", "\n".join(_body(history)))


def _body(history: History) -> Iterator[str]:
    headline = _history_lines.headline(history)
    yield "<h1>History</h1>"
    style = "loss" if history.alarms else ""
    yield f'<p class="{style}">{esc(headline[:1].upper() + headline[1:])}</p>'
    yield f'<ul class="soft">{_items(_history_lines.facts(history))}</ul>'
    intervals = _history_lines.intervals(history)
    yield "<h2>What changed</h2>"
    if not intervals:
        yield "<p>Nothing that is more than chance.</p>"
    for interval in intervals:
        yield f"<h3>{esc(_history_lines.heading(history, interval), 2000)}</h3>"
        if commits := _history_lines.candidates(interval):
            yield f'<ul class="soft">{_items(commits)}</ul>'
        yield f"<ul>{_items(map(_history_lines.event, interval.events))}</ul>"
        for why, changes in _history_lines.reasons(interval.changes).items():
            yield f"<p>{esc(why, 2000)}</p>" if why else ""
            yield f"<ul>{''.join(map(_change, changes))}</ul>"
        if command := _history_lines.bisect(history, interval):
            yield f"<p class=soft>To find it: <code>{esc(command, 2000)}</code></p>"
    yield "<h2>Over the commits</h2>"
    yield (
        "<p class=soft>Latencies, with 95 % intervals, are shares of what they were at first, and "
        "without what all cells of a run have in common. Triangles are proven steps, dashed lines "
        "changes of versions, crosses runs that failed.</p>"
    )
    drawn = _history_plot.plots(history)
    yield from (_html.card(_figure.inline(plot.svg)) for plot in drawn.values())
    if (rest := _history_plot.places(history) - len(drawn)) > 0:
        yield f"<p class=soft>{rest} more nets and places are not drawn: name cells.</p>"
    yield "<h2>Cells</h2>"
    yield _html.card(_table(history))


def _change(change: Change) -> str:
    style = STYLES[change.answer] if change.alarm or STYLES[change.answer] == "gain" else ""
    return f'<li class="{style}">{esc(_history_lines.what(change), 2000)}</li>'


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{esc(line, 2000)}</li>" for line in lines)


def _table(history: History) -> str:
    rows = []
    for cell in _history_lines.ordered(history):
        points = history.cells[cell]
        name, runs, latency, change, trend, accuracy, size = _history_lines.line(history, cell)
        last = points[-1].seen
        rows.append(
            (
                _html.text(name, "wide"),
                Cell(esc(runs), len(points), "n"),
                Cell(esc(latency), last.level.seconds if last.level else None, "n"),
                Cell(esc(change), _history.proven(history, cell), "n"),
                Cell(esc(trend), text.clean(trend)),
                Cell(esc(accuracy), last.accuracy, "n"),
                Cell(esc(size), last.artifact_bytes, "n"),
            )
        )
    return _html.table(_history_lines.TITLES, rows)
