"""Whether answers are right, but for the order of the classes: the commonest fault of all.

A net that was trained with other class numbers than the data has is wrong nearly always, and yet
its answers tell the labels: each answer goes with one label. That is learnt from one half of the
examples and tried on the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int64]
FEWEST = 20  # examples that can show it
GAIN = 0.25  # in accuracy, that another order has to bring; and
ERRORS = 4.0  # standard errors
MOST, HARDLY, MANY = 0.5, 0.1, 5  # shares of answers that are right, and classes


class Suspicion(NamedTuple):
    """What may be wrong with the order of classes, and whether that is beyond doubt."""

    text: str = ""
    certain: bool = False


def suspicion(top: Classes, truth: Classes, label_offset: int) -> Suspicion:
    """Say that another order of classes, or another offset, fits far better.

    Beyond doubt is only an offset that makes most of many classes right of which hardly any was: a
    net may as well be bad in a way that another order would suit.
    """
    count = len(truth)
    if count < FEWEST:
        return Suspicion()
    right = float((top == truth).mean())
    needed = right + max(GAIN, ERRORS * float(np.sqrt(0.25 / count)))
    for shift in (1, -1):
        moved = float((top - shift == truth).mean())
        if moved > needed and label_offset + shift >= 0:
            certain = moved > MOST and right < HARDLY and len(np.unique(truth)) >= MANY
            return Suspicion(
                f"answers are off by {shift:+d}: {moved:.0%} would be right with label_offset = "
                f"{label_offset + shift}, {right:.0%} are with {label_offset}",
                certain,
            )
    moved = _reordered(top, truth)
    if moved > needed:
        return Suspicion(
            f"answers fit the labels better in another order of classes ({moved:.0%} instead of "
            f"{right:.0%}): do net and data number them alike?"
        )
    return Suspicion()


def _reordered(top: Classes, truth: Classes) -> float:
    """The accuracy by the label that goes with each answer in the other half of the examples."""
    right, half = 0, np.arange(len(truth)) % 2
    for part in (0, 1):
        learnt, tried = half == part, half != part
        label = {
            answer: int(np.bincount(truth[learnt & (top == answer)]).argmax())
            for answer in np.unique(top[learnt]).tolist()
        }
        right += sum(
            label.get(a) == t
            for a, t in zip(top[tried].tolist(), truth[tried].tolist(), strict=True)
        )
    return right / len(truth)
