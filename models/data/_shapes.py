"""The twelve shapes of `scenes`, as signed distances in the manner of Quilez's "2D distance
functions": negative inside, in units of the shape's radius, at (x, y) with y pointing down.

`v` in 0..1 varies the proportions. Near the edge they are distances closely enough to
antialias by; far from it they are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]
Shape = Callable[[Plane, Plane, float], Plane]


def _box(x: Plane, y: Plane, half_x: float, half_y: float) -> Plane:
    distance: Plane = np.maximum(np.abs(x) - half_x, np.abs(y) - half_y)
    return distance


def _disc(x: Plane, y: Plane, v: float) -> Plane:
    distance: Plane = np.hypot(x, y) - 1
    return distance


def _ring(x: Plane, y: Plane, v: float) -> Plane:
    half = 0.13 + 0.12 * v
    distance: Plane = np.abs(np.hypot(x, y) - (1 - half)) - half
    return distance


def _polygon(corners: int) -> Shape:
    sector = 2 * math.pi / corners

    def polygon(x: Plane, y: Plane, v: float) -> Plane:
        angle = np.mod(np.arctan2(y, x), sector) - sector / 2
        distance: Plane = np.hypot(x, y) * np.cos(angle) - math.cos(sector / 2)
        return distance

    return polygon


def _star(x: Plane, y: Plane, v: float) -> Plane:
    sector, inner = 2 * math.pi / 5, 0.4 + 0.15 * v
    angle = np.abs(np.mod(np.arctan2(y, x) + sector / 2, sector) - sector / 2)
    radius = np.hypot(x, y)
    rise, run = inner * math.sin(sector / 2), 1 - inner * math.cos(sector / 2)
    edge = (radius * np.cos(angle) - 1) * rise + radius * np.sin(angle) * run
    distance: Plane = edge / math.hypot(rise, run)
    return distance


def _cross(x: Plane, y: Plane, v: float) -> Plane:
    half = 0.2 + 0.15 * v
    distance: Plane = np.minimum(_box(x, y, 1, half), _box(x, y, half, 1))
    return distance


def _crescent(x: Plane, y: Plane, v: float) -> Plane:
    distance: Plane = np.maximum(np.hypot(x, y) - 1, 0.85 - np.hypot(x - (0.4 + 0.2 * v), y))
    return distance


def _heart(x: Plane, y: Plane, v: float) -> Plane:
    x, y, half = np.abs(x), y - 0.1, 0.8  # a diamond with a half disc on each upper edge
    diamond = (x + np.abs(y) - half) * math.sqrt(0.5)
    disc = np.hypot(x - half / 2, y + half / 2) - half * math.sqrt(0.5)
    distance: Plane = np.minimum(diamond, disc)
    return distance


def _arrow(x: Plane, y: Plane, v: float) -> Plane:
    head = np.maximum(0.1 - x, ((x - 1) * 0.64 + np.abs(y) * 0.77))
    distance: Plane = np.minimum(head, _box(x + 0.4, y, 0.6, 0.16 + 0.12 * v))
    return distance


def _ell(x: Plane, y: Plane, v: float) -> Plane:
    half = 0.16 + 0.1 * v
    foot = _box(x, y - 0.85 + half, 0.6, half)
    distance: Plane = np.minimum(_box(x + 0.6 - half, y, half, 0.85), foot)
    return distance


def _gear(x: Plane, y: Plane, v: float) -> Plane:
    radius = np.hypot(x, y)
    tooth = np.clip(2.5 * np.cos(8 * np.arctan2(y, x)), -1, 1)
    distance: Plane = np.maximum(0.6 * (radius - 0.86 - 0.14 * tooth), 0.35 * v - radius)
    return distance


SHAPES: dict[str, Shape] = {
    "disc": _disc,
    "ring": _ring,
    "triangle": _polygon(3),
    "square": _polygon(4),
    "pentagon": _polygon(5),
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "ell": _ell,
    "gear": _gear,
}
