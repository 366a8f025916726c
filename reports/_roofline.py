"""Two pictures of a profile: the roofline, and time by layer. Colour is the kind of operator.

The roofline (Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 2009) sets the FLOP/s of an operator against its FLOP per byte,
under what the machine does at best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretomark.devices.measure._peak import Peaks
from paretomark.reports import _figure, _labels
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.reports._labels import Label, square
from paretomark.reports._operator_lines import Line, short
from paretomark.reports._text import clean, number, percent, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHER = "other kinds"
_COLOURS, _REST = COLOURS[:7], COLOURS[7]
_MAX_LABELS, _MAX_BARS, _MAX_NAME = 8, 60, 36


def roofline(lines: Sequence[Line], peaks: Peaks, title: str, precision: str) -> Plot | None:
    """Draw the operators that multiply under the machine's roofs; None if there is no such one."""
    points = [line for line in lines if line.flop_per_s and line.flop_per_byte]
    if not points:
        return None
    colours = _colours(lines)

    def draw(figure: Figure) -> None:
        _draw_roofline(figure, points, peaks, colours, title, precision)

    return _figure.render(title, (10.4, 6.0), draw, "mark", [_tip(p) for p in points])


def times(lines: Sequence[Line], title: str) -> Plot:
    """Draw a bar per operator, in order of running; of many, the slowest ones."""
    kept = sorted(range(len(lines)), key=lambda i: -lines[i].ns)[:_MAX_BARS]
    bars = [lines[i] for i in sorted(kept)]
    colours = _colours(lines)

    def draw(figure: Figure) -> None:
        _draw_times(figure, bars, len(lines), colours, title)

    size = (10.4, 1.3 + 0.19 * len(bars))
    return _figure.render(title, size, draw, "mark", [_tip(bar) for bar in bars])


def _tip(line: Line) -> str:
    tip = f"{line.position}: {clean(line.name)} ({clean(line.kind)}, {clean(line.unit)}): "
    tip += f"{seconds(line.ns / 1e9)}, {percent(line.share)} of the time"
    if line.flop_per_s and line.flop_per_byte:
        tip += (
            f", {number(line.flop_per_s / 1e9)} GFLOP/s at {number(line.flop_per_byte)} FLOP/byte"
        )
    return tip


def _colours(lines: Sequence[Line]) -> dict[str, str]:
    """A colour for each kind, the slowest first; those after the seventh share one."""
    spent: dict[str, float] = {}
    for line in lines:
        spent[line.kind] = spent.get(line.kind, 0) + line.ns
    ranked = sorted(spent, key=lambda kind: -spent[kind])
    return {kind: _COLOURS[i] if i < len(_COLOURS) else _REST for i, kind in enumerate(ranked)}


def _draw_roofline(
    figure: Figure, points: Sequence[Line], peaks: Peaks, colours: dict[str, str], title: str,
    precision: str,
) -> None:  # fmt: skip
    axes = _axes(figure, title, f"● area: share of the time. {_caveat(precision)}")
    x = [p.flop_per_byte or 0 for p in points]
    y = [(p.flop_per_s or 0) / 1e9 for p in points]
    top, slope = peaks.flop_per_s / 1e9, peaks.byte_per_s / 1e9
    ridge = top / slope
    left, right = min(*x, ridge / 8) / 1.6, max(*x, ridge * 4) * 1.6
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    axes.set_ylim(min(*y, slope * left * 4) / 1.8, max(*y, top) * 2)
    axes.plot([left, ridge, right], [slope * left, top, top], color=INK, lw=1.6, zorder=2)
    for i, (line, a, b) in enumerate(zip(points, x, y, strict=True)):
        axes.scatter(
            [a], [b], s=_side(line) ** 2, color=colours[line.kind], alpha=0.65, lw=0.8,
            edgecolor="white", gid=f"mark{i}", zorder=3,
        )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        _figure.log_ticks(axis, lambda v: f"{v:g}")
    axes.set_xlabel("arithmetic intensity, FLOP per byte (log scale)")
    axes.set_ylabel("GFLOP/s (log scale)")
    axes.grid(color=LINE, lw=0.6)
    _legend(figure, points, colours)
    figure.draw_without_rendering()
    _names(figure, axes, points, list(zip(x, y, strict=True)), peaks)


def _caveat(precision: str) -> str:
    text = "What a cache holds may lie above the slanted roof"
    if precision == "fp32":
        return text + "."
    return f"{text};\nthe flat one is that of float32: kernels of int8 or fp16 may lie above it."


