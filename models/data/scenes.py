"""Seeded pictures of one of twelve shapes in clutter, 96x96: the project's own data set.

Every picture is a function of (VERSION, split, index) and of nothing else: the splits never
overlap, and picture i is the same whether one picture is asked for or ten thousand.
A picture is a textured background, small shapes and strokes as clutter, one large target
shape (the label), up to two bars over it, a lighting gradient and pixel noise. Only the bit stream
of PCG64 is used, which numpy keeps fixed; sines and small matrix products may differ in the last
bit between processors, so a pixel may rarely differ by 1 there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _files
from paretomark.models.data._data import Examples, Split
from paretomark.models.data._shapes import SHAPES, Plane
from paretomark.suites.spec._model import Preprocess

VERSION = 1
SIDE = 96
CLASSES = tuple(SHAPES)
TASKS = ("classification", "segmentation", "keypoints")
POINTS = ("centre", "top", "left", "bottom", "right")
MIRRORED = (0, 1, 4, 3, 2)  # left and right change places in a mirrored picture
SIZES: dict[Split, int] = {"train": 16_000, "calibration": 512, "test": 2_000}
_IDS: dict[Split, int] = {"train": 0, "calibration": 1, "test": 2}

# The difficulty: chosen so that nets of 3 to 35 million multiply-adds differ in accuracy.
_CONTRAST = 100.0
_MUTE = 0.4  # how colourful background and clutter are
_RADII = (16.0, 40.0)
_NOISE = (2.0, 14.0)
_TURN = math.pi / 4  # shapes are turned by up to this angle either way
_SEEN = 0.75  # at least this share of the target stays in view

_GRID = np.arange(SIDE, dtype=np.float32) + np.float32(0.5)
_X, _Y = np.meshgrid(_GRID, _GRID)


@dataclass(frozen=True)
class Scenes:
    """The same pictures, annotated for three tasks.

    images     uint8 (N, 96, 96, 3), RGB
    labels     int64 (N,), index into CLASSES
    masks      uint8 (N, 96, 96): label + 1 where the target is seen, 0 elsewhere (background,
               clutter, and the bars in front of the target)
    keypoints  float32 (N, 5, 3): x, y in pixels (the centre of the top left pixel is 0.5, 0.5)
               and visibility as in COCO: 2, or 1 where a bar hides it. In the order of POINTS:
               the centroid of the whole target, and its extreme points (Zhou et al., "Bottom-up
               object detection by grouping extreme and center points", 2019), which are defined
               for every shape whatever its symmetry; a flat extreme counts at its middle.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]
    keypoints: NDArray[np.float32]


def _pick(rng: np.random.Generator, count: int) -> int:
    return int(rng.random() * count)


def _texture(rng: np.random.Generator) -> Plane:
    """A field in 0..1, (96, 96): cloudy, striped, or both."""
    cells = 3 + _pick(rng, 10)
    at = np.linspace(0, cells - 1, SIDE, dtype=np.float32)[:, None]
    weights = np.maximum(0, 1 - np.abs(at - np.arange(cells, dtype=np.float32)))  # bilinear
    cloud: Plane = weights @ rng.random((cells, cells)).astype(np.float32) @ weights.T
    kind = _pick(rng, 3)
    if kind == 0:
        return cloud
    angle, pitch, phase = rng.random(3) * (math.pi, 0.6, 2 * math.pi)
    pitch += 0.2
    wave = np.sin(
        np.float32(pitch * math.cos(angle)) * _X
        + np.float32(pitch * math.sin(angle)) * _Y
        + np.float32(phase)
    )
    stripes: Plane = np.clip(0.5 + wave, 0, 1)
    return stripes if kind == 1 else (cloud + stripes) / 2


def _paint(image: Plane, cover: Plane, window: tuple[slice, slice], colour: Plane) -> None:
    """Blend `colour`, broadcastable to (3, h, w), into the window of `image` (3, 96, 96)."""
    part = image[:, window[0], window[1]]
    part += cover * (colour - part)


