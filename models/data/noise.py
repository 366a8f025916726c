"""Seeded random pictures without meaning, for nets that are only timed or compared with themselves.

Coarse coloured patches with grain on them: unlike plain noise, no two look alike to a net.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

MOST = 64  # pictures: nothing is learnt from more
PATCHES = 6
GRAIN = 24
_SEEDS: dict[Split, int] = {"calibration": 1, "test": 2}


def splits(argument: str) -> tuple[Split, ...]:
    """Return all but the training split."""
    return tuple(_SEEDS)


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return `count` pictures, at most MOST, all of class 0. Raises UserError for training
    pictures."""
    if split not in _SEEDS:
        raise UserError("nothing can be learnt from noise: name a data set with 'data = \"...\"'")
    height, width = preprocess.size if preprocess else (224, 224)
    channels = len(preprocess.mean) if preprocess else 3
    rng = np.random.default_rng(_SEEDS[split])
    images = np.empty((min(count or MOST, MOST), height, width, channels), np.uint8)
    for image in images:
        for channel in range(channels):
            patches = rng.integers(0, 256, (PATCHES, PATCHES), np.uint8)
            smooth = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
            grain = rng.normal(0, GRAIN, (height, width))
            image[..., channel] = np.clip(np.asarray(smooth) + grain, 0, 255)
    return Examples(images, np.zeros(len(images), np.int64))
