"""Cells over commits: a picture for each net and place, a line for each of its recipes.

Steps that are proven are marked; where versions changed there is a dashed line over all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from paretomark.reports import _figure, _history, _history_lines, _text
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.reports._history import History
from paretomark.reports._history_changes import ACCURACY, ALL, LATENCY, Point
from paretomark.suites.records import _commits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40  # pictures; those with changes come first
MOST_TICKS = 16
MOST_POINTS = 80  # of a line, that are drawn as such, with what they are; else a band
FLAT = 0.05  # latencies are drawn this much up and down at least, so that noise looks like noise
BAD, GOOD = COLOURS[1], COLOURS[2]
LINES = (*COLOURS[:4], *COLOURS[5:])  # in the dark, the first and the fifth look alike
Place = tuple[str, str]


def plots(history: History) -> dict[Place, Plot]:
    """Draw every net and place, those with changes first, `MOST` of them."""
    cells: dict[Place, list[str]] = {}
    for cell in _history_lines.ordered(history):
        cells.setdefault(_place(history.cells[cell][-1]), []).append(cell)
    return {place: _drawn(history, place, cells[place]) for place in list(cells)[:MOST]}


def places(history: History) -> int:
    """Count the nets and places that there are."""
    return len({_place(points[-1]) for points in history.cells.values()})


def _place(point: Point) -> Place:
    seen = point.seen
    return seen.model, seen.cell.removeprefix(f"{seen.model}/{seen.recipe}/")


def _drawn(history: History, place: Place, cells: Sequence[str]) -> Plot:
    title = " on ".join(filter(None, place))
    scored = any(p.seen.accuracy is not None for cell in cells for p in history.cells[cell])
    tips = [
        _text.clean(
            f"{history.cells[cell][0].seen.recipe}: {_text.seconds(level.seconds)}, "
            f"{_history.label(history, point.run)}"
        )
        for cell in cells
        for points in [[p for p in history.cells[cell] if p.seen.measured]]
        if len(points) <= MOST_POINTS
        for point in points
        if (level := point.seen.level)
    ]

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(2 if scored else 1, 1, height_ratios=[3, 2][: 1 + scored])
        top = figure.add_subplot(grid[0])
        top.set_title(_text.clean(title, 90), loc="left", fontsize=11, fontweight="bold", pad=12)
        count = 0
        for i, cell in enumerate(cells):
            colour = LINES[i % len(LINES)]
            count = _latencies(top, history, cell, colour, count)
        low, high = top.get_ylim()
        top.set_ylim(min(low, 1 - FLAT), max(high, 1 + FLAT))
        top.yaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")
        top.set_ylabel("latency, of that at first")
        panels = [top]
        if scored:
            below = figure.add_subplot(grid[1], sharex=top)
            for i, cell in enumerate(cells):
                _accuracies(below, history, cell, LINES[i % len(LINES)])
            below.yaxis.set_major_formatter(lambda a, _: f"{a * 100:g} %")
            below.set_ylabel("accuracy")
            panels.append(below)
        for axes in panels:
            axes.grid(color=LINE, lw=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=0)
            _versions(axes, history)
        _commits_below(panels[-1], history)
        if scored:
            top.tick_params(labelbottom=False)
        top.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, borderaxespad=0
        )

    return _figure.render(title, (10.4, 5.2 if scored else 3.6), draw, "point", tips)


def _latencies(axes: Axes, history: History, cell: str, colour: str, count: int) -> int:
    """One line, with intervals, and its steps; return how many points are drawn so far."""
    points = [p for p in history.cells[cell] if p.seen.measured]
    logs = {p.run: _history.log(p, history.days) or 0.0 for p in points}
    steps = [c for c in history.changes if c.kind == LATENCY and c.cell == cell]
    end = min((step.after for step in steps), default=len(history.runs))
    first = [log for run, log in logs.items() if run < end]
    base = fmean(first) if first else 0.0
    shares = {run: math.exp(log - base) for run, log in logs.items()}
    last = points[-1].seen.level if points else None
    label = f"{history.cells[cell][0].seen.recipe}: {_text.seconds(last.seconds if last else None)}"
    axes.plot(
        list(shares), list(shares.values()), color=colour, lw=1.0, alpha=0.6, label=_short(label)
    )
    halves = {
        p.run: p.seen.level.interval.high / p.seen.level.seconds for p in points if p.seen.level
    }
    lows, highs = ([share * halves[run] ** way for run, share in shares.items()] for way in (-1, 1))
    if len(points) > MOST_POINTS:
        axes.fill_between(list(shares), lows, highs, color=colour, lw=0, alpha=0.25)
    else:
        axes.vlines(list(shares), lows, highs, color=colour, lw=1.0, alpha=0.5)
        for run, share in shares.items():
            style = {"ls": "", "marker": "o", "ms": 4.5, "color": colour}
            axes.plot([run], [share], gid=f"point{count}", **style)  # type: ignore[arg-type]
            count += 1
    for step in steps:
        worse = step.answer == "slower"
        _mark(axes, step.after, shares[step.after], worse, up=worse)
    place = axes.get_xaxis_transform()  # runs along x, and the height of the picture
    fails = [p.run for p in history.cells[cell] if p.seen.status != "ok"]
    if fails:
        at = [0.04] * len(fails)
        axes.plot(fails, at, ls="", marker="x", ms=6, color=colour, transform=place)
    return count


def _short(label: str) -> str:
    return _text.clean(label, 34)


def _accuracies(axes: Axes, history: History, cell: str, colour: str) -> None:
    points = [p for p in history.cells[cell] if p.seen.accuracy is not None]
    known = {p.run: p.seen.accuracy or 0.0 for p in points}
    marker = {"marker": "o", "ms": 3.5} if len(points) <= MOST_POINTS else {}
    axes.plot(list(known), list(known.values()), color=colour, lw=1.0, **marker)  # type: ignore[arg-type]
    for change in history.changes:
        if change.kind == ACCURACY and change.cell == cell and change.after in known:
            worse = change.answer == "worse"
            _mark(axes, change.after, known[change.after], worse, up=not worse)


def _mark(axes: Axes, x: float, y: float, worse: bool, up: bool) -> None:
    axes.plot(
        [x],
        [y],
        marker="^" if up else "v",
        ms=11,
        mew=1.8,
        mfc="none",
        mec=BAD if worse else GOOD,
        zorder=6,
    )


def _versions(axes: Axes, history: History) -> None:
    for event in history.events:
        axes.axvline(event.after - 0.5, color=INK, lw=0.8, ls=(0, (2, 3)), alpha=0.7)
    for change in history.changes:
        if change.cell == ALL:
            axes.axvline(change.after - 0.5, color=BAD, lw=0.8, alpha=0.7)


def _commits_below(axes: Axes, history: History) -> None:
    """The commits of the runs, as many as have room."""
    count = len(history.runs)
    step = -(-count // MOST_TICKS)
    at = list(range(count - 1, -1, -step))[::-1]
    labels = [history.runs[i][1].commit[: _commits.SHORT] for i in at]
    axes.set_xticks(at, labels, rotation=30, ha="right", fontsize=7.5)
    axes.set_xlim(-0.6, count - 0.4)
