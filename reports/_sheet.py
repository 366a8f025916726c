"""A contact sheet: the first pictures as a net is given them, with labels and answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretomark.devices.measure._look import VOID, ModelLook, Seen
from paretomark.reports import _figure, _text
from paretomark.reports._figure import COLOURS, INK
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, SIDE = 4, 2.1  # of pictures, and inches of one
DRAWN = {
    "segmentation": "Lines are around the truth, coloured is what the net told.",
    "keypoints": "Circles are the truth, crosses what the net told.",
}
CAPTION, NAME = 105, 28  # letters of a line
GOOD, BAD, TRUTH = COLOURS[2], COLOURS[1], COLOURS[2]
MARKS = {True: "✓", False: "✗", None: ""}


class Said(NamedTuple):
    """What is to be said of a picture; its score is from 0 to 1, None where it has none."""

    label: str
    told: str
    right: bool | None
    score: float | None


def png(look: ModelLook, seen: Seen, words: Sequence[Said]) -> bytes:
    """Draw the pictures of a model as it is given them, with words below each."""
    lines = textwrap.wrap(f"{caption(look, seen)} {DRAWN.get(look.task, '')}", CAPTION)
    rows = -(-len(seen.values) // COLUMNS)
    title = _text.clean(f"{look.model} · {look.data} · {look.task}")

    def draw(figure: Figure) -> None:
        figure.suptitle("\n".join([title, *lines]), fontsize=9, ha="left", x=0.01)
        axes = figure.subplots(rows, COLUMNS, squeeze=False)
        for place in axes.flat[len(seen.values) :]:
            place.set_axis_off()
        for i, place in enumerate(axes.flat[: len(seen.values)]):
            place.imshow(shades(seen)[i], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            place.autoscale(False)
            _answers(place, look, seen, i)
            _words(place, words[i], _task.metric(look.task))

    size = COLUMNS * SIDE, rows * (SIDE + 0.4) + 0.3 + 0.16 * len(lines)
    return _figure.render(title, size, draw, "picture", ()).png


def caption(look: ModelLook, seen: Seen) -> str:
    """Say what the net is given, in numbers, and how it is drawn."""
    preprocess = look.preprocess
    assert preprocess is not None
    given = f"input {seen.dtype} {seen.shape}"
    what = given if seen.shape else "no cell took the pictures, which as prepared have"
    parts = [what, f"values {_span(seen.least, seen.most)}"]
    low, high = float(seen.values.min()), float(seen.values.max())
    if abs(low - seen.least) + abs(high - seen.most) > 1e-6 * (high - low):
        parts.append(f"which mean {_span(low, high)}")
    parts += [f"order {preprocess.order}"] if seen.values.shape[3] > 1 else ["grey"]
    for name, each in (("mean", preprocess.mean), ("std", preprocess.std)):
        numbers = each if len(set(each)) > 1 else each[:1]
        parts.append(f"{name} {', '.join(f'{number:g}' for number in numbers)}")
    text = ", ".join(parts) + ". Drawn from the least value, black, to the greatest, white"
    if preprocess.order == "bgr" and seen.values.shape[3] > 1:
        text += ", in the order that the net gets: blue is drawn as red, and red as blue"
    return text + "."


def shades(seen: Seen) -> NDArray[np.uint8]:
    """Map the numbers of all pictures, (N, H, W, C), to 0..255: (N, H, W, 3), or (N, H, W)."""
    low, high = float(seen.values.min()), float(seen.values.max())
    scaled: NDArray[np.uint8] = np.rint(
        (seen.values - low) * (255 / max(high - low, 1e-12))
    ).astype(np.uint8)
    drawn: NDArray[np.uint8] = scaled[..., :3] if scaled.shape[3] >= 3 else scaled[..., 0]
    return drawn


def _span(low: float, high: float) -> str:
    places = 2 if max(abs(low), abs(high)) < 10 else 0
    return f"{low:.{places}f} … {high:.{places}f}".replace("-", "−")


def _words(place: Axes, said: Said, metric: str) -> None:
    lines = [f"is {_text.clean(said.label, NAME)}"] if said.label else []
    if said.told:
        lines.append(f"told {_text.clean(said.told, NAME)} {MARKS[said.right]}".rstrip())
    elif said.score is not None:
        lines.append(f"{metric} {_text.percent(said.score, 0)}")
    colour = {True: GOOD, False: BAD, None: INK}[said.right]
    place.set_xlabel("\n".join(lines), fontsize=8, color=colour)


def _answers(place: Axes, look: ModelLook, seen: Seen, i: int) -> None:
    """Draw truth and answer where they are places: masks and points."""
    if look.task == "segmentation":
        if seen.classes is not None:
            _areas(place, seen.classes[i])
        if look.labels is not None:
            _outlines(place, look.labels[i])
    elif look.task == "keypoints":
        height, width = seen.values.shape[1:3]
        if seen.answers is not None:
            x, y = (seen.answers[i].reshape(-1, 2) * (width, height) - 0.5).T
            place.plot(x, y, "x", color=BAD, markersize=5)
        if look.labels is not None:
            x, y = (look.labels[i][look.labels[i][:, 2] > 0, :2] - 0.5).T
            place.plot(x, y, "o", color=TRUTH, markersize=6, fillstyle="none")


def _areas(place: Axes, mask: NDArray[np.int64]) -> None:
    """Colour what was told to be a class other than 0."""
    from matplotlib.colors import to_rgba

    layer = np.zeros((*mask.shape, 4))
    for number in np.unique(mask[mask > 0]):
        layer[mask == number] = to_rgba(COLOURS[int(number) % len(COLOURS)], 0.45)
    place.imshow(layer, interpolation="nearest")


def _outlines(place: Axes, mask: NDArray[Any]) -> None:
    """Draw a line around each true class other than 0."""
    for number in np.unique(mask[(mask > 0) & (mask != VOID)]):
        colour = COLOURS[int(number) % len(COLOURS)]
        place.contour(mask == number, [0.5], colors=["white"], linewidths=2.4)
        place.contour(mask == number, [0.5], colors=[colour], linewidths=1.2)
