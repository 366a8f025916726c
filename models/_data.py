"""Data sets: pictures with labels, and how a net wants to see them.

A data set is a plug-in, one file in `models/data/`, named in suites as `scenes` or, with
its argument, `imagefolder:PATH`. It has one function:

    load(split, count, preprocess, argument) -> Examples

which is deterministic, reads no more than it needs, and imports no deep-learning package:
the process that times a device must stay small. One that may lack splits says which it has:

    splits(argument) -> tuple[Split, ...]         optional; raises UserError for missing data

One that is labelled for other tasks than classification says TASKS = ("segmentation", ...), and its
`load` takes a fifth argument, the task.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paretomark.suites._errors import UserError, unknown
from paretomark.suites._tasks import CLASSIFICATION

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
    """Pictures uint8 (N, H, W, C), C = 3 (RGB) or 1, and what is to be said of them.

    `labels` are, by the task,
        classification   int64 (N,), 0-based class indices
        segmentation     uint8 (N, H, W), 0-based class indices, 255 where there is no class
        keypoints        float32 (N, K, 3): x and y in pixels, the centre of the top left one being
                         0.5, 0.5, and visibility as in COCO: 0 not labelled, 1 hidden, 2 seen
    `mirrored` says which keypoint each one is in the mirrored picture (left hand, right hand).
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    mirrored: tuple[int, ...] = ()


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
    task: str = CLASSIFICATION,
) -> Examples:
    """The first `count` examples (None: all) of a split of the data set `spec`, at the net's size.

    Raises UserError for an unknown data set, one without labels for the task, a missing folder, or
    too few pictures.
    """
    plugin, argument = _plugin(spec)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    known = getattr(plugin, "TASKS", (CLASSIFICATION,))
    if task not in known:
        name = spec.partition(":")[0]
        raise UserError(f"data set '{name}' is labelled for {' and '.join(known)}, not for {task}")
    further = () if known == (CLASSIFICATION,) else (task,)
    examples: Examples = plugin.load(split, count, preprocess, argument, *further)
    if not len(examples.labels):
        raise UserError(f"data set '{spec}' has no pictures in its {split} split")
    return examples


def pictures(
    spec: str, split: Split, count: int | None, preprocess: Preprocess | None
) -> NDArray[np.uint8]:
    """Pictures without their labels, whatever task the data set is labelled for."""
    plugin, _ = _plugin(spec)
    task = getattr(plugin, "TASKS", (CLASSIFICATION,))[0]
    return load(spec, split, count, preprocess, task).images
