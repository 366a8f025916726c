"""The zoo: one net per file in this folder, named by its file.

A net's file has

    DATA = "scenes"                 the data set it was trained on
    PREPROCESS = Preprocess(...)    how it wants to see a picture
    TRAIN = Training(...)           optional: the recipe of `bench.py train NAME`
    def net() -> nn.Module          the float net, untrained: float32 (N, C, H, W) to logits

and its trained weights, if the project ships them, in `models/weights/NAME.safetensors`.
Only child processes import these files: they import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "weights"


@dataclass(frozen=True)
class Training:
    """SGD with momentum, one linear warm-up epoch, then a cosine to zero; label smoothing 0.1.

    Weight decay acts on convolution and linear weights only, not on biases and normalisation.
    """

    epochs: int
    count: int  # training pictures
    batch: int = 64
    lr: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    shift: int = 0  # pictures are moved by up to this many pixels, edges repeated
    flip: bool = False  # half of the pictures are mirrored left to right
    seed: int = 0


def names() -> list[str]:
    """The nets there are: the files of this folder without a leading underscore."""
    return sorted(p.stem for p in FOLDER.glob("[!_]*.py"))


def weights(name: str) -> Path:
    """Where the shipped weights of a net are (the file need not exist)."""
    return WEIGHTS / f"{name}.safetensors"
