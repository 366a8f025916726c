"""What every task is: one file here, named by its file name.

    METRIC = "mean IoU"                     what the quality of answers is called
    LONG = "mean IoU of a picture"          the same, where there is room
    MEASURES = {"pooled_iou": ("mean IoU of all pixels", "%", "higher", "...")}
                                            optional: further numbers that `Scorer.result` gives, by
                                            name: title, unit ("%", "s", "B" or ""), which is better
                                            ("lower", "higher" or ""), what it is; "chance" is
                                            the score of the best answer that looks at no input
    MIXES = True                            optional: labels are classes of whole pictures, so that
                                            pictures can be mixed in training
    def scorer(question) -> Scorer                gathers the scores of all test pictures
    def scores(answers, truth, size) -> Scores    of each picture, 0..1
    def loss(answers, truth, size) -> Tensor      what training makes smaller, for one batch
    def distance(answers, taught, temperature) -> Tensor
                                            how far answers are from a teacher's

`size` is that of the pictures, (height, width).

Truth is what a data set gives as the labels of its examples, of one of the kinds that `Examples` in
models/data/_data.py tells. Answers are what a net gives, float32, examples first. Torch is imported
inside functions only: the process that times a device scores with the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from paretomark.suites.spec import _plugins
from paretomark.suites.spec._model import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Scores: TypeAlias = NDArray[np.float64]

CLASSIFICATION = "classification"  # the task of what says none
CHANCE = "chance"  # a further number, if a task tells it: the best score without a look at inputs
DIGITS = 6  # of a score that is recorded
NEEDS = (
    *("METRIC", "LONG", "scorer(question)", "scores(answers, truth, size)"),
    *("loss(answers, truth, size)", "distance(answers, taught, temperature)"),
)


class Misfit(ValueError):
    """Answers that do not fit the truth; the message says how."""


class Measure(NamedTuple):
    """A further number of a task, and how a table shows it."""

    title: str
    unit: str
    better: Literal["lower", "higher", ""]
    description: str


@dataclass(frozen=True)
class Question:
    """What answers are answers to, as far as it is known before the first one comes."""

    size: tuple[int, int]  # of the pictures, height and width
    label_offset: int = 0  # outputs before class 0
    reading: Reading = field(default_factory=Reading)  # what is declared of the answers
    bare: bool = False  # answers are integers without a scale
    classes: int = 0  # of the data; 0 where it does not say
    span: tuple[float, float] | None = None  # least and greatest answer of the float net, if known


class Scorer(Protocol):
    def read(self, answers: Floats) -> Floats:
        """The part of the raw answers that counts, in a layout that does not depend on a format.
        Raises Misfit for answers that cannot be such."""
        ...

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        """Score a batch. Raises Misfit for answers that do not fit the truth."""
        ...

    def classes(self, answers: Floats) -> NDArray[np.int64] | None:
        """The class that each answer, or each place of it, says; None where answers are none."""
        ...

    def result(self) -> dict[str, Any]:
        """What a record says: `examples`, and `outcomes` (a text of 0 and 1) or `scores` (numbers
        from 0 to 1), one of each example; optional `measures`, by the names in MEASURES, `answers`,
        what they were taken for, `warnings`, and `broken`, why they mean nothing. Raises Misfit."""
        ...


@runtime_checkable
class FullScorer(Protocol):
    """What the scorer of a task offers whose truth has a size of its own."""

    def add_full(self, answers: Floats, truths: Sequence[NDArray[Any]]) -> None:
        """Score a batch once more, against the truths of its pictures at their own sizes, if there
        are any."""
        ...


def names() -> list[str]:
    """The tasks there are."""
    return _plugins.names("tasks")


def module(task: str) -> ModuleType:
    """The file of a task. Raises UserError if there is none, or it lacks what it must have."""
    return _plugins.module("tasks", task, NEEDS)


def metric(task: str) -> str:
    """What the quality of answers is called; "score" of a task that is not known here."""
    return _literal(task, "METRIC", "score")


def axis(task: str) -> str:
    """The same for the axis of a plot."""
    return _literal(task, "LONG", "score")


def measures() -> dict[str, Measure]:
    """The further numbers of all tasks, by name."""
    found: dict[str, Measure] = {}
    for task in names():
        table = _plugins.literal("tasks", task, "MEASURES") or {}
        found |= {name: Measure(*value) for name, value in table.items()}
    return found


def _literal(task: str, constant: str, otherwise: str) -> str:
    if task not in names():
        return otherwise
    return str(_plugins.literal("tasks", task, constant))


def recorded(scores: Sequence[Scores], unlabelled: str = "no label") -> dict[str, Any]:
    """The scores of all batches as a record has them. A picture without a label has no score, NaN,
    and is left out. Raises Misfit if none has one."""
    every = [float(score) for batch in scores for score in batch]
    numbers = [round(score, DIGITS) for score in every if score == score]
    if not numbers:
        raise Misfit(f"none of {len(every)} pictures can be scored: {unlabelled}")
    out = len(every) - len(numbers)
    left_out = [f"{out} of {len(every)} pictures are left out: {unlabelled}"] if out else []
    return {"examples": len(numbers), "scores": numbers, "warnings": left_out}
