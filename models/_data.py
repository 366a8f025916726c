"""Data sets: pictures with labels, and how a net wants to see them.

A data set is a plug-in, one file in `models/data/`, named in suites as `scenes` or, with
its argument, `imagefolder:PATH`. It has one function:

    load(split, count, size, argument) -> Examples

which is deterministic, reads no more than it needs, and imports no deep-learning package:
the process that times a device must stay small. One that may lack splits says which it has:

    splits(argument) -> tuple[Split, ...]         optional; raises UserError for missing data
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paretomark.suites._errors import UserError, unknown

Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = ("train", "calibration", "test")


@dataclass(frozen=True)
class Preprocess:
    """How a picture (uint8, RGB) becomes the input of a net.

    The picture is scaled so that `crop` of its shorter side covers `size`, and cut to the centre;
    `crop=None` squashes the whole picture to `size` instead. Then, per channel in the order
    `order`: (pixel - mean) / std, with pixels in 0..255.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (255.0, 255.0, 255.0)
    order: Literal["rgb", "bgr"] = "rgb"
    crop: float | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    def normalise(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB pictures (N, H, W, C) to the float input of the net, still (N, H, W, C)."""
        pixels = images[..., ::-1] if self.order == "bgr" else images
        mean = np.asarray(self.mean, np.float32)
        std = np.asarray(self.std, np.float32)
        return np.ascontiguousarray((pixels.astype(np.float32) - mean) / std)


@dataclass(frozen=True)
class Examples:
    """`images` uint8 (N, H, W, C), C = 3 (RGB) or 1; `labels` int64 (N,), 0-based class indices."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def names() -> list[str]:
    """The data sets there are: the files of `models/data/`."""
    return sorted(p.stem for p in (Path(__file__).parent / "data").glob("[!_]*.py"))


def public(spec: str) -> str:
    """The name of a data set without the path that it has on this machine."""
    name, colon, path = spec.partition(":")
    return f"{name}:{Path(path).name}" if colon else name


def splits(spec: str) -> tuple[Split, ...]:
    """The splits that a data set has, without reading its pictures.

    Raises UserError for an unknown data set or missing data.
    """
    plugin, argument = _plugin(spec)
    found: tuple[Split, ...] = plugin.splits(argument) if hasattr(plugin, "splits") else SPLITS
    return found


def _plugin(spec: str) -> tuple[ModuleType, str]:
    name, _, argument = spec.partition(":")
    if name not in names():
        raise unknown("data set", name, names())
    return importlib.import_module(f"paretomark.models.data.{name}"), argument


def load(
    spec: str,
    split: Split,
    count: int | None = None,
    preprocess: Preprocess | None = None,
) -> Examples:
    """The first `count` examples (None: all) of a split of the data set `spec`, at the net's size.

    Raises UserError for an unknown data set, a missing folder, or too few pictures.
    """
    plugin, argument = _plugin(spec)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    examples: Examples = plugin.load(split, count, preprocess, argument)
    if not len(examples.labels):
        raise UserError(f"data set '{spec}' has no pictures in its {split} split")
    return examples
