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
    holds(split, argument, heads) -> Holding
                                            what is in a split, and a look at the files of the first
                                            `heads` pictures, without decoding any; raises UserError
                                            as `load` does for what can be known by that
    full_masks(split, count, preprocess, argument)
                                            of a segmentation, yields the masks of the pictures that
                                            `load` gives, uint8 (H, W), each in its own size: of
                                            what the net sees of the picture
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paretomark.models import _cache
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, nearest, unknown
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks._task import CLASSIFICATION

NOISE = "noise"  # the data set of nets that have none
HEADS = 500  # files of pictures that are looked at before a run
ROTATING_BATCHES = 8  # of pictures, through which the inputs of a net rotate while it is timed
Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
NEEDS = ("load(split, count, preprocess, argument)",)
NEEDS_OF_TASKS = ("load(split, count, preprocess, argument, task)",)


@dataclass(frozen=True)
class Examples:
    """Pictures uint8 (N, H, W, C), C = 3 (RGB) or 1, and what is to be said of them.

    `labels` are, by the task,
        classification   int64 (N,), 0-based class indices
        segmentation     uint8 (N, H, W), 0-based class indices, 255 where there is no class
        keypoints        float32 (N, K, 3): x and y in pixels, the centre of the top left one being
                         0.5, 0.5, and visibility as in COCO: 0 not labelled, 1 hidden, 2 seen
    `mirrored` says which keypoint each one is in the mirrored picture (left hand, right hand).
    `classes` are the names of the classes in their order, the same for all splits; () where the
    data does not say. `notes` say what was passed over or changed, and why, each a short sentence
    that a reader of the accuracy has to know.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    mirrored: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holding:
    """What is in a split of a data set: how many pictures, and `classes` and `notes` as `Examples`
    has them, but for what only a look at every picture can tell."""

    pictures: int
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def normalise(preprocess: Preprocess, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8 RGB pictures (N, H, W, C) into the float input of the net, still (N, H, W, C)."""
    pixels = images[..., ::-1] if preprocess.order == "bgr" else images
    mean = np.asarray(preprocess.mean, np.float32)
    std = np.asarray(preprocess.std, np.float32)
    return np.ascontiguousarray((pixels.astype(np.float32) - mean) / std)


def names() -> list[str]:
    """Return the names of the data sets."""
    return _plugins.names("data")


def module(spec: str) -> tuple[ModuleType, str]:
    """Return the file of a data set, and its argument.

    Raises UserError for an unknown data set, one whose file lacks what it must have, and for a path
    that it lacks, does not take, or that is not there.
    """
    name, colon, argument = spec.partition(":")
    tasks = _plugins.definition("data", name, "TASKS")
    plugin = _plugins.module("data", name, NEEDS if tasks is None else NEEDS_OF_TASKS)
    kind, path = getattr(plugin, "PATH", ""), Path(argument)
    if colon and not kind:
        raise UserError(f"data set '{name}' takes no path, got '{argument}'")
    if kind and not argument:
        raise UserError(f"data set '{name}' needs a {kind}: write {name}:PATH")
    if kind and not (path.is_dir() if kind == "folder" else path.is_file()):
        raise UserError(f"data {kind} missing: {path} (data set '{name}'){nearest(path)}")
    return plugin, argument


def public(spec: str) -> str:
    """Return the name of a data set without the path that it has on this machine."""
    name, colon, path = spec.partition(":")
    return f"{name}:{Path(path).name}" if colon else name


def stamp(spec: str) -> str:
    """Digest the names, sizes and times of a data set on disk, for its pictures may be many."""
    path = Path(spec.partition(":")[2])
    if not spec.partition(":")[2] or not path.exists():
        return spec
    listing = [f"{f}:{s.st_size}:{s.st_mtime_ns}" for f in files(path) if (s := f.stat())]
    return _cache.key([spec, *listing])


def files(path: Path) -> list[Path]:
    """Return what lies at a path, folders and files, also behind links to folders; sorted."""
    if not path.is_dir():
        return [path]
    entries: list[Path] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()  # a link to what is above it
            continue
        seen.add(real)
        entries += [p for name in (*folders, *names) if (p := Path(folder, name)).exists()]
    return sorted(entries)


def tasks(spec: str) -> tuple[str, ...]:
    """Return what a data set is labelled for. Raises UserError as `module` does."""
    labelled: tuple[str, ...] = getattr(module(spec)[0], "TASKS", (CLASSIFICATION,))
    return labelled


