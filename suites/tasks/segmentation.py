"""The class of every pixel: per picture the mean over its classes of intersection over union.

That of a picture, unlike that of all pixels, can be compared picture by picture (Csurka et al.,
"What is a good evaluation measure for semantic segmentation?", BMVC 2013). Answers are logits of
every pixel, in either layout; a single one is that of the figure against the ground, or its
probability, or the number of the class, see `_meaning.py`. Truth is a class per pixel, uint8
(N, H, W), VOID where there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.spec._model import Meaning
from paretomark.suites.tasks import _meaning, classification
from paretomark.suites.tasks._task import Misfit, Question, Scorer, recorded

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "mean IoU"
LONG = "mean IoU of a picture"
MEASURES = {
    "own_size_iou": (
        "mean IoU at own size",
        "%",
        "higher",
        "mean IoU over the pixels of all examples at once, answers scaled to each mask's own size",
    ),
    "pooled_iou": (
        "mean IoU of all pixels",
        "%",
        "higher",
        "mean IoU over the pixels of all examples at once",
    ),
}
NUMBERS = 256  # of classes that a mask can have
ANSWERED = 0.01  # of the pixels that the rarer answer must have, to be called a fault
SWAP = 0.3  # in mean IoU that swapping figure and ground has to bring, to be called a fault
VOID = 255  # a pixel of no class, which is not scored, as in PASCAL VOC and Cityscapes


def scores(answers: Floats, truth: NDArray[np.uint8], size: tuple[int, int]) -> Scores:
    """The mean IoU of each picture: raw answers and (N, H, W) to (N,). Raises Misfit."""
    answers = channels_last(answers, size)
    return iou(confusion(classes(answers), truth, max(2, answers.shape[3])))


def scorer(question: Question) -> Scorer:
    """The scorer of masks of the size of the pictures."""
    return _Masks(question)


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
    """Answers for every pixel as (N, H, W, C), of (N, C, H, W), (N, H, W, C) or (N, H, W), also
    where height and width are one axis.

    Raises Misfit unless there is an answer for every pixel of a picture of `size` (H, W).
    """
    pixels = size[0] * size[1]
    if answers.ndim in (2, 3) and answers.shape[1] == pixels and answers.shape[1:] != size:
        answers = answers.reshape(len(answers), *size, -1)
    elif answers.ndim == 3 and answers.shape[2] == pixels:
        answers = answers.reshape(len(answers), -1, *size)
    if answers.ndim == 3:
        answers = answers[..., None]
    if answers.ndim == 4 and answers.shape[1:3] == size == answers.shape[2:]:
        raise Misfit(
            f"answers of shape {answers.shape}: which axis is that of the classes cannot be told"
        )
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
    """The mean over the classes that are there of intersection over union: (N, C, C) to (N,).

    NaN where none is there, for no pixel has a class.
    """
    same = np.diagonal(counts, axis1=-2, axis2=-1)
    there = counts.sum(-1) > 0
    union = counts.sum(-1) + counts.sum(-2) - same
    shares = np.where(there, same / np.maximum(union, 1), 0.0)
    with np.errstate(invalid="ignore"):
        means: Scores = shares.sum(-1) / there.sum(-1)
    return means


def _two(logits: Tensor) -> Tensor:
    """A single logit, of the figure, as the two of ground and figure."""
    import torch

    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


@dataclass
class _Tally:
    """What comes of one way to take the answers."""

    scores: list[Scores] = field(default_factory=list)
    total: NDArray[np.int64] | None = None

    def add(self, given: NDArray[np.int64], truth: NDArray[np.uint8], count: int) -> None:
        counts = confusion(given, truth, count)
        self.scores.append(iou(counts))
        self.total = counts.sum(0) + (0 if self.total is None else self.total)


@dataclass
class _Masks:
    """A single channel is scored in every way that it may be meant, until its values tell which."""

    question: Question
    outputs: int = 0
    largest: int = 0  # class of the masks
    span: _meaning.Span = field(default_factory=_meaning.Span)
    tallies: dict[Meaning, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    full: dict[Meaning, _Tally] = field(default_factory=dict)  # the same, at the masks' own sizes

    def read(self, answers: Floats) -> Floats:
        answers = channels_last(answers, self.question.size)
        self.outputs = answers.shape[3]
        if self.outputs > 1 and self.question.reading.answers == _meaning.CLASSES:
            raise Misfit(f"the number of a class is one, but there are {self.outputs} a pixel")
        return answers

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        self.largest = max(self.largest, int(truth[truth != VOID].max(initial=0)))
        if self.outputs > 1:
            self.tallies[""].add(classes(answers), truth, self.outputs)
            return
        self.span.add(answers)
        for meaning in self._possible():
            if meaning == _meaning.CLASSES:
                self.tallies[meaning].add(self._single(answers, meaning), truth, NUMBERS)
            else:
                self.tallies[meaning].add(self._single(answers, meaning), truth, 2)

    def add_full(self, answers: Floats, truths: Sequence[NDArray[np.uint8]]) -> None:
        for answer, truth in zip(answers, truths, strict=False):
            for meaning in self._possible() if self.outputs == 1 else ("",):
                tally = self.full.setdefault(meaning, _Tally())
                count = NUMBERS if meaning == _meaning.CLASSES else max(2, self.outputs)
                scaled = _scaled(answer, truth, meaning == _meaning.CLASSES)[None]
                given = self._single(scaled, meaning) if meaning else classes(scaled)
                tally.add(given, truth[None], count)

    def _possible(self) -> tuple[Meaning, ...]:
        if self.question.reading.answers or self.question.bare or self.question.span:
            return (self._meaning(),)
        whole = (_meaning.CLASSES,) if self.span.whole and self.span.least >= 0 else ()
        return (_meaning.LOGITS, _meaning.PROBABILITIES, *whole)

    def _meaning(self) -> Meaning:
        span = self.span
        if self.question.span:
            span = _meaning.Span()
            span.add(np.array(self.question.span, np.float32))
        return _meaning.of_single(self.question.reading, span, self.question.bare)

    def _single(self, answers: Floats, meaning: Meaning) -> NDArray[np.int64]:
        if meaning != _meaning.CLASSES:
            cut = _meaning.cut(self.question.reading, meaning)
            return (answers[..., 0] > cut).astype(np.int64)
        numbers = _meaning.numbers(answers[..., 0])
        if numbers.max(initial=0) >= NUMBERS:
            raise Misfit(f"the answers have a class {numbers.max()}, masks have {NUMBERS} at most")
        return numbers

    def classes(self, answers: Floats) -> NDArray[np.int64]:
        if self.outputs > 1:
            return classes(answers)
        if not self.question.span:
            self.span.add(answers)
        return self._single(answers, self._meaning())

    def result(self) -> dict[str, Any]:
        meaning: Meaning = "" if self.outputs > 1 else self._meaning()
        tally = self.tallies[meaning]
        assert tally.total is not None
        taken = f"scores of {self.outputs} classes a pixel"
        result = recorded(tally.scores, "their masks say nothing of any pixel")
        count = self.outputs
        if meaning:
            taken, count = _meaning.words(self.question.reading, meaning), 2
        if self.largest > 1 and count == 2 and meaning != _meaning.CLASSES:
            result["warnings"].append(
                f"the masks have classes up to {self.largest}, the net two: all but 0 are figure"
            )
        measures = {"pooled_iou": float(iou(tally.total))}
        if meaning in self.full and (whole := self.full[meaning].total) is not None:
            measures["own_size_iou"] = float(iou(whole))
        return result | {
            "answers": taken,
            "measures": measures,
            "broken": _swapped(tally.total) if count == 2 else "",
        }


def _scaled(answer: Floats, truth: NDArray[np.uint8], numbers: bool) -> Floats:
    """The answer for a picture, (H, W, C), at the size of its mask: bilinear, as scores are scaled
    in published evaluations; of numbers of classes the nearest."""
    from PIL import Image

    how = Image.Resampling.NEAREST if numbers else Image.Resampling.BILINEAR
    layers = (Image.fromarray(np.ascontiguousarray(layer)) for layer in np.moveaxis(answer, 2, 0))
    height, width = truth.shape
    scaled = [np.asarray(layer.resize((width, height), how)) for layer in layers]
    return np.stack(scaled, 2).astype(np.float32)


def _swapped(counts: NDArray[np.int64]) -> str:
    """Say that figure and ground fit far better the other way round; "" if they do not."""
    own, other = float(iou(counts[:2, :2])), float(iou(counts[:2, 1::-1]))
    rarer = counts[:2, :2].sum(0).min() / max(1, counts.sum())
    if rarer < ANSWERED or other < own + SWAP:
        return ""
    return f"figure and ground are swapped: mean IoU would be {other:.0%}, not {own:.0%}"
