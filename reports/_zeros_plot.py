"""What pruning brought over how much was pruned: speed as measured beside speed in theory, and
accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretomark.reports import _figure
from paretomark.reports._figure import COLOURS, INK, LINE, Plot
from paretomark.reports._text import clean, number, percent, place_label, points
from paretomark.suites.records import _scores, _sparsity
from paretomark.suites.records._row import Row
from paretomark.suites.records._stats import Difference, Ratio
from paretomark.suites.records._summary import Summary, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "zeros"
TITLE = "Speed and accuracy over sparsity"
_MARKERS = "osD^vP*X"
MOST = 0.98  # of sparsity, up to which the speed of theory is drawn


@dataclass(frozen=True)
class Pruned:
    """A pruned row, and how it lies to the same net with all its weights in the same place."""

    row: Row
    share: float  # of its parameters that are zero
    speed: Ratio
    drop: Difference | None

    @property
    def line(self) -> tuple[str, str, str]:
        """What may be joined by a line: net, precision and place."""
        return clean(self.row.model), clean(self.row.precision), place_label(self.row.group)


def pruned(summary: Summary) -> list[Pruned]:
    """Return the pruned rows that can be compared, by line and sparsity."""
    whole = {(r.model, r.precision, *r.group): r for r in summary.rows if r.steps == "" and r.sound}
    found = []
    for row in summary.rows:
        twin = whole.get((row.model, row.precision, *row.group))
        if not row.zeros or row.sparsity is None or twin is None or not row.sound:
            continue
        speed = ratio(row, twin, summary.visits)
        if speed is not None:
            of_both = (summary.visits[each.cell].outcomes for each in (twin, row))
            found.append(Pruned(row, row.sparsity, speed, _scores.difference(*of_both)))
    return sorted(found, key=lambda p: (p.line, p.share))


def plot(summary: Summary) -> Plot | None:
    """Draw them; None where nothing was pruned."""
    found = pruned(summary)
    if not found:
        return None

    def draw(figure: Figure) -> None:
        _draw(figure, found)

    tips, cells = [_tip(p) for p in found], [clean(p.row.cell) for p in found]
    return _figure.render(TITLE, (10.4, 6.6), draw, "zeros", tips, cells, [True] * len(found))


def _tip(p: Pruned) -> str:
    low, high = number(p.speed.low), number(p.speed.high)
    told = f"{clean(p.row.model)} · {clean(p.row.recipe)} · {place_label(p.row.group)}: "
    told += f"{percent(p.share, 0)} zeros, {number(p.speed.value)} times as fast [{low}, {high}]"
    if p.drop:
        told += f", {points(p.drop.value)} points"
    return f"{told}; {clean(p.row.zeros)}"


def _draw(figure: Figure, found: Sequence[Pruned]) -> None:
    speed, accuracy = figure.subplots(2, 1, sharex=True)
    speed.set_title(TITLE, loc="left", fontsize=11, fontweight="bold", pad=12)
    places = sorted({p.line[2] for p in found})
    nets = sorted({p.line[:2] for p in found})
    for line in dict.fromkeys(p.line for p in found):
        members = [(i, p) for i, p in enumerate(found) if p.line == line]
        look: dict[str, Any] = {
            "color": COLOURS[places.index(line[2]) % len(COLOURS)],
            "marker": _MARKERS[nets.index(line[:2]) % len(_MARKERS)],
        }
        _line(speed, accuracy, members, look)
    _theory(speed, max(p.speed.high for p in found))
    for axes, title in ((speed, "times as fast"), (accuracy, "accuracy lost or won, points")):
        axes.set_ylabel(title)
        axes.grid(color=LINE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
    accuracy.axhline(0, color=INK, lw=0.8)
    accuracy.set_xlim(0, 1)
    accuracy.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    accuracy.set_xlabel("zeros among the parameters of the net")
    _legend(figure, places, nets)


def _line(
    speed: Axes, accuracy: Axes, members: Sequence[tuple[int, Pruned]], look: dict[str, Any]
) -> None:
    colour = look["color"]
    shares = [0.0, *(p.share for _, p in members)]
    speed.plot(shares, [1.0, *(p.speed.value for _, p in members)], color=colour, lw=1, alpha=0.5)
    scored = [(p.share, p.drop) for _, p in members if p.drop]
    accuracy.plot(
        [0.0, *(share for share, _ in scored)],
        [0.0, *(100 * drop.value for _, drop in scored)],
        color=colour, lw=1, alpha=0.5,
    )  # fmt: skip
    for i, p in members:
        bar: dict[str, Any] = {"color": colour, "lw": 1, "alpha": 0.5}
        speed.plot([p.share] * 2, [p.speed.low, p.speed.high], **bar)
        speed.plot([p.share], [p.speed.value], gid=f"zeros{i}", ls="", ms=6, **look)
        if p.drop:
            accuracy.plot([p.share] * 2, [100 * p.drop.low, 100 * p.drop.high], **bar)
            accuracy.plot([p.share], [100 * p.drop.value], ls="", ms=6, **look)


def _theory(axes: Axes, reached: float) -> None:
    """What speed would be if zeros cost nothing, and from where on it is a gain."""
    shares = [MOST * i / 100 for i in range(101)]
    axes.plot(shares, [1 / (1 - s) for s in shares], color=INK, lw=1.2, ls=(0, (1, 1.8)))
    axes.axhline(_sparsity.GAIN, color=INK, lw=0.8, ls=(0, (6, 2)))
    axes.set_ylim(0, max(2.5, 1.15 * reached))


def _legend(figure: Figure, places: Sequence[str], nets: Sequence[tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=2, label=place)
        for i, place in enumerate(places)
    ]
    lines += [
        Line2D([], [], color=INK, ls="", marker=_MARKERS[i % len(_MARKERS)], label=" ".join(net))
        for i, net in enumerate(nets)
    ]
    lines += [
        Line2D([], [], color=INK, ls=(0, (1, 1.8)), label="if zeros cost nothing"),
        Line2D([], [], color=INK, ls=(0, (6, 2)), label=f"a gain: {_sparsity.GAIN:g} times"),
    ]
    figure.legend(handles=lines, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5)
