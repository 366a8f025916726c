"""Data sets: pictures with labels, and how a net wants to see them.

A data set is a plug-in, one file in `models/data/`, named in suites as `scenes` or, with
its argument, `imagefolder:PATH`. It has one function:

    load(split, count, preprocess, argument) -> Examples

which is deterministic, reads no more than it needs, and imports no deep-learning package:
the process that times a device must stay small. Optional are

    PATH = "folder"                         or "file", of its argument; without this, it has none
    TASKS = ("segmentation", ...)           what it is labelled for, unless that is classification
                                            only; `load` takes the task as a fifth argument then
    SIZE = (8, 8)                           of its pictures, height and width, if they stay so
    splits(argument) -> tuple[Split, ...]   those that it has, if some may lack; raises UserError
                                            for data that is not as it must be
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paretomark.models import _cache
from paretomark.suites.spec._errors import UserError, nearest, unknown
from paretomark.suites.spec._tasks import CLASSIFICATION

if TYPE_CHECKING:
    from paretomark.suites.spec._model import Pixels

NOISE = "noise"  # the data set of nets that have none
Split = Literal["train", "calibration", "test"]
Order = Literal["rgb", "bgr"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
SPLITS: tuple[Split, ...] = get_args(Split)


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
    order: Order = "rgb"
    crop: float | None = None
    interpolation: Interpolation = "bilinear"

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


def declared(pixels: Pixels) -> Preprocess:
    """A preprocessing as a suite declares it. Raises UserError for one that cannot be."""
    named: dict[str, Any] = {"order": pixels.order, "interpolation": pixels.interpolation}
    for key, kind in (("order", Order), ("interpolation", Interpolation)):
        if named[key] not in get_args(kind):
            raise unknown(f"{key} of preprocess", named[key], get_args(kind))
    if len(pixels.size) != 2 or min(pixels.size) < 1:
        raise UserError(f"preprocess needs size = [height, width], got {list(pixels.size)}")
    mean, std = list(pixels.mean), list(pixels.std)
    if not mean or len(mean) != len(std) or not all(map(math.isfinite, mean + std)) or 0 in std:
        what = "one number per channel each, in std none of them 0"
        raise UserError(f"mean and std of preprocess are {what}, got {mean} and {std}")
    if pixels.crop is not None and not 0 < pixels.crop <= 1:
        raise UserError(f"crop of preprocess is above 0 and at most 1, got {pixels.crop}")
    size = (pixels.size[0], pixels.size[1])
    return Preprocess(size, tuple(mean), tuple(std), crop=pixels.crop, **named)


def names() -> list[str]:
    """The data sets there are: the files of `models/data/`."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))


def module(spec: str) -> tuple[ModuleType, str]:
    """The file of a data set, and its argument.

    Raises UserError for an unknown data set, and for a path that it lacks, does not take, or that
    is not there.
    """
    name, colon, argument = spec.partition(":")
    if name not in names():
        raise unknown("data set", name, names())
    plugin = importlib.import_module(f"paretomark.models.data.{name}")
    kind, path = getattr(plugin, "PATH", ""), Path(argument)
    if colon and not kind:
        raise UserError(f"data set '{name}' takes no path, got '{argument}'")
    if kind and not argument:
        raise UserError(f"data set '{name}' needs a {kind}: write {name}:PATH")
    if kind and not (path.is_dir() if kind == "folder" else path.is_file()):
        raise UserError(f"data {kind} missing: {path} (data set '{name}'){nearest(path)}")
    return plugin, argument


def public(spec: str) -> str:
    """The name of a data set without the path that it has on this machine."""
    name, colon, path = spec.partition(":")
    return f"{name}:{Path(path).name}" if colon else name


def stamp(spec: str) -> str:
    """Of a data set on disk: names, sizes and times, for its pictures may be many."""
    path = Path(spec.partition(":")[2])
    if not spec.partition(":")[2] or not path.exists():
        return spec
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    listing = [f"{f}:{s.st_size}:{s.st_mtime_ns}" for f in files if (s := f.stat())]
    return _cache.key([spec, *listing])


def tasks(spec: str) -> tuple[str, ...]:
    """What a data set is labelled for. Raises UserError as `module` does."""
    found: tuple[str, ...] = getattr(module(spec)[0], "TASKS", (CLASSIFICATION,))
    return found


def check(spec: str, task: str, size: tuple[int, int] | None) -> None:
    """Raise UserError as `module` does, and for a data set without labels for the task, or of
    another size than the net's, None where that is not known."""
    name, known = spec.partition(":")[0], tasks(spec)
    if task not in known:
        raise UserError(f"data set '{name}' is labelled for {' and '.join(known)}, not for {task}")
    own = getattr(module(spec)[0], "SIZE", size)
    if size and own and size != own:
        sizes = f"{own[0]}x{own[1]}; the net wants {size[0]}x{size[1]}"
        raise UserError(f"pictures of data set '{name}' are {sizes}")


def splits(spec: str) -> tuple[Split, ...]:
    """The splits that a data set has, without reading its pictures.

    Raises UserError as `module` does.
    """
    plugin, argument = module(spec)
    found: tuple[Split, ...] = plugin.splits(argument) if hasattr(plugin, "splits") else SPLITS
    return found


def load(
    spec: str,
    split: Split,
    count: int | None = None,
    preprocess: Preprocess | None = None,
    task: str = CLASSIFICATION,
) -> Examples:
    """The first `count` examples (None: all) of a split of the data set `spec`, at the net's size.

    Raises UserError as `check` does, and for files that are not as they must be.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    check(spec, task, preprocess.size if preprocess else None)
    plugin, argument = module(spec)
    further = (task,) if hasattr(plugin, "TASKS") else ()
    examples: Examples = plugin.load(split, count, preprocess, argument, *further)
    if not len(examples.labels):
        raise UserError(f"data set '{spec}' has no pictures in its {split} split")
    return examples


def pictures(
    spec: str, split: Split, count: int | None, preprocess: Preprocess | None
) -> NDArray[np.uint8]:
    """Pictures without their labels, whatever task the data set is labelled for."""
    return load(spec, split, count, preprocess, tasks(spec)[0]).images
