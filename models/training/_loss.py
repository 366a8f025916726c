"""What training makes smaller, by the task, and how good answers are meanwhile.

Answers are those of the net: logits (N, C) or (N, C, H, W), or x and y of K keypoints (N, 2K) in
widths and heights of the picture. Truth is `Examples.labels` as a tensor, a batch of it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from paretomark.models.training import _score
from paretomark.suites.spec._tasks import CLASSIFICATION, SEGMENTATION

SMOOTHING = 0.1  # of the labels of pictures
# Keypoints: an error of a tenth of the picture costs about 1, and counts squared below a fiftieth.
UNIT, BETA = 0.1, 0.2


def loss(task: str, answers: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Cross-entropy per picture or per pixel, or smooth L1 (Girshick, "Fast R-CNN", 2015) on
    coordinates, of pictures of `size` (height, width)."""
    if task == CLASSIFICATION:
        return functional.cross_entropy(answers, truth, label_smoothing=SMOOTHING)
    if task == SEGMENTATION:
        logits = _two(answers)
        wanted = truth.long()
        if logits.shape[1] == 2:
            wanted = torch.where(wanted == _score.VOID, wanted, wanted.clamp(max=1))
        return functional.cross_entropy(logits, wanted, ignore_index=_score.VOID)
    height, width = size
    wanted = truth[..., :2] / torch.tensor([width, height], dtype=truth.dtype)
    labelled = (truth[..., 2:] > 0).expand_as(wanted)
    return _near(answers.reshape(wanted.shape)[labelled], wanted[labelled])


def distance(task: str, answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """How far the answers are from a teacher's: temperature^2 x KL(teacher, net) of the logits
    divided by it (Hinton et al., 2015), per picture or per pixel; of coordinates as `loss`."""
    if task not in (CLASSIFICATION, SEGMENTATION):
        return _near(answers, taught)
    pair = (answers, taught) if task == CLASSIFICATION else (_two(answers), _two(taught))
    mine, soft = (functional.log_softmax(logits / temperature, 1) for logits in pair)
    places = mine.numel() // mine.shape[1]
    return temperature**2 * functional.kl_div(mine, soft, reduction="sum", log_target=True) / places


def scores(task: str, answers: Tensor, truth: Tensor, size: tuple[int, int]) -> float:
    """The sum over the pictures of the measure of the task, each 0..1."""
    if task == CLASSIFICATION:
        return float((answers.argmax(1) == truth).sum())
    found, known = answers.detach().numpy(), truth.numpy()
    if task == SEGMENTATION:
        given = _score.classes(_score.channels_last(found, size))
        return float(_score.iou(_score.confusion(given, known, max(2, found.shape[1]))).sum())
    return float(_score.pck(_score.distances(found, known, size)).sum())


def _two(logits: Tensor) -> Tensor:
    """A single logit, of the figure, as the two of ground and figure."""
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


def _near(answers: Tensor, wanted: Tensor) -> Tensor:
    return functional.smooth_l1_loss(answers / UNIT, wanted / UNIT, beta=BETA)
