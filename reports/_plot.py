"""Accuracy over latency, with the front of every device, as SVG and as PNG.

Colour is the device, the marker is the precision, the dash of a front is batch size and threads.
What was not measured here is hollow, with a dotted front; what is not valid, or broken, is a cross.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretomark.reports import _figure, _labels
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.reports._labels import Label, square
from paretomark.reports._text import (
    clean,
    front_note,
    half,
    origin,
    percent,
    place_label,
    points,
    seconds,
    spread,
)
from paretomark.suites.records._row import Group, Row
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"fp32": "o", "fp16": "D", "int8": "s"}  # else a triangle
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (3, 1.5)))
_DOTS = (0, (1, 1.8))
_MAX_LABELS = 40


def pareto(rows: Sequence[Row], title: str) -> Plot | None:
    """Plot the rows of one task that have a latency and an accuracy; None without any."""
    rows = [r for r in rows if r.latency_s is not None and r.accuracy is not None]
    if not rows:
        return None

    def draw(figure: Figure) -> None:
        _draw(figure, rows, title)

    tips, cells = [_tip(row) for row in rows], [clean(row.cell) for row in rows]
    chosen = [bool(row.mark) for row in rows]
    return _figure.render(title, (10.4, 6.0), draw, "point", tips, cells, chosen)


def _tip(row: Row) -> str:
    tip = (
        f"{clean(row.model)} · {clean(row.recipe)} · {place_label(row.group)}: "
        f"{percent(row.accuracy)}{half(row.accuracy_low, row.accuracy_high)} {row.metric} in "
        f"{seconds(row.latency_s)}{spread(row.latency_low_s, row.latency_high_s)}"
    )
    tip += f", {points(row.delta)} points to dense" if row.delta is not None else ""
    return tip + (f" ({note})" if (note := front_note(row)) else "")


def _draw(figure: Figure, rows: Sequence[Row], title: str) -> None:
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=12)
    axes.set_xscale("log")
    colours, dashes = _looks([r.group for r in rows])
    edge = lower_edge(rows)
    _bars(axes, rows, colours, edge)
    for i, row in enumerate(rows):
        _point(axes, row, colours[row.group.device], f"point{i}", edge)
    _axes(axes, edge, _task.axis(rows[0].task))
    right = axes.get_xlim()[1]
    for group in sorted({r.group for r in rows}):
        front = sorted(
            (r.latency_s or 0, r.accuracy or 0) for r in rows if r.on_front and r.group == group
        )
        if front:
            x, y = zip(*front, (right, front[-1][1]), strict=True)
            axes.plot(
                x,
                y,
                drawstyle="steps-post",
                color=colours[group.device],
                lw=1.5,
                ls=dashes[group],
                alpha=0.8,
                zorder=2,
            )
    axes.set_xlim(right=right)
    _legend(axes, rows, colours, dashes, edge)
    figure.draw_without_rendering()
    _names(figure, axes, rows)


def _looks(groups: Sequence[Group]) -> tuple[dict[str, str], dict[Group, Any]]:
    """The colour of each device, and the dash of each group's front."""
    devices = sorted({g.device for g in groups})
    sizes = sorted({_size(g) for g in groups})
    colours = {d: COLOURS[i % len(COLOURS)] for i, d in enumerate(devices)}
    dashes = {}
    for g in groups:  # a device that has to share its colour gets another dash
        kind = sizes.index(_size(g)) + devices.index(g.device) // len(COLOURS)
        dashes[g] = _DOTS if origin(g) else _DASHES[kind % len(_DASHES)]
    return colours, dashes


def _size(group: Group) -> tuple[int, int, int, str]:
    return group.batch, group.threads, group.length, group.scenario


def lower_edge(rows: Sequence[Row]) -> float:
    """Say where the accuracy axis starts: 0, or higher if broken nets would flatten all the others.

    The choice among good nets is what the plot is for; those far below stand as open triangles on
    its lower edge. A net of less than half the best accuracy counts as broken, even where chance
    made it the fastest.
    """
    top = max((r.accuracy or 0 for r in rows), default=0)
    marked = [r for r in rows if r.mark and (r.accuracy or 0) >= top / 2]
    good = [r.accuracy_low or r.accuracy or 0 for r in marked] or [0.0]
    cut = min(good) - max(0.03, 0.35 * (top - min(good)))
    lowest = min((r.accuracy or 0 for r in rows), default=0)
    return cut if top - lowest > 2 * (top - cut) else 0.0


