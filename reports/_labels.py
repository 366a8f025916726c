"""Names beside points, where there is room for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretomark.reports._figure import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEAR = 28  # points; a label farther off gets a line to its point
# where a label may stand, in points from its point: best first, then farther and farther
_OFFSETS = tuple(
    (dx * r, dy * r, side)
    for r in (1.0, 1.6, 2.4, 3.4, 4.6)
    for dx, dy, side in ((-8, 7, "right"), (9, -8, "left"), (8, 8, "left"), (-9, -8, "right"),
                         (0, 13, "center"), (0, -13, "center"))
)  # fmt: skip


@dataclass(frozen=True)
class Label:
    """A name for the point (x, y), in units of the axes, whose mark reaches `beside` points out."""

    text: str
    x: float
    y: float
    beside: float = 0.0


def square(centre: Any, side: float) -> Any:
    """Return the box of this side, in pixels, around a point."""
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(centre[0] - side / 2, centre[1] - side / 2, side, side)


def write(figure: Figure, axes: Axes, labels: Iterable[Label], taken: Sequence[Any]) -> None:
    """Write the labels in turn; one that finds no place is left out, and named by its tip only.

    `taken` are boxes in pixels that stay free of labels, and the figure must have been drawn.
    """
    from matplotlib.transforms import Bbox

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # of the Agg canvas
    area, scale = axes.get_window_extent(renderer), figure.dpi / 72
    taken = list(taken)
    for label in labels:
        text = axes.annotate(
            label.text, (label.x, label.y), (0, 0), textcoords="offset points",
            fontsize=7.5, va="center", zorder=5,
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.5, "alpha": 0.4, "shrinkB": 4},
        )  # fmt: skip
        text.set_in_layout(False)  # or the axes would move away under the labels
        box = text.get_window_extent(renderer).expanded(1.08, 1.05)  # fonts of a page differ
        left, below = axes.transData.transform((label.x, label.y))
        for dx, dy, side in _OFFSETS:
            dx += math.copysign(label.beside, dx) if dx else 0
            dy += math.copysign(label.beside, dy) if not dx else 0
            shift = {"left": 0.0, "center": -box.width / 2, "right": -box.width}[side]
            x, y = left + dx * scale + shift, below + dy * scale - box.height / 2
            spot = Bbox.from_bounds(x, y, box.width, box.height)
            inside = area.x0 <= spot.x0 and spot.x1 <= area.x1 and area.y0 <= spot.y0 <= area.y1
            if inside and not any(spot.overlaps(other) for other in taken):
                text.set(position=(dx, dy), ha=side)
                if text.arrow_patch is not None:
                    text.arrow_patch.set_visible(abs(dx) + abs(dy) > NEAR + label.beside)
                taken.append(spot)
                break
        else:
            text.remove()
