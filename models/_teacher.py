"""A trained net that another one learns from.

Source: Hinton et al., "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from paretomark.models import _zoo
from paretomark.models._data import Preprocess
from paretomark.suites._errors import UserError


@dataclass(frozen=True)
class Teacher:
    """A net to learn from besides the labels: the loss is (1 - weight) x that of the labels plus
    weight x the distance to the teacher's answers, as in `paretomark.models._loss`."""

    net: nn.Module
    temperature: float = 4.0
    weight: float = 0.7


def load(name: str, weights: Path, preprocess: Preprocess, task: str) -> nn.Module:
    """A trained net of the zoo. Raises UserError for one that sees or says something else."""
    plugin = importlib.import_module(f"paretomark.models.{name}")
    if preprocess != plugin.PREPROCESS:
        wants = f"{plugin.PREPROCESS}, not {preprocess}"
        raise UserError(f"teacher {name} wants its pictures as {wants}")
    if _zoo.task(name) != task:
        raise UserError(f"teacher {name} is trained for {_zoo.task(name)}, not for {task}")
    net: nn.Module = plugin.net().eval()
    try:
        net.load_state_dict(load_file(weights))
    except FileNotFoundError:
        raise UserError(f"the teacher's weights are missing: {weights}; train {name}") from None
    return net.requires_grad_(False)