def _window(x: float, y: float, reach: float) -> tuple[slice, slice]:
    def span(at: float) -> slice:
        return slice(max(0, math.floor(at - reach)), min(SIDE, math.ceil(at + reach)))

    return span(y), span(x)


def _shape(
    rng: np.random.Generator, label: int, x: float, y: float, radius: float
) -> tuple[Plane, tuple[slice, slice]]:
    """The coverage 0..1 of a shape, turned, mirrored and squeezed at random, and its window."""
    angle, squeeze, mirror, v = rng.random(4)
    window = _window(x, y, radius * 1.3 + 1)
    dx, dy = _X[window] - np.float32(x), _Y[window] - np.float32(y)
    turn = _TURN * (2 * angle - 1)
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    along = (cos * dx + sin * dy) / np.float32(radius if mirror < 0.5 else -radius)
    across = (cos * dy - sin * dx) / np.float32(radius * (0.75 + 0.25 * squeeze))
    distance = SHAPES[CLASSES[label]](along, across, float(v))
    cover: Plane = np.clip(0.5 - distance * np.float32(radius), 0, 1)
    return cover, window


def _bar(
    rng: np.random.Generator, x: float, y: float, half_length: float, half_width: float
) -> tuple[Plane, tuple[slice, slice]]:
    """The coverage of a bar with round ends through (x, y), and its window."""
    angle = rng.random() * math.pi
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    window = _window(x, y, half_length + half_width + 1)
    dx, dy = _X[window] - np.float32(x), _Y[window] - np.float32(y)
    along = np.maximum(np.abs(cos * dx + sin * dy) - np.float32(half_length), 0)
    distance = np.hypot(along, cos * dy - sin * dx) - np.float32(half_width)
    cover: Plane = np.clip(0.5 - distance, 0, 1)
    return cover, window


def _colour(rng: np.random.Generator, unlike: Plane | None = None) -> Plane:
    """A colour (3, 1, 1) in 0..255; the first of eight that is far enough from `unlike`."""
    drawn = (rng.random((8, 3)) * 255).astype(np.float32)
    best = 0
    if unlike is not None:
        gaps = np.sqrt(np.square(drawn - unlike.reshape(3)).sum(1))
        far = np.flatnonzero(gaps > _CONTRAST)
        best = int(far[0] if len(far) else gaps.argmax())
    colour: Plane = drawn[best].reshape(3, 1, 1)
    return colour


def _muted(colour: Plane) -> Plane:
    muted: Plane = 127 + _MUTE * (colour - 127)
    return muted


