"""A training that was stopped goes on from its last whole epoch, and ends in the same weights.

A checkpoint is all that the next epoch depends on: weights, momentum, random states, and what was
reported. It is kept in the cache under the hash of all that shapes the training.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from paretomark.models import _cache, _sources
from paretomark.models.data import _data
from paretomark.models.nets import _zoo
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec import _plugins


def checkpoint_file(name: str, recipe: Training) -> Path:
    """Say where the checkpoint of the training of a net is, or will be.

    Raises UserError for a net that is none.
    """
    parts = [name, json.dumps(asdict(recipe), sort_keys=True), torch.__version__]
    parts += [str(torch.get_num_threads())]  # sums in another order are other sums
    reader = _plugins.module_name("data", _zoo.data(name).partition(":")[0])
    parts += [_data.stamp(_zoo.data(name)), _zoo.code(name)]
    loss = _plugins.module_name("tasks", _zoo.task(name))
    parts += [_sources.digest("paretomark.models.training._train", reader, loss)]
    if teacher := recipe.teacher:
        parts += [_zoo.code(teacher), _cache.sha256(_zoo.weights(teacher))]
    return _cache.folder() / "training" / f"{name}-{_cache.key(parts)}.pt"


def save(
    file: Path,
    net: nn.Module,
    optimiser: Optimizer,
    rng: np.random.Generator,
    told: Mapping[str, Any],
) -> None:
    """Keep the state after an epoch; `told` is what is plain JSON of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "torch": torch.get_rng_state(),
        "told": json.dumps({**told, "numpy": rng.bit_generator.state}),
    }
    part = file.with_name(f"{file.name}.{os.getpid()}")
    torch.save(state, part)
    part.replace(file)


def restore(
    file: Path, net: nn.Module, optimiser: Optimizer, rng: np.random.Generator
) -> dict[str, Any]:
    """Put the state back; return what was told with it, {} if there is none or it is damaged."""
    try:
        state = torch.load(file, weights_only=True)
    except FileNotFoundError:
        return {}
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        return {}  # the training starts anew, and writes over it
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch"])
    told: dict[str, Any] = json.loads(state["told"])
    rng.bit_generator.state = told.pop("numpy")
    return told
