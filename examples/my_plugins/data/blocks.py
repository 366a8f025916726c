"""Seeded 8x8 grey pictures of one to four bright blocks on a grid, and how many there are.

Labelled as classes (0 stands for one block) and, for the task `counting`, as numbers.
"""

from __future__ import annotations

import numpy as np

from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._model import Preprocess

TASKS = ("classification", "counting")
VERSION = 1
SIZES: dict[Split, int] = {"train": 4000, "calibration": 256, "test": 1000}


def load(
    split: Split,
    count: int | None,
    preprocess: Preprocess | None,
    argument: str,
    task: str = "classification",
) -> Examples:
    """The first `count` pictures of a split; each is a function of its split and number alone."""
    number = min(SIZES[split], count or SIZES[split])
    images = np.empty((number, 8, 8, 1), np.uint8)
    blocks = np.empty(number, np.int64)
    for i in range(number):
        rng = np.random.default_rng([VERSION, list(SIZES).index(split), i])
        picture = rng.integers(0, 60, (8, 8))
        blocks[i] = rng.integers(1, 5)
        for place in rng.choice(16, blocks[i], replace=False):
            y, x = divmod(int(place), 4)
            picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] += rng.integers(120, 190)
        images[i, :, :, 0] = picture
    return Examples(images, blocks - 1 if task == "classification" else blocks)