def _extremes(whole: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Centroid and extreme points, (x, y) in the order of POINTS, of a silhouette."""
    rows, columns = np.nonzero(whole)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    return [
        (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5),
        (float(columns[rows == top].mean()) + 0.5, float(top) + 0.5),
        (float(left) + 0.5, float(rows[columns == left].mean()) + 0.5),
        (float(columns[rows == bottom].mean()) + 0.5, float(bottom) + 0.5),
        (float(right) + 0.5, float(rows[columns == right].mean()) + 0.5),
    ]


def _scene(
    split: Split, index: int
) -> tuple[NDArray[np.uint8], int, NDArray[np.uint8], list[tuple[float, float, float]]]:
    rng = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([VERSION, _IDS[split], index]))
    )
    label = _pick(rng, len(CLASSES))
    first, second = _muted(_colour(rng)), _muted(_colour(rng))
    ground = first + (second - first) * np.float32(rng.random())
    image: Plane = first + (ground - first) * _texture(rng)

    for _ in range(1 + _pick(rng, 4)):
        x, y, size, kind = rng.random(4) * (SIDE, SIDE, 1, 2)
        if kind < 1:
            cover, window = _shape(rng, _pick(rng, len(CLASSES)), x, y, 3 + 4 * size)
        else:
            cover, window = _bar(rng, x, y, 4 + 14 * size, 1 + size)
        _paint(image, cover, window, _muted(_colour(rng)))

    radius = _RADII[0] + (_RADII[1] - _RADII[0]) * rng.random()
    x, y = radius + 1 + rng.random(2) * (SIDE - 2 * radius - 2)
    cover, window = _shape(rng, label, x, y, radius)
    fill = _colour(rng, image.mean((1, 2)))
    shade = _colour(rng) - fill
    _paint(image, cover, window, fill + 0.35 * shade * _texture(rng)[window])
    whole = np.zeros((SIDE, SIDE), bool)
    whole[window] = cover > 0.5

    seen = whole.copy()
    for _ in range(_pick(rng, 3)):
        turn, out, length, width = rng.random(4) * (2 * math.pi, radius, 1, 1)
        bar_x, bar_y = x + out * math.cos(turn), y + out * math.sin(turn)
        cover, window = _bar(rng, bar_x, bar_y, radius * (0.3 + length), 2 + radius * width / 5)
        colour = _colour(rng)
        left = seen.copy()
        left[window] &= cover <= 0.5
        if left.sum() >= _SEEN * whole.sum():
            seen = left
            _paint(image, cover, window, colour)
    hidden = whole & ~seen

    angle, slope, sigma = rng.random(3) * (2 * math.pi, 0.5, 1)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    ramp = (_X - SIDE / 2) * cos + (_Y - SIDE / 2) * sin
    image *= 1 + ramp * np.float32(slope / SIDE)
    # The sum of four bytes is near enough to normal: mean 510, standard deviation 147.8.
    drawn = np.frombuffer(rng.bytes(4 * image.size), np.uint8).reshape(4, *image.shape)
    noise = drawn.sum(0, dtype=np.uint16).astype(np.float32) - 510
    image += noise * np.float32((_NOISE[0] + (_NOISE[1] - _NOISE[0]) * sigma) / 147.8)
    pixels = np.rint(np.clip(image, 0, 255)).astype(np.uint8).transpose(1, 2, 0)
    points = [(px, py, 1.0 if hidden[int(py), int(px)] else 2.0) for px, py in _extremes(whole)]
    return pixels, label, seen.astype(np.uint8) * np.uint8(label + 1), points


def generate(split: Split, count: int, start: int = 0) -> Scenes:
    """Draw pictures `start` to `start + count` of a split, with annotations (see Scenes)."""
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    masks = np.empty((count, SIDE, SIDE), np.uint8)
    keypoints = np.empty((count, len(POINTS), 3), np.float32)
    for i in range(count):
        images[i], labels[i], masks[i], keypoints[i] = _scene(split, start + i)
    return Scenes(images, labels, masks, keypoints)


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "classification",
) -> Examples:
    """Return pictures uint8 (N, 96, 96, 3), or resized as `preprocess` says; `count` may exceed
    SIZES."""
    scenes = generate(split, SIZES[split] if count is None else count)
    labels: NDArray[Any] = scenes.labels
    if task == "segmentation":
        labels = scenes.masks
    elif task == "keypoints":
        labels = scenes.keypoints
    images = scenes.images
    if preprocess is not None and (*preprocess.size, preprocess.crop or 1) != (SIDE, SIDE, 1):
        pictures = [_files.resized(Image.fromarray(image), preprocess) for image in images]
        if task == "segmentation":
            masks = [_files.resized_mask(Image.fromarray(m), preprocess) for m in labels]
            labels = np.stack([np.asarray(mask) for mask in masks])
        elif task == "keypoints":
            labels = np.stack([_files.moved(p, (SIDE, SIDE), preprocess) for p in labels])
        images = np.stack([np.asarray(picture) for picture in pictures])
    return Examples(images, labels, MIRRORED if task == "keypoints" else ())
