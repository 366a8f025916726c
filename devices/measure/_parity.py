"""The parity of a device's answers with those of the float net that the file was made from.

It is gathered batch by batch. Answers and references are float32, examples first, as the scorer of
the task has read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from paretomark.suites.tasks._task import Floats, Scorer


# How far answers may be off the float net's, in spreads of those; int8 may be off, and is shown.
LIMITS = {"fp32": 0.05, "tf32": 0.05, "fp16": 0.05, "bf16": 0.05}


@dataclass
class Parity:
    """How far the answers are from the float net's, and how far those spread.

    The spread is around the mean of all answers: a net with one output has none within a picture.
    """

    largest: float = 0.0
    total: float = 0.0
    reference_sum: float = 0.0
    reference_squares: float = 0.0
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
        exact = reference.astype(np.float64)
        self.reference_sum += float(exact.sum())
        self.reference_squares += float((exact**2).sum())
        self.values += error.size

    @property
    def mean(self) -> float:
        """The mean absolute difference."""
        return self.total / self.values

    @property
    def spread(self) -> float:
        """The standard deviation of the float net's answers."""
        mean = self.reference_sum / self.values
        return float(max(0.0, self.reference_squares / self.values - mean**2) ** 0.5)

    def result(self) -> dict[str, Any]:
        """Give the fields of a record."""
        return {
            "parity_max_abs": self.largest,
            "parity_mean_abs": self.mean,
            "parity_top1": self.same / self.comparable if self.comparable else None,
        }
