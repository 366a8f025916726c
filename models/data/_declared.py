"""The numbers of declared inputs: the same when a net is built and when it is visited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.models.data._data import ROTATING_BATCHES
from paretomark.suites.spec._model import Input

Call = dict[str, NDArray[Any]]  # an array for each input, by name


def calls(
    inputs: Mapping[str, Input], batch: int, seed: int, count: int = ROTATING_BATCHES
) -> list[Call]:
    """Draw what a net is called with, `count` times: int64 or float32, evenly within its range."""
    rng = np.random.default_rng(seed)
    return [{name: _drawn(it, batch, rng) for name, it in inputs.items()} for _ in range(count)]


def _drawn(declared: Input, batch: int, rng: np.random.Generator) -> NDArray[Any]:
    (low, high), shape = declared.range, declared.sizes(batch)
    if declared.whole:
        return rng.integers(int(low), int(high) + 1, shape, np.int64)
    return rng.uniform(low, high, shape).astype(np.float32)