def _point(axes: Axes, row: Row, colour: str, name: str, edge: float) -> None:
    t, a = row.latency_s or 0, row.accuracy or 0
    if a < edge:
        axes.plot([t], [edge], gid=name, ls="", color=colour, marker="v", ms=6, mfc="none",
                  clip_on=False, zorder=5)  # fmt: skip
        return
    strong = row.mark == "front"
    axes.plot(
        [t], [a], gid=name, ls="", color=colour, zorder=4 if strong else 3,
        marker=_MARKERS.get(row.precision, "^") if row.sound else "x",
        ms=7 if strong else 5.5, mew=1.4, alpha=1 if strong or not row.sound else 0.45,
        mfc="none" if origin(row) else colour, mec=colour, clip_on=False,
    )  # fmt: skip


def _bars(axes: Axes, rows: Sequence[Row], colours: dict[str, str], edge: float) -> None:
    """Draw the intervals of both axes, those of one look at once: a thousand take seconds."""
    looks: dict[tuple[str, float], list[tuple[float, float]]] = {}
    gap = math.nan, math.nan
    for row in rows:
        t, a = row.latency_s or 0, row.accuracy or 0
        if a < edge:
            continue
        ends = row.latency_low_s, row.latency_high_s, row.accuracy_low, row.accuracy_high
        left, right, low, high = (
            here if end is None else end for end, here in zip(ends, (t, t, a, a), strict=True)
        )
        look = looks.setdefault((colours[row.group.device], 0.4 if row.on_front else 0.16), [])
        look += [(left, a), (right, a), gap, (t, low), (t, high), gap]
    for (colour, alpha), line in looks.items():
        axes.plot(*zip(*line, strict=True), color=colour, alpha=alpha, lw=1.0, zorder=1)


def _axes(axes: Axes, edge: float, quality: str) -> None:
    _figure.log_ticks(axes.xaxis, seconds)
    axes.yaxis.set_major_formatter(lambda a, _: f"{a * 100:g} %")
    axes.set_xlabel("latency of one call (log scale, faster is to the left)")
    axes.set_ylabel(quality)
    low, high = axes.get_ylim()
    axes.set_ylim(edge or max(low, -0.02), min(high, 1.02))
    axes.grid(color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _legend(
    axes: Axes,
    rows: Sequence[Row],
    colours: dict[str, str],
    dashes: dict[Group, Any],
    edge: float,
) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colours[g.device], ls=dashes[g], lw=2, label=place_label(g))
        for g in sorted({r.group for r in rows}, key=lambda g: (origin(g), g))
    ]
    lines += [
        Line2D([], [], color=INK, ls="", marker=_MARKERS.get(p, "^"), ms=6, label=clean(p))
        for p in sorted({r.precision for r in rows if r.sound})
    ]
    if any(map(origin, rows)):
        lines.append(
            Line2D(
                [],
                [],
                color=INK,
                ls=_DOTS,
                marker="o",
                mfc="none",
                ms=6,
                label="hollow: not measured here",
            )
        )
    if any((r.accuracy or 0) < edge for r in rows):
        lines.append(
            Line2D([], [], color=INK, ls="", marker="v", mfc="none", ms=6, label="below the plot")
        )
    if not all(r.sound for r in rows):
        cross = Line2D([], [], color=INK, ls="", marker="x", ms=6, label="not valid, or broken")
        lines.append(cross)
    axes.figure.legend(
        handles=lines, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5
    )


def _names(figure: Figure, axes: Axes, rows: Sequence[Row]) -> None:
    """Name the points on a front, where a place is free; the others are named by their tips."""
    edge = axes.get_ylim()[0]
    at = [(r.latency_s or 0, max(r.accuracy or 0, edge)) for r in rows]
    best = sorted((i for i, r in enumerate(rows) if r.on_front), key=lambda i: -_chance(rows[i]))
    named = [
        Label(f"{clean(rows[i].model, 40)} {clean(rows[i].recipe, 40)}", *at[i])
        for i in best[:_MAX_LABELS]
    ]
    _labels.write(figure, axes, named, [square(p, 10) for p in axes.transData.transform(at)])


def _chance(row: Row) -> float:
    return row.front_probability or 0
