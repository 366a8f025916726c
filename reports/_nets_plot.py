"""Whole nets as points: time over multiply-accumulates, and published accuracy over time.

Drawn where there are enough nets to rank (`_ranks`). Colour is the device. The accuracy in the
second picture is not measured here, and its points are hollow: it is what the table of the zoo
quotes (`paretomark.models.nets._families`), of weights that its sources trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretomark.models.nets import _families
from paretomark.reports import _figure, _labels
from paretomark.reports._figure import COLOURS, LINE, Plot
from paretomark.reports._labels import Label, square
from paretomark.reports._ranks import Ranking
from paretomark.reports._text import clean, count, percent, seconds
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MACS, PUBLISHED = "latency_over_macs", "published_accuracy_over_latency"  # names of their files


@dataclass(frozen=True)
class Point:
    """A net on a device."""

    name: str
    where: str
    x: float
    y: float
    tip: str
    named: bool  # on the picture, if there is room


def plots(summary: Summary, rankings: Sequence[Ranking]) -> dict[str, Plot]:
    """Draw the pictures that there is something for, by the names of their files."""
    published = _published(summary.run)
    macs, top1 = [], []
    for ranking in rankings:
        worst = {net.model for net in ranking.worst}
        for row in ranking.rows:
            name, time = clean(row.model), row.latency_s or 0
            tip = f"{name} · {ranking.where}: {count(row.macs)} MACs in {seconds(time)}"
            macs.append(Point(name, ranking.where, row.macs or 0, time, tip, row.model in worst))
            if row.model in published and row.accuracy is None:
                share = published[row.model]
                tip = f"{name} · {ranking.where}: {percent(share)} published, {seconds(time)}"
                top1.append(Point(name, ranking.where, time, share, tip, True))
    plots = {}
    if macs:
        plots[MACS] = _scatter(macs, "Latency over multiply-accumulates", _macs_axes)
    if top1:
        title = "Published accuracy over measured latency"
        plots[PUBLISHED] = _scatter(top1, title, _published_axes, hollow=True)
    return plots


def _published(run: Run) -> Mapping[str, float]:
    """The published top-1, 0..1, of the models of the suite that ran."""
    text = run.header.request.get("suite")
    try:
        nets = _suite.nets(text) if isinstance(text, str) else {}
    except UserError:  # of another version of paretomark, or tampered with
        return {}
    quoted = {entry.net: entry.top1 / 100 for entry in _families.entries() if entry.top1}
    return {model: quoted[net] for model, net in nets.items() if net in quoted}


def _scatter(
    points: Sequence[Point], title: str, finish: Callable[[Axes], None], hollow: bool = False
) -> Plot:
    places = sorted({p.where for p in points})
    colours = {where: COLOURS[i % len(COLOURS)] for i, where in enumerate(places)}

    def draw(figure: Figure) -> None:
        from matplotlib.lines import Line2D

        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=12)
        for i, point in enumerate(points):
            colour = colours[point.where]
            axes.plot(
                [point.x], [point.y], gid=f"net{i}", ls="", marker="o", ms=6, mew=1.4,
                color=colour, mfc="none" if hollow else colour, zorder=3,
            )  # fmt: skip
        axes.set_xscale("log")
        finish(axes)
        axes.grid(color=LINE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        marks = [
            Line2D([], [], color=c, ls="", marker="o", mfc="none" if hollow else c, label=where)
            for where, c in colours.items()
        ]
        figure.legend(handles=marks, loc="outside lower left", ncols=3, frameon=False, fontsize=8.5)
        figure.draw_without_rendering()
        taken = [square(axes.transData.transform((p.x, p.y)), 8) for p in points]
        once = {p.name: Label(p.name, p.x, p.y) for p in reversed(points) if p.named}
        _labels.write(figure, axes, reversed(once.values()), taken)

    return _figure.render(title, (10.4, 6.0), draw, "net", [p.tip for p in points])


def _macs_axes(axes: Axes) -> None:
    axes.set_yscale("log")
    for axis, write in ((axes.xaxis, count), (axes.yaxis, seconds)):
        _figure.log_ticks(axis, write)
    axes.set_xlabel("multiply-accumulates of one picture (log scale)")
    axes.set_ylabel("latency of one call (log scale)")


def _published_axes(axes: Axes) -> None:
    _figure.log_ticks(axes.xaxis, seconds)
    axes.yaxis.set_major_formatter(lambda a, _: percent(a))
    axes.set_xlabel("latency of one call, measured (log scale, faster is to the left)")
    axes.set_ylabel("top-1 on ImageNet as published, not measured")
