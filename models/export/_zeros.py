"""How many weights a file holds, and how many of them are zero there: pruning may be lost on the
way into it, as where a quantizer's zero is not the zero of the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def counted(constants: Iterable[NDArray[Any]]) -> tuple[int, int]:
    """Return the number of weights, and of zeros among them.

    Weights are the constants with two dimensions or more that are longer than one: biases and
    scales, whatever shape a format gives them, are not.
    """
    weights = [c for c in constants if sum(size > 1 for size in c.shape) > 1]
    total = sum(w.size for w in weights)
    return total, total - sum(int(np.count_nonzero(w)) for w in weights)
