"""What every task is: one file here, named by its file name.

    METRIC = "mean IoU"                     what the quality of answers is called
    LONG = "mean IoU of a picture"          the same, where there is room
    MEASURES = {"pooled_iou": ("mean IoU of all pixels", "%", "higher", "...")}
                                            optional: further numbers that `Scorer.result` gives, by
                                            name: title, unit ("%", "s", "B" or ""), which is better
                                            ("lower", "higher" or ""), what it is
    MIXES = True                            optional: labels are classes of whole pictures, so that
                                            pictures can be mixed in training
    def scorer(size, label_offset) -> Scorer      gathers the scores of all test pictures
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
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from paretomark.suites.spec import _plugins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Scores: TypeAlias = NDArray[np.float64]

CLASSIFICATION = "classification"  # the task of what says none
DIGITS = 6  # of a score that is recorded
NEEDS = (
    *("METRIC", "LONG", "scorer(size, label_offset)", "scores(answers, truth, size)"),
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


class Scorer(Protocol):
    def read(self, answers: Floats) -> Floats:
        """The part of the raw answers that counts, in a layout that does not depend on a format."""
        ...

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        """Score a batch. Raises Misfit for answers that do not fit the truth."""
        ...

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        """How many answers are the same, and of how many that can be said."""
        ...

    def result(self) -> dict[str, Any]:
        """What a record says: `examples`, and `outcomes` (a text of 0 and 1) or `scores` (numbers
        from 0 to 1), one of each example; optional `measures`, by the names in MEASURES."""
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


def recorded(scores: Sequence[Scores]) -> dict[str, Any]:
    """The scores of all batches as a record has them."""
    numbers = [round(float(score), DIGITS) for batch in scores for score in batch]
    return {"examples": len(numbers), "scores": numbers}
