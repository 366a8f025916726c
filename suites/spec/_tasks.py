"""The tasks that a net may have, and what the quality of its answers is called.

classification   the class of a picture; per picture right or wrong
segmentation     the class of every pixel; per picture the mean over its classes of intersection
                 over union, which unlike that of all pixels can be compared picture by picture
                 (Csurka et al., "What is a good evaluation measure for semantic segmentation?",
                 BMVC 2013)
keypoints        where some named points are; per picture the share of them within a tenth of the
                 size of what they belong to (PCK: Yang & Ramanan, "Articulated human detection with
                 flexible mixtures of parts", PAMI 2013)
"""

from __future__ import annotations

CLASSIFICATION, SEGMENTATION, KEYPOINTS = "classification", "segmentation", "keypoints"
METRICS = {CLASSIFICATION: "accuracy", SEGMENTATION: "mean IoU", KEYPOINTS: "PCK"}
LONG = {
    CLASSIFICATION: "accuracy (top-1)",
    SEGMENTATION: "mean IoU of a picture",
    KEYPOINTS: "PCK: keypoints within a tenth of the size",
}


def metric(task: str) -> str:
    """What the quality of answers is called in a task: "accuracy" where none is known."""
    return METRICS.get(task, METRICS[CLASSIFICATION])
