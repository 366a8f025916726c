"""The class of a picture: right or wrong.

Answers are logits or probabilities (N, classes), or a single number (N, 1): a logit, a probability,
or the number of the class, see `_meaning.py`. Truth is the class index of each picture, int64 (N,).
`label_offset` is the number of outputs before class 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.spec._model import Meaning
from paretomark.suites.tasks import _meaning, _order
from paretomark.suites.tasks._task import CHANCE, Misfit, Question, Scorer

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "accuracy"
LONG = "accuracy (top-1)"
MEASURES = {
    "top5": ("top-5", "%", "higher", "share of examples whose class is among the five top answers"),
    "chance": ("chance", "%", "", "share of examples of the commonest class"),
}
MIXES = True
SMOOTHING = 0.1  # of the labels


def scores(answers: Floats, truth: NDArray[np.int64], size: tuple[int, int]) -> Scores:
    """1 where the top answer is right, else 0: (N, classes) to (N,)."""
    right: Scores = (answers.argmax(1) == truth).astype(np.float64)
    return right


def scorer(question: Question) -> Scorer:
    """The scorer of classes that start at the output `label_offset`."""
    return _Classes(question)


def loss(answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Cross-entropy with smoothed labels (Szegedy et al., "Rethinking the Inception
    architecture", 2016)."""
    from torch.nn import functional

    if answers.shape[1:] == (1,):
        raise Misfit("a net of one output cannot be trained here: give it one for each class")
    return functional.cross_entropy(answers, truth, label_smoothing=SMOOTHING)


def distance(answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """temperature^2 x KL(teacher, net) of the logits divided by it, per picture or pixel: Hinton
    et al., "Distilling the knowledge in a neural network", 2015."""
    from torch.nn import functional

    mine, soft = (functional.log_softmax(logits / temperature, 1) for logits in (answers, taught))
    places = mine.numel() // mine.shape[1]
    far = functional.kl_div(mine, soft, reduction="sum", log_target=True)
    return temperature**2 * far / places


@dataclass
class _Classes:
    """Scores of several classes: the top one counts, of equal ones the first."""

    question: Question
    truth: list[NDArray[np.int64]] = field(default_factory=list)
    top: list[NDArray[np.int64]] = field(default_factory=list)
    singles: list[Floats] = field(default_factory=list)
    top5: float = 0.0
    outputs: int = 0

    def read(self, answers: Floats) -> Floats:
        shape = tuple(n for n in answers.shape[1:] if n > 1) or (1,)
        if len(shape) > 1:
            raise Misfit(
                f"answers of shape {answers.shape[1:]} for a picture are no scores of classes: "
                "they have more than one axis"
            )
        offset, self.outputs = self.question.label_offset, shape[0]
        answers = answers.reshape(len(answers), -1)
        if self.outputs == 1:
            return answers
        if self.question.bare and not self.question.reading.answers:
            raise Misfit(
                f"{self.outputs} integers without a scale may be scores or numbers of classes: "
                'declare answers = "logits", or name another output'
            )
        if self.question.reading.answers == _meaning.CLASSES:
            raise Misfit(f"the number of a class is one, but there are {self.outputs} outputs")
        if offset > self.outputs - 2:
            raise Misfit(f"label_offset = {offset} leaves no classes of {self.outputs} outputs")
        return answers[:, offset:]

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        self._check(truth)
        self.truth.append(truth)
        if self.outputs == 1:
            self.singles.append(answers[:, 0])
            return
        self.top.append(answers.argmax(1))
        self.top5 += float(within(answers, truth, 5).sum())

    def _check(self, truth: NDArray[Any]) -> None:
        """Raise Misfit for labels that the net has no output for."""
        least, most = int(truth.min()), int(truth.max())
        offset, count = self.question.label_offset, self.outputs
        if least < 0:
            raise Misfit(f"the data has a label {least}; labels are counted from 0 on")
        if count > 1 and most >= count - offset:
            after = f" after label_offset = {offset}" if offset else ""
            raise Misfit(
                f"the data has a label {most}, and the net has {count - offset} outputs{after}, "
                "from 0 on: labels that start at 1, another net, or a needless label_offset?"
            )

    def classes(self, answers: Floats) -> NDArray[np.int64]:
        if self.outputs > 1:
            top: NDArray[np.int64] = answers.argmax(1)
            return top
        span = _meaning.Span()
        span.add(np.array(self.question.span, np.float32) if self.question.span else answers)
        return self._single(answers[:, 0], self._meaning(span))

    def _meaning(self, span: _meaning.Span) -> Meaning:
        return _meaning.of_single(self.question.reading, span, self.question.bare)

    def _single(self, answers: Floats, meaning: Meaning) -> NDArray[np.int64]:
        if meaning == _meaning.CLASSES:
            return _meaning.numbers(answers) - self.question.label_offset
        return (answers > _meaning.cut(self.question.reading, meaning)).astype(np.int64)

    def result(self) -> dict[str, Any]:
        truth = np.concatenate(self.truth)
        taken = f"scores of {self.outputs} classes"
        if self.outputs == 1:
            top, taken = self._of_single(truth)
        else:
            top = np.concatenate(self.top)
        outcomes = "".join("1" if right else "0" for right in top == truth)
        order = _order.suspicion(top, truth, self.question.label_offset)
        several = self.outputs - self.question.label_offset > 5
        return {
            "examples": len(outcomes),
            "outcomes": outcomes,
            "answers": taken,
            "measures": {
                **({"top5": self.top5 / len(outcomes)} if several else {}),
                CHANCE: float(np.bincount(truth).max() / len(truth)),
            },
            "warnings": [
                *self._warnings(),
                *([order.text] if order.text and not order.certain else []),
            ],
            "broken": order.text if order.certain else "",
        }

    def _of_single(self, truth: NDArray[np.int64]) -> tuple[NDArray[np.int64], str]:
        answers, span = np.concatenate(self.singles), _meaning.Span()
        span.add(np.array(self.question.span, np.float32) if self.question.span else answers)
        meaning = self._meaning(span)
        most = max(int(truth.max()), self.question.classes - 1)
        if meaning != _meaning.CLASSES and most > 1:
            raise Misfit(
                f"one output tells two classes, and the data has a class {most}: if it is the "
                'number of the class, declare answers = "classes"'
            )
        return self._single(answers, meaning), _meaning.words(self.question.reading, meaning)

    def _warnings(self) -> list[str]:
        count, told = self.question.classes, self.outputs - self.question.label_offset
        if not count or self.outputs == 1 or count == told:
            return []
        return [f"the data has {count} classes, the net tells {told}"]


def within(answers: Floats, truth: NDArray[Any], places: int) -> Scores:
    """How much of each true class is among the so many top answers, (N, C) and (N,) to (N,).

    Where the last places are shared by more answers of the same score, as among numbers of 8 bits,
    it is the share of these that have a place: what chance would give on average.
    """
    own = np.take_along_axis(answers, truth[:, None], 1)
    before, equal = (answers > own).sum(1), (answers == own).sum(1)
    share: Scores = np.clip((places - before) / equal, 0.0, 1.0)
    return share
