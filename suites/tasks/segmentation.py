"""The class of every pixel: per picture the mean over its classes of intersection over union.

That of a picture, unlike that of all pixels, can be compared picture by picture (Csurka et al.,
"What is a good evaluation measure for semantic segmentation?", BMVC 2013). Answers are logits of
every pixel, in either layout; a single one is that of the figure against the ground. Truth is a
class per pixel, uint8 (N, H, W), VOID where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.tasks import classification
from paretomark.suites.tasks._task import Misfit, Scorer, recorded

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "mean IoU"
LONG = "mean IoU of a picture"
MEASURES = {
    "pooled_iou": (
        "mean IoU of all pixels",
        "%",
        "higher",
        "mean IoU over the pixels of all examples at once",
    )
}
VOID = 255  # a pixel of no class, which is not scored, as in PASCAL VOC and Cityscapes


def scores(answers: Floats, truth: NDArray[np.uint8], size: tuple[int, int]) -> Scores:
    """The mean IoU of each picture: raw answers and (N, H, W) to (N,). Raises Misfit."""
    answers = channels_last(answers, size)
    return iou(confusion(classes(answers), truth, max(2, answers.shape[3])))


def scorer(size: tuple[int, int], label_offset: int) -> Scorer:
    """The scorer of masks of this size."""
    return _Masks(size)


def loss(answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Cross-entropy per pixel that has a class."""
    import torch
    from torch.nn import functional

    logits, wanted = _two(answers), truth.long()
    if logits.shape[1] == 2:
        wanted = torch.where(wanted == VOID, wanted, wanted.clamp(max=1))
    return functional.cross_entropy(logits, wanted, ignore_index=VOID)


def distance(answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """As of classes, per pixel."""
    return classification.distance(_two(answers), _two(taught), temperature)


def channels_last(answers: Floats, size: tuple[int, int]) -> Floats:
    """Answers for every pixel as (N, H, W, C), of (N, C, H, W), (N, H, W, C) or (N, H, W).

    Raises Misfit unless there is an answer for every pixel of a picture of `size` (H, W).
    """
    if answers.ndim == 3:
        answers = answers[..., None]
    if answers.ndim == 4 and answers.shape[1:3] != size and answers.shape[2:] == size:
        answers = answers.transpose(0, 2, 3, 1)
    if answers.ndim != 4 or answers.shape[1:3] != size:
        raise Misfit(
            f"answers of shape {answers.shape} for pictures of {size[0]}x{size[1]}: the net must "
            "give a class to every pixel that it is shown"
        )
    return answers


def classes(answers: Floats) -> NDArray[np.int64]:
    """The class of every pixel, (N, H, W), of logits (N, H, W, C).

    Of a single logit the sign decides, between ground, 0, and figure, 1.
    """
    if answers.shape[3] == 1:
        return (answers[..., 0] > 0).astype(np.int64)
    top: NDArray[np.int64] = answers.argmax(3)
    return top


def confusion(given: NDArray[np.int64], truth: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Per picture how many pixels of each class (row) were given each class: (N, C, C).

    A net of two classes tells figure from ground: every true class but 0 is 1 to it. Raises Misfit
    for a true class that the net does not have.
    """
    known = truth != VOID
    if count == 2:
        truth = np.minimum(truth, 1)
    if (largest := int(truth[known].max(initial=0))) >= count:
        raise Misfit(f"the masks have a class {largest}, the net has {count} from 0 on")
    picture = np.arange(len(truth))[:, None, None] * count * count
    cells = (picture + truth.astype(np.int64) * count + given)[known]
    return np.bincount(cells, minlength=len(truth) * count * count).reshape(-1, count, count)


def iou(counts: NDArray[np.int64]) -> Scores:
    """The mean over the classes that are there of intersection over union: (N, C, C) to (N,)."""
    same = np.diagonal(counts, axis1=-2, axis2=-1)
    there = counts.sum(-1) > 0
    union = counts.sum(-1) + counts.sum(-2) - same
    shares = np.where(there, same / np.maximum(union, 1), 0.0)
    means: Scores = shares.sum(-1) / np.maximum(there.sum(-1), 1)
    return means


def _two(logits: Tensor) -> Tensor:
    """A single logit, of the figure, as the two of ground and figure."""
    import torch

    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


@dataclass
class _Masks:
    size: tuple[int, int]
    scores: list[Scores] = field(default_factory=list)
    total: NDArray[np.int64] | None = None

    def read(self, answers: Floats) -> Floats:
        return channels_last(answers, self.size)

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        counts = confusion(classes(answers), truth, max(2, answers.shape[3]))
        self.scores.append(iou(counts))
        self.total = counts.sum(0) + (0 if self.total is None else self.total)

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        same = classes(answers) == classes(reference)
        return int(same.sum()), same.size

    def result(self) -> dict[str, Any]:
        assert self.total is not None
        return recorded(self.scores) | {"measures": {"pooled_iou": float(iou(self.total))}}
