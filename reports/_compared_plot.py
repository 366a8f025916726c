"""The fronts of two runs over each other: before is hollow and dashed, after is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paretomark.reports import _figure, _plot, _text
from paretomark.reports._compared import Compared
from paretomark.reports._compared_lines import is_change
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.suites.records._row import Group, Row
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 300  # points that are not on a front; those that are, and that changed, are all there


def fronts(compared: Compared) -> dict[tuple[str, str], Plot]:
    """Draw the fronts of both runs, a plot for each data set and task; those that both have."""
    groups = [moved.group for moved in compared.fronts]
    kinds = dict.fromkeys((group.data, group.task) for group in groups)
    return {
        kind: _drawn(compared, [g for g in groups if (g.data, g.task) == kind], kind)
        for kind in kinds
    }


def _drawn(compared: Compared, groups: Sequence[Group], kind: tuple[str, str]) -> Plot:
    """One plot. Latencies of the second run are drawn without what all cells have in common; what
    lies below the fronts by far is not drawn."""
    wanted = set(groups)
    changed = {v.cell for v in compared.comparison.verdicts if is_change(v)}
    changed |= {v.cell_b for v in compared.comparison.verdicts if is_change(v) and v.cell_b}
    shift = compared.comparison.common.ratio.value if compared.comparison.common.known else 1.0
    sides = [
        [r for r in summary.rows if r.group in wanted and r.sound and r.latency_s and r.accuracy]
        for summary in (compared.a, compared.b)
    ]
    shown = [
        [row for i, row in enumerate(rows) if row.on_front or row.cell in changed or i < MOST]
        for rows in sides
    ]
    colours = {g: COLOURS[i % len(COLOURS)] for i, g in enumerate(sorted(wanted))}
    tips = [
        f"{when}: {_text.clean(row.cell)}: {_text.percent(row.accuracy)} in "
        f"{_text.seconds(row.latency_s)}"
        for when, rows in zip(("before", "after"), shown, strict=True)
        for row in rows
    ]
    title = f"before and after on {kind[0]}" if kind[0] else "before and after"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_title(_text.clean(title, 80), loc="left", fontsize=11, fontweight="bold", pad=12)
        axes.set_xscale("log")
        count = 0
        for after, rows in enumerate(shown):
            for row in rows:
                _point(axes, row, bool(after), colours, shift, f"point{count}")
                count += 1
        _arrows(axes, compared, shown, shift)
        _figure.log_ticks(axes.xaxis, _text.seconds)
        axes.yaxis.set_major_formatter(lambda a, _: f"{a * 100:g} %")
        axes.set_xlabel("latency of one call (log scale, faster is to the left)")
        axes.set_ylabel(_task.axis(kind[1]))
        axes.grid(color=LINE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
        top = axes.get_ylim()[1]
        edge = _plot.lower_edge([*sides[0], *sides[1]])
        axes.set_ylim(edge or max(axes.get_ylim()[0], -0.02), min(top, 1.02))
        right = axes.get_xlim()[1]
        for after, rows in enumerate(sides):
            for group in sorted(wanted):
                _front(axes, [r for r in rows if r.group == group], bool(after), colours, shift)
        axes.set_xlim(right=right)
        _legend(axes, colours)

    return _figure.render(title, (10.4, 6.0), draw, "point", tips)


def _point(
    axes: Axes, row: Row, after: bool, colours: Mapping[Group, str], shift: float, name: str
) -> None:
    strong = row.on_front
    axes.plot(
        [(row.latency_s or 0) / (shift if after else 1.0)],
        [row.accuracy or 0],
        gid=name,
        ls="",
        marker="o",
        ms=7 if strong else 4.5,
        mew=1.3,
        mec=colours[row.group],
        mfc=colours[row.group] if after else "none",
        alpha=1 if strong else 0.4,
        zorder=4 if strong else 3,
    )


def _arrows(axes: Axes, compared: Compared, shown: Sequence[Sequence[Row]], shift: float) -> None:
    """From before to after, of cells that are proven to have changed."""
    before, after = ({row.cell: row for row in rows} for rows in shown)
    for v in compared.comparison.verdicts:
        one, other = before.get(v.cell), after.get(v.cell_b or v.cell)
        if is_change(v) and one and other:
            axes.annotate(
                "",
                xytext=(one.latency_s or 0, one.accuracy or 0),
                xy=((other.latency_s or 0) / shift, other.accuracy or 0),
                arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.2},
                zorder=6,
            )


def _front(
    axes: Axes, rows: Sequence[Row], after: bool, colours: Mapping[Group, str], shift: float
) -> None:
    front = sorted((r.latency_s or 0, r.accuracy or 0) for r in rows if r.on_front)
    if not front:
        return
    x, y = zip(*front, (axes.get_xlim()[1] * shift, front[-1][1]), strict=True)
    axes.plot(
        [t / (shift if after else 1.0) for t in x],
        y,
        drawstyle="steps-post",
        color=colours[rows[0].group],
        lw=1.6 if after else 1.2,
        ls="-" if after else (0, (4, 3)),
        alpha=0.9 if after else 0.6,
        zorder=2,
    )


def _legend(axes: Axes, colours: Mapping[Group, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, lw=2, label=_text.place_label(group))
        for group, colour in colours.items()
    ]
    dashed = {"color": INK, "ls": (0, (4, 3)), "marker": "o", "mfc": "none", "ms": 6}
    lines.append(Line2D([], [], label="before", **dashed))  # type: ignore[arg-type]
    lines.append(Line2D([], [], color=INK, marker="o", ms=6, label="after"))
    axes.figure.legend(
        handles=lines, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5
    )
