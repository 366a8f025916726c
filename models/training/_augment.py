"""What training does to its pictures; the recipe (`Training`) says which.

Crop and flip as usual for CIFAR (He et al., 2015), Cutout (DeVries & Taylor, 2017), Mixup (Zhang
et al., 2018), CutMix (Yun et al., 2019). Pictures are uint8 (N, H, W, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.models.nets._zoo import Training

Pictures = NDArray[np.uint8]


def augment(
    images: Pictures,
    labels: NDArray[Any],
    training: Training,
    rng: np.random.Generator,
    mirrored: tuple[int, ...] = (),
) -> tuple[Pictures, NDArray[Any]]:
    """Change single pictures, and masks (N, H, W) and keypoints (N, K, 3) with them.

    Both are copies already, and may be changed. `mirrored` is that of `Examples`.
    """
    if training.flip:
        turned = rng.random(len(images)) < 0.5
        images[turned] = images[turned, :, ::-1]
        labels = _mirrored(labels, turned, images.shape[2], mirrored)
    if training.shift:
        offsets = rng.integers(0, 2 * training.shift + 1, (len(images), 2))
        images = _shifted(images, training.shift, offsets)
        labels = _shifted_labels(labels, training.shift, offsets)
    if training.colour:
        images = _coloured(images, training.colour, rng)
    if training.cutout:
        height, width = images.shape[1:3]
        centres = rng.integers((height, width), size=(len(images), 2))
        for image, (y, x) in zip(images, centres, strict=True):
            top, left = y - training.cutout // 2, x - training.cutout // 2
            bottom, right = min(height, top + training.cutout), min(width, left + training.cutout)
            image[max(0, top) : bottom, max(0, left) : right] = 128
    return images, labels


def mix(
    images: Pictures, training: Training, rng: np.random.Generator
) -> tuple[Pictures, NDArray[np.int64], float]:
    """Mix each picture with a partner: the mixture, the partners' places, the share kept.

    Mixup and CutMix take turns by chance where the recipe has both; the share is 1 with neither.
    """
    chosen = [a for a in (training.mixup, training.cutmix) if a]
    partners = rng.permutation(len(images))
    if not chosen:
        return images, partners, 1.0
    cut = bool(training.cutmix) and (not training.mixup or rng.random() < 0.5)
    alpha = training.cutmix if cut else training.mixup
    share = float(rng.beta(alpha, alpha))
    if not cut:
        blend = share * images.astype(np.float32) + (1 - share) * images[partners]
        return np.rint(blend).astype(np.uint8), partners, share
    height, width = images.shape[1:3]
    side = np.sqrt(1 - share)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    rows = slice(max(0, y - int(height * side) // 2), y + int(height * side) // 2)
    columns = slice(max(0, x - int(width * side) // 2), x + int(width * side) // 2)
    mixed = images.copy()
    mixed[:, rows, columns] = images[partners][:, rows, columns]
    return mixed, partners, 1 - mixed[0, rows, columns, 0].size / (height * width)


def _mirrored(
    labels: NDArray[Any], turned: NDArray[np.bool_], width: int, images: tuple[int, ...]
) -> NDArray[Any]:
    """Labels of which those `turned` are mirrored left to right; class indices stay."""
    if labels.dtype == np.uint8:
        labels[turned] = labels[turned, :, ::-1]
    elif labels.ndim == 3:
        points = labels[turned][:, list(images) or slice(None)]
        points[..., 0] = width - points[..., 0]
        labels[turned] = points
    return labels


def _shifted(images: Pictures, reach: int, offsets: NDArray[np.int64]) -> Pictures:
    height, width = images.shape[1:3]
    around = [(0, 0), (reach, reach), (reach, reach), (0, 0)][: images.ndim]
    wide = np.pad(images, around, mode="edge")
    for image, source, (dy, dx) in zip(images, wide, offsets, strict=True):
        image[:] = source[dy : dy + height, dx : dx + width]
    return images


def _shifted_labels(labels: NDArray[Any], reach: int, offsets: NDArray[np.int64]) -> NDArray[Any]:
    if labels.dtype == np.uint8:
        return _shifted(labels, reach, offsets)
    if labels.ndim == 3:
        labels[..., :2] += (reach - offsets[:, None, ::-1]).astype(labels.dtype)
    return labels


def _coloured(images: Pictures, reach: float, rng: np.random.Generator) -> Pictures:
    """Brightness, contrast and the balance of the channels, each by up to `reach`."""
    count, channels = len(images), images.shape[-1]
    contrast = 1 + reach * rng.uniform(-1, 1, (count, 1, 1, channels))
    brightness = 255 * reach * rng.uniform(-0.5, 0.5, (count, 1, 1, 1))
    changed = (images - 128.0) * contrast + 128.0 + brightness
    rounded: Pictures = np.rint(changed.clip(0, 255)).astype(np.uint8)
    return rounded
