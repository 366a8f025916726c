"""How good answers are, picture by picture, by the measure of a task (`spec._tasks`).

Truth is what a data set gives as `Examples.labels`; answers are what a net gives, as float32.
Only NumPy: the process that times a device scores with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOID = 255  # a pixel of no class, which is not scored, as in PASCAL VOC and Cityscapes
PCK_SHARE = 0.1  # of the size of what the keypoints belong to
Floats = NDArray[np.float32]
Scores = NDArray[np.float64]


class Misfit(ValueError):
    """Answers that do not fit the truth; the message says how."""


def channels_last(answers: Floats, size: tuple[int, int]) -> Floats:
    """Answers for every pixel as (N, H, W, C), of (N, C, H, W), (N, H, W, C) or (N, H, W).

    Raises Misfit unless there is an answer for every pixel of a picture of `size` (H, W).
    """
    if answers.ndim == 3:
        answers = answers[..., None]
    if answers.ndim == 4 and answers.shape[1:3] != size and answers.shape[2:] == size:
        answers = answers.transpose(0, 2, 3, 1)
    if answers.ndim != 4 or answers.shape[1:3] != size:
        raise Misfit(
            f"answers of shape {answers.shape} for pictures of {size[0]}x{size[1]}: the net must "
            "give a class to every pixel that it is shown"
        )
    return answers


def classes(answers: Floats) -> NDArray[np.int64]:
    """The class of every pixel, (N, H, W), of logits (N, H, W, C).

    Of a single logit the sign decides, between ground, 0, and figure, 1.
    """
    if answers.shape[3] == 1:
        return (answers[..., 0] > 0).astype(np.int64)
    found: NDArray[np.int64] = answers.argmax(3)
    return found


def confusion(found: NDArray[np.int64], truth: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Per picture how many pixels of each class (row) were given each class: (N, C, C).

    A net of two classes tells figure from ground: every true class but 0 is 1 to it. Raises Misfit
    for a true class that the net does not have.
    """
    known = truth != VOID
    if count == 2:
        truth = np.minimum(truth, 1)
    if (largest := int(truth[known].max(initial=0))) >= count:
        raise Misfit(f"the masks have a class {largest}, the net has {count} from 0 on")
    picture = np.arange(len(truth))[:, None, None] * count * count
    cells = (picture + truth.astype(np.int64) * count + found)[known]
    return np.bincount(cells, minlength=len(truth) * count * count).reshape(-1, count, count)


def iou(counts: NDArray[np.int64]) -> Scores:
    """The mean over the classes that are there of intersection over union: (N, C, C) to (N,)."""
    same = np.diagonal(counts, axis1=-2, axis2=-1)
    there = counts.sum(-1) > 0
    union = counts.sum(-1) + counts.sum(-2) - same
    shares = np.where(there, same / np.maximum(union, 1), 0.0)
    scores: Scores = shares.sum(-1) / np.maximum(there.sum(-1), 1)
    return scores


def distances(answers: Floats, truth: Floats, size: tuple[int, int]) -> Scores:
    """How far each keypoint is off, in sizes of what it belongs to: (N, K); NaN if not labelled.

    Answers are x and y of each point in widths and heights of the picture, truth is x, y in pixels
    of a picture of `size` (height, width) and the visibility. The size is the longer side of the
    box around the labelled points. Raises Misfit unless there is an answer for every point.
    """
    count = truth.shape[1]
    if answers[0].size != 2 * count:
        raise Misfit(
            f"answers of shape {answers.shape} for {count} keypoints: the net must give x and y "
            "of each, in widths and heights"
        )
    height, width = size
    scale = np.array([width, height], np.float64)
    labelled = truth[..., 2] > 0
    where = np.where(labelled[..., None], truth[..., :2], np.nan)
    with np.errstate(all="ignore"):
        box = np.fmax.reduce(where, axis=1) - np.fmin.reduce(where, axis=1)
        length = np.maximum(np.nan_to_num(box).max(-1), 1.0)  # at least a pixel
        off = np.hypot(*np.moveaxis(answers.reshape(-1, count, 2) * scale - where, -1, 0))
    found: Scores = off / length[:, None]
    return found


def pck(off: Scores) -> Scores:
    """The share of the labelled keypoints that are near enough: (N, K) to (N,)."""
    labelled = np.maximum((~np.isnan(off)).sum(1), 1)
    scores: Scores = (off <= PCK_SHARE).sum(1) / labelled
    return scores
