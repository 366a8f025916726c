"""What is to be seen of a model before it is measured: what its data holds, what it is given, and
what it says of its first pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices.measure._kept import SHOWN
from paretomark.models.build import _artifact
from paretomark.models.build._artifact import Artifact, Refused
from paretomark.models.data import _data
from paretomark.models.data._data import Holding
from paretomark.suites.records._record import Record
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.spec._plan import Cell

KEPT, LABELS = "kept.npz", "labels.npy"  # in the folder of a visit
VOID = 255  # in a mask


@dataclass(frozen=True)
class Seen:
    """The first pictures as a net is given them, float32 (N, H, W, C), and what it says of them.

    `dtype` and `shape` are those of the input, or of the pictures where the net did not run;
    `least` and `most` the numbers that were put into it. `classes` (N, ...) and `answers` (N, ...)
    are as `Keeper` keeps them.
    """

    values: NDArray[np.float32]
    dtype: str
    shape: tuple[int, ...]
    least: float
    most: float
    classes: NDArray[np.int64] | None = None
    answers: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ModelLook:
    """What the data of a model holds, and how its first pictures went.

    `counts` are pictures of each class (of a segmentation: that show it) or with each point, among
    the `pictures` that a run scores. `cell` is the one that was asked; "" if none answered.
    `scores` are those of the first pictures, None for one that cannot be scored.
    """

    model: str
    task: str
    data: str
    splits: Mapping[str, Holding]
    reason: str = ""  # why nothing is known of the pictures
    pictures: int = 0
    classes: tuple[str, ...] = ()
    counts: Mapping[int, int] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    cell: str = ""
    seen: Seen | None = None
    labels: NDArray[Any] | None = None
    scores: tuple[float | None, ...] = ()


def look(
    cells: Sequence[tuple[Cell, Path]],
    built: Mapping[str, Artifact | Refused],
    records: Mapping[str, Record],
) -> ModelLook:
    """Look at a model by the first of its cells that ran, else by any that has pictures.

    `cells` are all of the model, each with the folder of its visit.
    """
    model = cells[0][0].model
    source = _artifact.data(model)
    splits, reason = _holds(source)
    bare = ModelLook(model.name, _artifact.task(model), _data.public(source), splits, reason)
    ran = [cell for cell, _ in cells if records[cell.key].status in ("ok", "fallback")]
    pictured = [
        (cell not in ran, not (folder / KEPT).exists(), at)
        for at, (cell, folder) in enumerate(cells)
        if isinstance(artifact := built.get(cell.key), Artifact) and artifact.images
    ]
    if not pictured:
        why = "run with random numbers, not scored" if ran else "no cell of it could be built"
        return dataclasses.replace(bare, reason=reason or why)
    cell, folder = cells[min(pictured)[2]]
    artifact = built[cell.key]
    assert isinstance(artifact, Artifact)
    images = np.load(artifact.images, mmap_mode="r")
    seen = dataclasses.replace(
        bare,
        task=artifact.task,
        pictures=len(images),
        classes=artifact.classes,
        preprocess=artifact.preprocess,
        cell=cell.key if cell in ran else "",
        seen=_seen(folder / KEPT, images[:SHOWN], artifact.preprocess),
    )
    if not artifact.labels:
        return seen
    labels = np.load(artifact.labels, mmap_mode="r")
    few = np.load(folder / LABELS)
    return dataclasses.replace(
        seen,
        counts=counted(artifact.task, labels, artifact.classes),
        labels=np.array(labels[:SHOWN]),
        scores=_scores(artifact.task, few, records[cell.key])[:SHOWN],
    )


def _holds(source: str) -> tuple[Mapping[str, Holding], str]:
    try:
        return {str(split): held for split, held in _data.holds(source).items()}, ""
    except UserError as error:
        return {}, str(error)


def _seen(kept: Path, images: NDArray[np.uint8], preprocess: Preprocess) -> Seen:
    """What a visit kept; else the pictures as they would be given, with a shape of ()."""
    if not kept.exists():
        values = _data.normalise(preprocess, images)
        return Seen(values, "float32", (), float(values.min()), float(values.max()))
    with np.load(kept, allow_pickle=False) as file:
        table = {key: file[key] for key in file.files}
    values, size = table["inputs"], images.shape[1:3]
    if values.shape[1:3] != size or values.shape[3] not in (1, images.shape[3]):
        values = values.transpose(0, 2, 3, 1)
    shape = tuple(int(n) for n in table["shape"])
    ends = float(table["least"]), float(table["most"])
    told = table.get("classes"), table.get("answers")
    return Seen(values, str(table["dtype"]), shape, *ends, *told)


def counted(task: str, labels: NDArray[Any], classes: Sequence[str]) -> dict[int, int]:
    """Count the pictures of each class, in a segmentation those that show it, of keypoints those
    that have each point; {} for other tasks. Classes without a picture are there with 0."""
    if task == "classification":
        values, times = np.unique(labels, return_counts=True)
    elif task == "segmentation":
        shown = [np.unique(mask) for mask in labels]
        values, times = np.unique(np.concatenate(shown), return_counts=True)
    elif task == "keypoints":
        times = (labels[..., 2] > 0).sum(0)
        values = np.arange(len(times))
    else:
        return {}
    there = {int(v): int(n) for v, n in zip(values, times, strict=True)}
    return dict.fromkeys(range(len(classes)), 0) | there


def _scores(task: str, labels: NDArray[Any], record: Record) -> tuple[float | None, ...]:
    """The score of every picture that was visited; None of one without a label, or of all where
    that cannot be told."""
    given: list[float] = [float(c) for c in record.outcomes] or list(record.scores)
    labelled = [True] * len(labels)
    if task == "segmentation":
        labelled = [bool((mask != VOID).any()) for mask in labels]
    elif task == "keypoints":
        labelled = [bool((points[..., 2] > 0).any()) for points in labels]
    if len(given) != sum(labelled):
        return (None,) * len(labels)
    rest = iter(given)
    return tuple(next(rest) if is_labelled else None for is_labelled in labelled)
