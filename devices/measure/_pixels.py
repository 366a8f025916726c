"""Whether pictures, as they are declared to be prepared, are what an input of a model takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Port
from paretomark.devices.measure._wrong import Wrong
from paretomark.suites.spec._model import Preprocess

FEWEST_LEVELS = 16  # that a picture has to keep in an input of integers
COVERED, USED = 0.9, 0.6  # of the pictures' range, and of the input's: less is worth a word
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def is_raw(port: Port) -> bool:
    """Tell whether an input takes integers that mean nothing but themselves."""
    return np.dtype(port.dtype).kind in "iu" and not port.scale


def of_port(preprocess: Preprocess, port: Port) -> Preprocess:
    """Return how pictures are prepared for an input: one of bare integers gets pixels from 0 to 255
    where nothing is declared. Raise Wrong for values that such an input cannot hold."""
    dtype = np.dtype(port.dtype)
    if dtype.kind not in "iuf":
        raise Wrong(f"input {port.name} takes {port.dtype}, which is no number of a pixel")
    if not is_raw(port):
        return preprocess
    limits = np.iinfo(dtype)
    if is_default(preprocess) and limits.max >= 255:
        return dataclasses.replace(preprocess, std=(1.0,) * len(preprocess.std))
    low, high = span(preprocess)
    if low < limits.min or high > limits.max or high - low < FEWEST_LEVELS - 1:
        raise Wrong(
            f"input {port.name} takes {port.dtype} without a scale, and pixels prepared as "
            f"declared go from {low:.4g} to {high:.4g}: declare mean and std such that they fit, "
            "mean 0 and std 1 for pixels as they are"
        )
    return preprocess


def notes(preprocess: Preprocess, port: Port) -> list[str]:
    """Say what a reader has to know of how pictures get into an input of a user's own file."""
    dtype = np.dtype(port.dtype)
    if is_raw(port):
        raw = is_default(preprocess)
        return [f"the input takes {port.dtype}: it was given pixels from 0 to 255"] if raw else []
    if dtype.kind not in "iu":
        return []
    limits = np.iinfo(dtype)
    least, most = ((end - port.zero_point) * port.scale for end in (limits.min, limits.max))
    low, high = span(preprocess)
    both = max(0.0, min(high, most) - max(low, least))
    if both >= COVERED * (high - low) and both >= USED * (most - least):
        return []
    return [
        f"the input holds numbers from {least:.3g} to {most:.3g}, and pixels prepared as declared "
        f"go from {low:.3g} to {high:.3g}: are mean and std right?"
    ]


def is_default(preprocess: Preprocess) -> bool:
    """Tell whether pixels become 0 to 1, which is what is done where nothing is declared."""
    return set(preprocess.mean) == {0.0} and set(preprocess.std) == {255.0}


def span(preprocess: Preprocess) -> tuple[float, float]:
    """Return the least and the greatest number that a pixel becomes."""
    ends = [
        (pixel - mean) / std
        for mean, std in zip(preprocess.mean, preprocess.std, strict=True)
        for pixel in (0, 255)
    ]
    return min(ends), max(ends)


def alternatives(
    images: NDArray[np.uint8], preprocess: Preprocess
) -> Iterator[tuple[NDArray[np.uint8], Preprocess]]:
    """Give pictures (N, H, W, C) as they are, and in grey (N, H, W, 1) where all channels are
    prepared alike."""
    yield images, preprocess
    alike = len(set(preprocess.mean)) == len(set(preprocess.std)) == 1
    if images.shape[3] == 3 and alike:
        grey = np.rint(images.astype(np.float32) @ np.array(LUMA, np.float32))
        one = dataclasses.replace(preprocess, mean=preprocess.mean[:1], std=preprocess.std[:1])
        yield grey.astype(np.uint8)[..., None], one
