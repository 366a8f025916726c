"""The parity of a device's answers with those of the float net that the file was made from.

It is gathered batch by batch. Answers and references are float32, examples first, as the scorer of
the task has read them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretomark.suites.tasks._task import Floats, Scorer, Scores


# How far answers may be off the float net's, in spreads of those; int8 may be off, and is shown.
LIMITS = {"fp32": 0.05, "tf32": 0.05, "fp16": 0.05, "bf16": 0.05}
# Of quantized answers, Cohen's kappa with the float net's (1: the same, 0: as by chance), or, where
# answers are no classes, the share of their variance that agrees. Below these they are far off, and
# mean nothing.
FAR, NOTHING = 0.6, 0.1
FEWEST = 8  # examples, below which neither is said


@dataclass
class Parity:
    """How far the answers are from the float net's, and how far those spread.

    The spread is around the mean of all answers: a net with one output has none within a picture.
    """

    largest: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    reference_sum: float = 0.0
    reference_squares: float = 0.0
    values: int = 0
    examples: int = 0
    same: int = 0
    comparable: int = 0
    said: Counter[int] = field(default_factory=Counter)  # how often each class is answered
    reference_said: Counter[int] = field(default_factory=Counter)
    sums: Scores | None = None  # of the float net's answers that are no classes, by output
    sums_of_squares: Scores | None = None

    def add(self, answers: Floats, reference: Floats, scorer: Scorer) -> None:
        """Compare a batch of equal shapes."""
        classes, others = scorer.classes(answers), scorer.classes(reference)
        if classes is not None and others is not None:
            self.same += int((classes == others).sum())
            self.comparable += classes.size
            self.said.update(_counted(classes))
            self.reference_said.update(_counted(others))
        error = np.abs(answers - reference)
        self.largest = max(self.largest, float(error.max()))
        self.total += float(error.sum(dtype=np.float64))
        self.squares += float((error.astype(np.float64) ** 2).sum())
        exact = reference.astype(np.float64)
        self.reference_sum += float(exact.sum())
        self.reference_squares += float((exact**2).sum())
        if classes is None:  # of classes they are not asked, and may be of every pixel
            self.sums = exact.sum(0) + (0 if self.sums is None else self.sums)
            before = 0 if self.sums_of_squares is None else self.sums_of_squares
            self.sums_of_squares = (exact**2).sum(0) + before
        self.values += error.size
        self.examples += len(reference)

    @property
    def mean(self) -> float:
        """The mean absolute difference."""
        return self.total / self.values

    @property
    def spread(self) -> float:
        """The standard deviation of the float net's answers."""
        mean = self.reference_sum / self.values
        return float(max(0.0, self.reference_squares / self.values - mean**2) ** 0.5)

    @property
    def agreement(self) -> float | None:
        """Cohen's kappa of classes (Cohen, "A coefficient of agreement for nominal scales", 1960);
        else 1 less the squared error over the variance of the float net's answers, each around
        its own mean. None where the float net says the same of all, or there are too few."""
        if self.examples < FEWEST:
            return None
        if self.comparable:
            shares = (n * self.said[c] for c, n in self.reference_said.items())
            chance = sum(shares) / self.comparable**2
            return (self.same / self.comparable - chance) / (1 - chance) if chance < 1 else None
        if self.sums is None or self.sums_of_squares is None:
            return None
        variance = float((self.sums_of_squares - self.sums**2 / self.examples).sum())
        return 1 - self.squares / variance if variance > 0 else None

    def result(self) -> dict[str, Any]:
        """Give the fields of a record."""
        return {
            "parity_max_abs": self.largest,
            "parity_mean_abs": self.mean,
            "parity_top1": self.same / self.comparable if self.comparable else None,
        }

    def quantized(self) -> dict[str, Any]:
        """Say what a reader has to know of answers that may be off: `warnings`, or `broken`."""
        agreement = self.agreement
        if agreement is None or agreement >= FAR:
            return {}
        kind = "beyond chance" if self.comparable else "of their variance"
        says = f"answers agree with the float net's by {max(0.0, agreement):.0%} {kind}"
        if agreement < NOTHING:
            return {"broken": f"broken by quantization: {says}"}
        return {"warnings": [f"far off by quantization: {says}"]}


def _counted(classes: NDArray[np.int64]) -> dict[int, int]:
    numbers, counts = np.unique(classes, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
