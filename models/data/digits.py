"""scikit-learn's 1,797 real handwritten digits, 8x8 grey: the fast data set for tests.

Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
"""

from __future__ import annotations

import numpy as np

from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._model import Preprocess

CLASSES = 10
SIZE = (8, 8)
_BOUNDS: dict[Split, tuple[int, int]] = {
    "train": (0, 1197),
    "calibration": (1197, 1297),
    "test": (1297, 1797),
}


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures uint8 (N, 8, 8, 1), shades 0..16 stretched to 0..255; one shuffle, cut in
    three."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    start, stop = _BOUNDS[split]
    chosen = order[start:stop][:count]
    shades = np.rint(bunch.images[chosen] * (255.0 / 16.0)).astype(np.uint8)
    return Examples(shades[..., None], bunch.target[chosen].astype(np.int64))
