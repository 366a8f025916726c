"""A trained net that another one learns from.

Source: Hinton et al., "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from paretomark.models.nets import _load, _zoo
from paretomark.suites.spec._errors import UserError, at
from paretomark.suites.spec._model import Model, Preprocess

ONE = (
    "a teacher says one thing: let a function, python:PATH.py:FUNCTION, return a net of one of them"
)


@dataclass(frozen=True)
class Teacher:
    """A net to learn from besides the labels: the loss is (1 - weight) x that of the labels plus
    weight x the distance to the teacher's answers, see `paretomark.models.training._train`."""

    net: nn.Module
    temperature: float = 4.0
    weight: float = 0.7


def load(name: str, weights: str, preprocess: Preprocess, task: str) -> nn.Module:
    """Return a trained net, by its name, with the weights of a file, or "" for those that come with
    it.

    Raises UserError for one that is not there, says several things, or sees or says something else.
    """
    # A function says nothing of pictures or of its task: it has those of its pupil.
    own = _zoo.split(name).kind == "python"
    model = Model(net=name, weights=weights)
    if own:
        model = replace(model, preprocess=preprocess, task=task)
    with torch.random.fork_rng(devices=[]), _load.imports_kept(), at("teacher"):
        teacher = _load.load(model, 0, several=ONE)
    if preprocess != teacher.preprocess:
        wants = f"{teacher.preprocess}, not {preprocess}"
        raise UserError(f"teacher {name} wants its pictures as {wants}")
    if teacher.task != task:
        raise UserError(f"teacher {name} is trained for {teacher.task}, not for {task}")
    return teacher.module.requires_grad_(False)
