"""Weights of a safetensors file, put into a net."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from paretomark.suites.spec._errors import UserError


def fill(net: nn.Module, weights: Path) -> None:
    """Put the weights of a safetensors file into a net, in place. Raises UserError if they do not
    fit."""
    try:
        state = load_file(weights)
        for name, twin in _twins(net):  # of tensors that are one, a file may hold one
            if name not in state and twin in state:
                state[name] = state[twin]
        net.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(
            f"{weights} is missing: name trained weights with 'weights = \"...\"' in the suite, "
            "or train the net with `bench.py train`"
        ) from None
    except SafetensorError as error:
        raise UserError(f"{weights} is not a readable safetensors file: {error}") from None
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise UserError(f"{weights} does not fit the net: {' '.join(lines[1:3]).strip()}") from None
    for name, twin in _twins(net):
        if not torch.equal(state[name].nan_to_num(), state[twin].nan_to_num()):
            raise UserError(
                f"{weights} does not fit the net: {name} and {twin} are one tensor in the net, and "
                "two that differ in the file"
            )


def _twins(net: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of tensors of a net that are one in memory, both ways."""
    names: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in net.state_dict().items():
        if tensor.numel():
            place = tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
            names.setdefault(place, []).append(name)
    yield from (pair for same in names.values() for pair in itertools.permutations(same, 2))