def check(spec: str, task: str, size: tuple[int, int] | None) -> None:
    """Raise UserError as `module` does, and for a data set without labels for the task, or of
    another size than the net's, None where that is not known."""
    name, labelled = spec.partition(":")[0], tasks(spec)
    if task not in labelled:
        what = f"labelled for {' and '.join(labelled)}, not for {task}"
        raise UserError(f"data set '{name}' is {what}")
    own = getattr(module(spec)[0], "SIZE", size)
    if size and own and size != own:
        sizes = f"{own[0]}x{own[1]}; the net wants {size[0]}x{size[1]}"
        raise UserError(f"pictures of data set '{name}' are {sizes}")


def splits(spec: str) -> tuple[Split, ...]:
    """Return the splits that a data set has, without reading its pictures.

    Raises UserError as `module` does.
    """
    plugin, argument = module(spec)
    present: tuple[Split, ...] = plugin.splits(argument) if hasattr(plugin, "splits") else SPLITS
    return present


def holds(spec: str) -> dict[Split, Holding]:
    """Return what is in each split of a data set, without reading its pictures; nothing of a data
    set that does not say.

    Raises UserError as `module` does, and for data that is not as it must be.
    """
    plugin, argument = module(spec)
    if not hasattr(plugin, "holds"):
        return {}
    return {split: plugin.holds(split, argument, 0) for split in splits(spec)}


def examine(spec: str, split: Split, count: int | None) -> Holding | None:
    """Look at a split before a run that reads the first `count` of its pictures (None: all): at
    its folders and tables, and at the heads of no more than HEADS files. Return what is in it; None
    of a data set that does not say.

    Raises UserError as `load` does, for all that can be known without decoding a picture.
    """
    plugin, argument = module(spec)
    if not hasattr(plugin, "holds"):
        return None
    held: Holding = plugin.holds(split, argument, HEADS if count is None else min(count, HEADS))
    _check_some(spec, split, held.pictures, held.notes)
    return held


def _check_some(spec: str, split: Split, pictures: int, notes: tuple[str, ...]) -> None:
    if not pictures:
        told = "".join(f"; {note}" for note in notes)
        raise UserError(f"data set '{spec}' has no pictures in its {split} split{told}")


def load(
    spec: str,
    split: Split,
    count: int | None = None,
    preprocess: Preprocess | None = None,
    task: str = CLASSIFICATION,
) -> Examples:
    """Return the first `count` examples (None: all) of a split of the data set `spec`, at the net's
    size.

    Raises UserError as `check` does, and for files that are not as they must be.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    check(spec, task, preprocess.size if preprocess else None)
    plugin, argument = module(spec)
    further = (task,) if hasattr(plugin, "TASKS") else ()
    examples: Examples = plugin.load(split, count, preprocess, argument, *further)
    _check_some(spec, split, len(examples.labels), examples.notes)
    return examples if preprocess is None else _channelled(examples, len(preprocess.mean))


def _channelled(examples: Examples, channels: int) -> Examples:
    """Grey pictures for a net of three channels, and the reverse, by ITU-R BT.601 as Pillow has
    it. Raises UserError for other numbers of channels."""
    there = examples.images.shape[-1]
    if there == channels:
        return examples
    if {there, channels} != {1, 3}:
        raise UserError(
            f"pictures have {there} channels, preprocess.mean has {channels} values: declare one "
            "of mean and std for each channel"
        )
    if there == 1:
        note = "grey pictures were shown as three equal channels, one for each value of mean"
        images = np.repeat(examples.images, 3, axis=-1)
        return replace(examples, images=images, notes=(*examples.notes, note))
    images = np.empty((*examples.images.shape[:3], 1), np.uint8)
    coloured = 0
    for grey, colour in zip(images, examples.images, strict=True):
        shades = colour.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        grey[..., 0] = (shades + 0x8000) >> 16
        coloured += bool((colour != colour[..., :1]).any())
    note = f"pictures were read as grey, {coloured} of {len(images)} of which have colours"
    notes = (*examples.notes, note) if coloured else examples.notes
    return replace(examples, images=images, notes=notes)


def full_masks(
    spec: str, count: int, preprocess: Preprocess, task: str
) -> Iterator[NDArray[np.uint8]] | None:
    """Return the masks of the first `count` test pictures at their own sizes; None where the data
    has none, or none of another size than the net's."""
    plugin, argument = module(spec)
    if task != "segmentation" or not hasattr(plugin, "full_masks"):
        return None
    masks: Iterator[NDArray[np.uint8]] = plugin.full_masks("test", count, preprocess, argument)
    return masks


def unlabelled(
    spec: str, split: Split, count: int | None, preprocess: Preprocess | None
) -> Examples:
    """Return examples for their pictures alone, whatever task the data set is labelled for."""
    return load(spec, split, count, preprocess, tasks(spec)[0])
