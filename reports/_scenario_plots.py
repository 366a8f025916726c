"""Plots of scenarios: throughput over batch size, and sustained visits over time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from paretomark.reports import _figure
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.reports._text import clean, count, number, place_label, seconds
from paretomark.suites.records import _scenarios
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (1, 1.8)))
_MOST = 24  # lines that the legend names


def throughput(groups: Sequence[Sequence[Row]]) -> Plot | None:
    """Plot inputs per second over batch size, a line for each net, recipe and place: those with two
    sizes or more. None without any."""
    groups = [rows for rows in groups if len([r for r in rows if r.throughput]) > 1]
    if not groups:
        return None
    title = "Throughput over batch size"

    def draw(figure: Figure) -> None:
        axes = _axes(figure.add_subplot(), title)
        for i, rows in enumerate(groups):
            told = [r for r in rows if r.throughput]
            colour, dash = _look(i)
            axes.plot([r.batch for r in told], [r.throughput or 0 for r in told], color=colour,
                      ls=dash, marker="o", ms=4, gid=f"line{i}", label=_name(rows[0]))  # fmt: skip
            for r in told:
                ends = [r.throughput_low or r.throughput, r.throughput_high or r.throughput]
                axes.plot([r.batch] * 2, [end or 0 for end in ends], color=colour, alpha=0.5)
            if knee := _scenarios.knee(told):
                axes.plot([knee.batch], [knee.throughput or 0], color=colour, ls="", marker="o",
                          ms=9, mfc="none")  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        sizes = sorted({r.batch for rows in groups for r in rows})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        _figure.log_ticks(axes.yaxis, count)
        axes.set_xlabel("batch size; a ring: throughput grows no more beyond it")
        axes.set_ylabel("inputs per second (log scale)")
        _legend(figure, axes)

    return _figure.render(title, (10.4, 5.0), draw, "line", [_name(rows[0]) for rows in groups])


def curves(cells: Sequence[tuple[Row, Sequence[Record]]]) -> Plot | None:
    """Plot the median call of each slice over the time since a visit began, a line for each visit;
    below, clock and temperature, where they are known. None without any."""
    lines = [
        (i, row, record)
        for i, (row, pool) in enumerate(cells)
        for record in pool
        if len(record.slices_ns) == len(record.slices_at_s) > 0
    ]
    if not lines:
        return None
    title = "Sustained calls over time"
    below = [
        (label, name)
        for label, name in (("clock, MHz", "clock_mhz"), ("temperature, °C", "temperature_c"))
        if any(getattr(x, name) is not None for _, _, record in lines for x in record.readings)
    ]

    def draw(figure: Figure) -> None:
        count = 1 + len(below)
        every = figure.subplots(count, 1, sharex=True, squeeze=False,
                                height_ratios=[3] + [1] * len(below))[:, 0]  # fmt: skip
        _axes(every[0], title).set_ylabel("median call of a slice")
        every[0].yaxis.set_major_formatter(lambda value, _: seconds(value))
        named: set[int] = set()
        for line, (i, row, record) in enumerate(lines):
            colour, dash = _look(i)
            at = [begun - record.slices_at_s[0] for begun in record.slices_at_s]
            label = None if i in named else _name(row)
            named.add(i)
            every[0].plot(at, [median(part) / 1e9 for part in record.slices_ns], color=colour,
                          ls=dash, lw=1.2, gid=f"line{line}", label=label)  # fmt: skip
            for axes, (_, name) in zip(every[1:], below, strict=True):
                told = [(t, v) for t, x in zip(at, record.readings, strict=False)
                        if (v := getattr(x, name)) is not None]  # fmt: skip
                axes.plot([t for t, _ in told], [v for _, v in told], color=colour, ls=dash, lw=1.0)
        for axes, (label, _) in zip(every[1:], below, strict=True):
            _axes(axes, "").set_ylabel(label)
        every[0].set_ylim(0, 1.1 * every[0].dataLim.y1)
        every[-1].set_xlabel("seconds since the visit began")
        _legend(figure, every[0])

    tips = [f"{_name(row)}, visit {record.block}: {_slower(record)}" for _, row, record in lines]
    return _figure.render(title, (10.4, 4.4 + 1.2 * len(below)), draw, "line", tips)


def _slower(record: Record) -> str:
    first, last = _scenarios.burst_s(record), _scenarios.sustained_s(record)
    return f"{seconds(first)}, at the end {seconds(last)} ({number(last / first)}×)"


def _look(i: int) -> tuple[str, Any]:
    return COLOURS[i % len(COLOURS)], _DASHES[i // len(COLOURS) % len(_DASHES)]


def _name(row: Row) -> str:
    """A line's name: without the batch, which is an axis."""
    place = place_label(row.group._replace(scenario=""))
    place = place.replace(f", batch {row.batch}", "", 1)
    return f"{clean(row.model, 40)} {clean(row.recipe, 40)} · {place}"


def _axes(axes: Axes, title: str) -> Axes:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=12)
    axes.grid(color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles[:_MOST], names[:_MOST], loc="outside lower left", ncols=2, frameon=False,
                  fontsize=8.5, labelcolor=INK)  # fmt: skip
