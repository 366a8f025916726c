"""A trained net that another one learns from.

Source: Hinton et al., "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from paretomark.models import _nets, _zoo
from paretomark.models._data import Preprocess
from paretomark.suites._errors import UserError
from paretomark.suites._suite import Model, Pixels


@dataclass(frozen=True)
class Teacher:
    """A net to learn from besides the labels: the loss is (1 - weight) x that of the labels plus
    weight x the distance to the teacher's answers, as in `paretomark.models._loss`."""

    net: nn.Module
    temperature: float = 4.0
    weight: float = 0.7


def load(name: str, weights: Path | None, preprocess: Preprocess, task: str) -> nn.Module:
    """A trained net, by its name. Raises UserError for one that sees or says something else.

    `weights` is None for those that come with a library's net or a function of the user's.
    """
    if weights and not weights.exists():
        raise UserError(f"the teacher's weights are missing: {weights}; train {name}")
    # A function says nothing of pictures or of its task: it has those of its pupil.
    own = _zoo.split(name).kind == "python"
    pixels = Pixels(**asdict(preprocess)) if own else None
    given = str(weights) if weights else ""
    model = Model(net=name, weights=given, preprocess=pixels, task=task if own else "")
    with torch.random.fork_rng(devices=[]):
        teacher = _nets.load(model, 0)
    if preprocess != teacher.preprocess:
        wants = f"{teacher.preprocess}, not {preprocess}"
        raise UserError(f"teacher {name} wants its pictures as {wants}")
    if teacher.task != task:
        raise UserError(f"teacher {name} is trained for {teacher.task}, not for {task}")
    return teacher.module.requires_grad_(False)
