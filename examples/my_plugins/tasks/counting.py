"""How many there are: per picture 1 where the answer, rounded, is right, less for each one off.

Answers are one number each (N, 1), truth is int64 (N,).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.tasks._task import Misfit, Question, Scorer, recorded

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "count score"
LONG = "count score: 1, less a half for each one off"
MEASURES = {"off": ("mean miscount", "", "lower", "mean of how far the number is off")}


def scores(answers: Floats, truth: NDArray[Any], size: tuple[int, int]) -> Scores:
    """From 0 to 1 for each picture. Raises Misfit unless there is one answer for each."""
    return np.maximum(0.0, 1 - _off(answers, truth) / 2)


def scorer(question: Question) -> Scorer:
    """The scorer of numbers."""
    return _Counts()


def loss(answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """The squared difference."""
    from torch.nn import functional

    return functional.mse_loss(answers[:, 0], truth.to(answers.dtype))


def distance(answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """The squared difference to a teacher's answers."""
    from torch.nn import functional

    return functional.mse_loss(answers, taught)


def _off(answers: Floats, truth: NDArray[Any]) -> Scores:
    if answers.shape != (len(truth), 1):
        raise Misfit(f"answers of shape {answers.shape} for {len(truth)} numbers: give one each")
    off: Scores = np.abs(np.rint(answers[:, 0]) - truth).astype(np.float64)
    return off


@dataclass
class _Counts:
    scores: list[Scores] = field(default_factory=list)
    off: list[Scores] = field(default_factory=list)

    def read(self, answers: Floats) -> Floats:
        return answers.reshape(len(answers), -1)

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        self.scores.append(scores(answers, truth, (0, 0)))
        self.off.append(_off(answers, truth))

    def classes(self, answers: Floats) -> NDArray[np.int64]:
        return np.rint(answers[:, 0]).astype(np.int64)

    def result(self) -> dict[str, Any]:
        off = float(np.concatenate(self.off).mean())
        return recorded(self.scores) | {"answers": "numbers", "measures": {"off": off}}
