"""The zoo: one net per file in this folder, named by its file.

A net's file has

    DATA = "scenes"                 the data set it was trained on
    PREPROCESS = Preprocess(...)    how it wants to see a picture
    TRAIN = Training(...)           optional: the recipe of `bench.py train NAME`
    TASK = "segmentation"           optional: its task, of `paretomark.suites._tasks`
    def net() -> nn.Module          the float net, untrained: float32 (N, C, H, W) to logits, of
                                    a picture (N, classes), or of every pixel (N, classes, H, W),
                                    a single one being that of the figure; or to x and y of
                                    keypoints (N, 2K), in widths and heights

and its trained weights, if the project ships them, in `models/weights/NAME.safetensors`.
Only child processes import these files: they import torch.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path

from paretomark.suites._tasks import CLASSIFICATION

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "weights"


@dataclass(frozen=True)
class Training:
    """SGD with momentum, one linear warm-up epoch, then a cosine to zero; see `_loss.py`.

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
    colour: float = 0.0  # brightness and contrast by up to this share
    cutout: int = 0  # side of a square that is blanked
    mixup: float = 0.0  # alpha of the Beta distribution that shares are drawn from; 0: not at all
    cutmix: float = 0.0  # likewise
    frozen_norm: bool = False  # batch normalisation keeps the statistics that it has
    teacher: str = ""  # a net of the zoo to learn from besides the labels
    patience: int = 0  # stop after so many epochs without a loss 1 % below the least; 0: never


def names() -> list[str]:
    """The nets there are: the files of this folder without a leading underscore."""
    return sorted(p.stem for p in FOLDER.glob("[!_]*.py"))


def data(name: str) -> str:
    """The data set that a net was trained on: DATA in its file, which is not imported for that."""
    found = _constant(name, "DATA")
    if found is None:
        raise ValueError(f"models/{name}.py has no DATA")
    return found


def task(name: str) -> str:
    """The task of a net: TASK in its file, which is not imported for that."""
    return _constant(name, "TASK") or CLASSIFICATION


def _constant(name: str, constant: str) -> str | None:
    """A text that a net's file defines, or takes from that of another net."""
    for node in ast.parse((FOLDER / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [constant]:
            return str(ast.literal_eval(node.value))
        if isinstance(node, ast.ImportFrom) and any(alias.name == constant for alias in node.names):
            return _constant(str(node.module).rpartition(".")[2], constant)
    return None


def layers(file: Path) -> set[str]:
    """The convolutions and linear layers, from the head of a safetensors file."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        head = json.loads(stream.read(min(size, 100_000_000)))
    return {
        name.removesuffix(".weight")
        for name, tensor in head.items()
        if name.endswith(".weight") and len(tensor["shape"]) > 1
    }


def weights(name: str) -> Path:
    """Where the shipped weights of a net are (the file need not exist)."""
    return WEIGHTS / f"{name}.safetensors"
