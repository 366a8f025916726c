"""The class of a picture: right or wrong.

Answers are logits or probabilities (N, classes), truth is the class index of each picture, int64
(N,). `label_offset` is the number of outputs before class 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.tasks._task import Scorer

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "accuracy"
LONG = "accuracy (top-1)"
MEASURES = {
    "top5": ("top-5", "%", "higher", "share of examples whose class is among the five top answers")
}
MIXES = True
SMOOTHING = 0.1  # of the labels


def scores(answers: Floats, truth: NDArray[np.int64], size: tuple[int, int]) -> Scores:
    """1 where the top answer is right, else 0: (N, classes) to (N,)."""
    right: Scores = (answers.argmax(1) == truth).astype(np.float64)
    return right


def scorer(size: tuple[int, int], label_offset: int) -> Scorer:
    """The scorer of classes that start at the output `label_offset`."""
    return _Classes(label_offset)


def loss(answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Cross-entropy with smoothed labels (Szegedy et al., "Rethinking the Inception
    architecture", 2016)."""
    from torch.nn import functional

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
    offset: int
    right: list[Scores] = field(default_factory=list)
    top5: int = 0
    classes: int = 0

    def read(self, answers: Floats) -> Floats:
        return answers.reshape(len(answers), -1)[:, self.offset :]

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        self.right.append(scores(answers, truth, (0, 0)))
        self.top5 += int((np.argsort(-answers, 1)[:, :5] == truth[:, None]).any(1).sum())
        self.classes = answers.shape[1]

    def agreeing(self, answers: Floats, reference: Floats) -> tuple[int, int]:
        return int((answers.argmax(1) == reference.argmax(1)).sum()), len(answers)

    def result(self) -> dict[str, Any]:
        outcomes = "".join("1" if right else "0" for right in np.concatenate(self.right))
        measures = {"top5": self.top5 / len(outcomes)} if self.classes > 5 else {}
        return {"examples": len(outcomes), "outcomes": outcomes, "measures": measures}