def _axes(figure: Figure, title: str, note: str) -> Axes:
    axes = figure.add_subplot()
    pad = 24 + 10 * note.count("\n")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=pad)
    axes.annotate(
        note, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
        fontsize=8, alpha=0.8, va="bottom",
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return axes


def _legend(figure: Figure, lines: Sequence[Line], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    shown = {line.kind for line in lines}
    named = {kind: c for kind, c in colours.items() if kind in shown and c != _REST}
    if any(colours[kind] == _REST for kind in shown):
        named[OTHER] = _REST
    marks = [
        Line2D([], [], color=c, ls="", marker="o", ms=7, label=clean(kind, _MAX_NAME))
        for kind, c in named.items()
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=5, frameon=False, fontsize=8.5)


def _names(
    figure: Figure,
    axes: Axes,
    points: Sequence[Line],
    at: Sequence[tuple[float, float]],
    peaks: Peaks,
) -> None:
    """Name the roofs and, where a place is free, the slowest operators; tips name the others."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # of the Agg canvas
    pixels, scale = axes.transData.transform(at), figure.dpi / 72
    taken = [square(pixel, _side(p) * scale) for pixel, p in zip(pixels, points, strict=True)]
    taken += [text.get_window_extent(renderer) for text in _roof_names(axes, peaks)]
    taken += [square(pixel, 2 * scale) for pixel in _along_roof(axes, peaks)]
    slowest = sorted(range(len(points)), key=lambda i: -points[i].ns)[:_MAX_LABELS]
    named = [Label(_name(points[i]), *at[i], _side(points[i]) / 2 - 3) for i in slowest]
    _labels.write(figure, axes, named, taken)


def _name(line: Line) -> str:
    return f"{short(line.name, _MAX_NAME)} · {line.position}"


def _side(point: Line) -> float:
    """The diameter of its mark in points; a mark's area goes by the share of the time."""
    return math.sqrt(22 + 700 * point.share)


def _along_roof(axes: Axes, peaks: Peaks) -> Any:
    """Points on the roof, in pixels, close enough together that no label fits between them."""
    low, high = (math.log10(x) for x in axes.get_xlim())
    xs = [10 ** (low + (high - low) * i / 200) for i in range(201)]
    roof = [(x, min(peaks.flop_per_s, x * peaks.byte_per_s) / 1e9) for x in xs]
    return axes.transData.transform(roof)


def _roof_names(axes: Axes, peaks: Peaks) -> list[Any]:
    """What each roof is, written along it."""
    top, slope = peaks.flop_per_s / 1e9, peaks.byte_per_s / 1e9
    (left, right), bottom = axes.get_xlim(), axes.get_ylim()[0]
    threads = f"{peaks.threads} thread{'s'[: peaks.threads != 1]}"
    start = max(left, bottom / slope) * 1.1
    (x0, y0), (x1, y1) = axes.transData.transform([(start, slope * start), (top / slope, top)])
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8.5, "va": "bottom"}
    flat = axes.annotate(
        f"{number(top)} GFLOP/s: float32 matrix product, {threads}",
        (right, top), (-4, 3), ha="right", **style,
    )  # fmt: skip
    slant = axes.annotate(
        f"{number(slope)} GB/s: memory, STREAM {peaks.kernel}, {threads}",
        (start, slope * start), (-2, 3), ha="left", rotation_mode="anchor",
        rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)), **style,
    )  # fmt: skip
    for text in (flat, slant):
        text.set_in_layout(False)
    return [flat, slant]


def _draw_times(
    figure: Figure, bars: Sequence[Line], count: int, colours: dict[str, str], title: str
) -> None:
    note = "in order of running"
    if len(bars) < count:
        note += f"; the {len(bars)} slowest of {count}, {percent(sum(b.share for b in bars))}"
    axes = _axes(figure, title, note)
    for i, bar in enumerate(bars):
        axes.barh([i], [bar.ns / 1e9], color=colours[bar.kind], height=0.72, gid=f"mark{i}")
        axes.annotate(
            f"{seconds(bar.ns / 1e9)} · {percent(bar.share)}", (bar.ns / 1e9, i), (4, 0),
            textcoords="offset points", va="center", fontsize=7,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [_name(b) for b in bars], fontsize=7.5)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(b.ns for b in bars) / 1e9 * 1.14 or 1)
    axes.xaxis.set_major_formatter(lambda v, _: seconds(v))
    axes.set_xlabel("time of one inference")
    axes.grid(axis="x", color=LINE, lw=0.6)
    _legend(figure, bars, colours)
