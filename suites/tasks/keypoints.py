"""Where some named points are: per picture the share of them within a tenth of the size.

PCK: Yang & Ramanan, "Articulated human detection with flexible mixtures of parts", PAMI 2013; the
size is that of what the points belong to. Answers are x and y of K points (N, 2K), in widths and
heights of the picture; truth is x, y in pixels and the visibility, float32 (N, K, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.tasks._task import Misfit, Question, Scorer, recorded

if TYPE_CHECKING:
    from torch import Tensor

    from paretomark.suites.tasks._task import Floats, Scores

METRIC = "PCK"
LONG = "PCK: keypoints within a tenth of the size"
MEASURES = {
    "keypoint_error": (
        "keypoint error",
        "%",
        "lower",
        "mean error of keypoints, in sizes of what they belong to",
    )
}
PCK_SHARE = 0.1  # of the size
REACH = 4.0  # pictures that a typical coordinate may be away from the corner
SWAP = 0.3  # in PCK that swapping x and y has to bring, to be called a fault
# An error of a tenth of the picture costs about 1 in training, and counts squared below a fiftieth.
UNIT, BETA = 0.1, 0.2


def scores(answers: Floats, truth: Floats, size: tuple[int, int]) -> Scores:
    """PCK of each picture: (N, 2K) and (N, K, 3) to (N,). Raises Misfit."""
    return pck(distances(answers, truth, size))


def scorer(question: Question) -> Scorer:
    """The scorer of points in pictures of a size."""
    return _Points(question.size)


def loss(answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Smooth L1 (Girshick, "Fast R-CNN", 2015) on the coordinates of labelled points."""
    import torch

    height, width = size
    wanted = truth[..., :2] / torch.tensor([width, height], dtype=truth.dtype)
    labelled = (truth[..., 2:] > 0).expand_as(wanted)
    return _near(answers.reshape(wanted.shape)[labelled], wanted[labelled])


def distance(answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """The same of all coordinates; there is no temperature."""
    return _near(answers, taught)


def distances(answers: Floats, truth: Floats, size: tuple[int, int]) -> Scores:
    """How far each keypoint is off, in sizes of what it belongs to: (N, K); NaN if not labelled.

    The size is the longer side of the box around the labelled points. Raises Misfit unless there is
    an answer for every point.
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
    relative: Scores = off / length[:, None]
    return relative


def pck(off: Scores) -> Scores:
    """The share of the labelled keypoints that are near enough: (N, K) to (N,); NaN without any."""
    with np.errstate(invalid="ignore"):
        shares: Scores = (off <= PCK_SHARE).sum(1) / (~np.isnan(off)).sum(1)
    return shares


def _near(answers: Tensor, wanted: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.smooth_l1_loss(answers / UNIT, wanted / UNIT, beta=BETA)


@dataclass
class _Points:
    size: tuple[int, int]
    scores: list[Scores] = field(default_factory=list)
    off: list[Scores] = field(default_factory=list)
    swapped: list[Scores] = field(default_factory=list)  # scores if x and y were the other way
    reach: list[float] = field(default_factory=list)

    def read(self, answers: Floats) -> Floats:
        return answers.reshape(len(answers), -1)

    def add(self, answers: Floats, truth: NDArray[Any]) -> None:
        off = distances(answers, truth, self.size)
        self.scores.append(pck(off))
        self.off.append(off)
        self.reach.append(float(np.median(np.abs(answers))))
        turned = answers.reshape(len(answers), -1, 2)[..., ::-1].reshape(answers.shape)
        self.swapped.append(pck(distances(turned, truth, self.size)))

    def classes(self, answers: Floats) -> None:
        return None

    def result(self) -> dict[str, Any]:
        if (reach := float(np.median(self.reach))) > REACH:
            raise Misfit(
                f"answers are about {reach:.0f}, as if in pixels: the net must give x and y in "
                "widths and heights of the picture, from 0 to 1"
            )
        result = recorded(self.scores, "no point is labelled")
        own, turned = (float(np.nanmean(np.concatenate(s))) for s in (self.scores, self.swapped))
        fault = f"x and y are swapped: PCK would be {turned:.0%}, not {own:.0%}"
        return result | {
            "answers": "x and y of points, in widths and heights",
            "measures": {"keypoint_error": float(np.nanmean(np.concatenate(self.off)))},
            "broken": fault if turned > own + SWAP else "",
        }
