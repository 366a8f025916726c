"""How well a device answers, gathered batch by batch: the measure of the task, and the parity
with the float net that the file was made from.

Answers and references are float32 with the examples first, as `channels_last` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paretomark.models.training import _score
from paretomark.suites.spec._tasks import KEYPOINTS, SEGMENTATION

DIGITS = 6  # of a score that is recorded
Floats = NDArray[np.float32]


class Scorer(Protocol):
    def read(self, answers: Floats) -> Floats:
        """The part of the raw answers that counts, in a layout that does not depend on a format."""
        ...

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        """Score a batch. Raises `_score.Misfit` for answers that do not fit the truth."""
        ...

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        """How many answers are the same, and of how many that can be said."""
        ...

    def result(self) -> dict[str, Any]:
        """What a record says of the scores."""
        ...


def scorer(task: str, label_offset: int, size: tuple[int, int]) -> Scorer:
    """The scorer of a task; `size` is that of the pictures, (height, width)."""
    if task == SEGMENTATION:
        return _Masks(size)
    return _Points(size) if task == KEYPOINTS else _Classes(label_offset)


@dataclass
class _Classes:
    offset: int
    right: list[NDArray[np.bool_]] = field(default_factory=list)
    top5: int = 0
    classes: int = 0

    def read(self, answers: Floats) -> Floats:
        return answers.reshape(len(answers), -1)[:, self.offset :]

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        self.right.append(answers.argmax(1) == truth)
        self.top5 += int((np.argsort(-answers, 1)[:, :5] == truth[:, None]).any(1).sum())
        self.classes = answers.shape[1]

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        return int((answers.argmax(1) == reference.argmax(1)).sum()), len(answers)

    def result(self) -> dict[str, Any]:
        bits = np.concatenate(self.right)
        return {
            "examples": len(bits),
            "outcomes": "".join("1" if right else "0" for right in bits),
            "top5_right": self.top5 if self.classes > 5 else None,
        }


@dataclass
class _Masks:
    size: tuple[int, int]
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    total: NDArray[np.int64] | None = None

    def read(self, answers: Floats) -> Floats:
        return _score.channels_last(answers, self.size)

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        counts = _score.confusion(_score.classes(answers), truth, max(2, answers.shape[3]))
        self.scores.append(_score.iou(counts))
        self.total = counts.sum(0) + (0 if self.total is None else self.total)

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        same = _score.classes(answers) == _score.classes(reference)
        return int(same.sum()), same.size

    def result(self) -> dict[str, Any]:
        assert self.total is not None
        return _scored(self.scores) | {"pooled_iou": float(_score.iou(self.total))}


@dataclass
class _Points:
    size: tuple[int, int]
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    off: list[NDArray[np.float64]] = field(default_factory=list)

    def read(self, answers: Floats) -> Floats:
        return answers.reshape(len(answers), -1)

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        off = _score.distances(answers, truth, self.size)
        self.scores.append(_score.pck(off))
        self.off.append(off)

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        return 0, 0

    def result(self) -> dict[str, Any]:
        every = np.concatenate(self.off)
        error = None if np.isnan(every).all() else float(np.nanmean(every))
        return _scored(self.scores) | {"keypoint_error": error}


def _scored(scores: list[NDArray[np.float64]]) -> dict[str, Any]:
    numbers = np.concatenate(scores)
    return {"examples": len(numbers), "scores": [round(float(s), DIGITS) for s in numbers]}


@dataclass
class Parity:
    """How far the answers are from the float net's. Their spread is around their mean by batch."""

    largest: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    values: int = 0
    same: int = 0
    comparable: int = 0

    def add(self, answers: Floats, reference: Floats, scorer: Scorer) -> None:
        """Compare a batch of equal shapes."""
        same, comparable = scorer.agreeing(answers, reference)
        self.same += same
        self.comparable += comparable
        error = np.abs(answers - reference)
        self.largest = max(self.largest, float(error.max()))
        self.total += float(error.sum(dtype=np.float64))
        self.squares += float(((reference - reference.mean()) ** 2).sum(dtype=np.float64))
        self.values += error.size

    @property
    def mean(self) -> float:
        return self.total / self.values

    @property
    def spread(self) -> float:
        return float((self.squares / self.values) ** 0.5)

    def result(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "parity_max_abs": self.largest,
            "parity_mean_abs": self.mean,
            "parity_top1": self.same / self.comparable if self.comparable else None,
        }
