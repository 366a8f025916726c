"""A contact sheet: the first pictures as a net is given them, with labels and answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices.measure._look import VOID, ModelLook, Seen
from paretomark.reports import _figure, _text
from paretomark.reports._figure import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, SIDE = 4, 2.1  # of pictures, and inches of one
CAPTION, NAME = 105, 28  # letters of a line
GOOD, BAD, TRUTH = COLOURS[2], COLOURS[1], COLOURS[2]
MARKS = {True: "✓", False: "✗", None: ""}


def png(look: ModelLook, seen: Seen, words: Sequence[tuple[str, str, bool | None]]) -> bytes:
    """Draw the pictures of a model, `words` being label, answer, and whether it is right."""
    lines = textwrap.wrap(caption(look, seen), CAPTION)
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
            _words(place, words[i])

    size = COLUMNS * SIDE, rows * (SIDE + 0.4) + 0.3 + 0.16 * len(lines)
    return _figure.render(title, size, draw, "picture", ()).png


def caption(look: ModelLook, seen: Seen) -> str:
    """Say what the net is given, in numbers, and how it is drawn."""
    preprocess = look.preprocess
    assert preprocess is not None
    what = f"input {seen.dtype} {seen.shape}" if seen.shape else "no cell got pictures; prepared"
    parts = [what, f"values {_number(seen.least)} … {_number(seen.most)}"]
    low, high = float(seen.values.min()), float(seen.values.max())
    if abs(low - seen.least) + abs(high - seen.most) > 1e-6 * (high - low):
        parts.append(f"which mean {_number(low)} … {_number(high)}")
    parts += [f"order {preprocess.order}"] if seen.values.shape[3] > 1 else ["grey"]
    for name, each in (("mean", preprocess.mean), ("std", preprocess.std)):
        parts.append(f"{name} {', '.join(f'{value:g}' for value in dict.fromkeys(each))}")
        if len(set(each)) > 1:
            parts[-1] = f"{name} {', '.join(f'{value:g}' for value in each)}"
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


def _number(value: float) -> str:
    text = f"{value:.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.2f}"
    return text.replace("-", "−")


def _words(place: Axes, words: tuple[str, str, bool | None]) -> None:
    label, told, right = words
    lines = [f"is {_text.clean(label, NAME)}" if label else ""]
    lines.append(f"told {_text.clean(told, NAME)} {MARKS[right]}".rstrip() if told else "")
    colour = {True: GOOD, False: BAD, None: INK}[right]
    place.set_xlabel("\n".join(filter(None, lines)), fontsize=8, color=colour)


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
