"""What the numbers of an answer mean: declared, or told by their values, and said in the record.

Logits and probabilities of several classes have the same top class, so only two things matter:
where a single output is cut, and whether numbers are scores or already the number of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.spec._model import Meaning, Reading
from paretomark.suites.tasks._task import Misfit

LOGITS: Meaning = "logits"
PROBABILITIES: Meaning = "probabilities"
CLASSES: Meaning = "classes"
CUTS = {LOGITS: 0.0, PROBABILITIES: 0.5}
SLACK = 1e-3  # that a probability may lie outside of 0 and 1, by rounding


@dataclass
class Span:
    """The least and the greatest of all numbers seen, and whether all are whole."""

    least: float = np.inf
    most: float = -np.inf
    whole: bool = True

    def add(self, values: NDArray[np.float32]) -> None:
        """See more numbers."""
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))
        self.whole = self.whole and bool((values == np.rint(values)).all())


def of_single(reading: Reading, span: Span, bare: bool) -> Meaning:
    """Tell what a single output holds. `bare`: it is of integers that have no scale.

    Whole numbers of which one is above 1 are classes; numbers of which none lies outside of 0 and 1
    are probabilities; any other are logits.
    """
    if reading.answers:
        return reading.answers
    if bare or (span.whole and span.least >= 0 and span.most > 1):
        return CLASSES
    inside = span.least >= -SLACK and span.most <= 1 + SLACK
    return PROBABILITIES if inside else LOGITS


def cut(reading: Reading, meaning: Meaning) -> float:
    """Return the number above which a single output says class 1, or figure."""
    return CUTS[meaning] if reading.threshold is None else reading.threshold


def words(reading: Reading, meaning: Meaning) -> str:
    """Say what a single output was taken for."""
    how = "as declared" if reading.answers else "told by the values"
    if meaning == CLASSES:
        return f"numbers of classes, {how}"
    return f"{meaning} of one class, {how}, cut at {cut(reading, meaning):g}"


def numbers(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return answers that are classes as such. Raises Misfit where one is no whole number."""
    rounded = np.rint(values)
    if np.abs(values - rounded).max(initial=0) > SLACK or rounded.min(initial=0) < 0:
        raise Misfit("the answers are no numbers of classes: they are not whole, or below 0")
    return rounded.astype(np.int64)
