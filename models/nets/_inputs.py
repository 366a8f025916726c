"""Declared inputs of a net as it takes them: in the order of its `forward`, as tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from paretomark.models.data import _declared
from paretomark.suites.spec._errors import UserError, explained, unknown
from paretomark.suites.spec._model import Input

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def ordered(net: nn.Module, inputs: Mapping[str, Input]) -> dict[str, Input]:
    """Return the inputs in the order of the parameters of `forward`.

    Raises UserError for a name that is none of these, and where one before the last is not
    declared: runtimes give inputs by their place.
    """
    parameters = inspect.signature(net.forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return dict(inputs)  # as they are declared
    names = [p.name for p in parameters if p.kind in POSITIONAL]
    for name in inputs:
        if name not in names:
            raise unknown("input", name, names, f"forward of {type(net).__name__}")
    last = max(names.index(name) for name in inputs)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in POSITIONAL]
    for name in dict.fromkeys([*names[: last + 1], *needed]):
        if name not in inputs:
            raise UserError(
                f"forward of {type(net).__name__} takes {', '.join(names)}: declare '{name}' too, "
                "as in inputs = { " + name + " = { shape = [...] } }, or return a net whose "
                "forward takes what is declared only"
            )
    return {name: inputs[name] for name in names if name in inputs}


def samples(
    inputs: Mapping[str, Input], batch: int, seed: int, count: int
) -> list[tuple[Tensor, ...]]:
    """Return `count` calls of a net with these inputs, as `_declared.calls` draws them."""
    calls = _declared.calls(inputs, batch, seed, count)
    return [tuple(torch.from_numpy(array) for array in call.values()) for call in calls]


def check(net: nn.Module, inputs: Mapping[str, Input], sample: tuple[Tensor, ...]) -> None:
    """Raise UserError if a net cannot be called with a sample of its inputs."""
    try:
        with torch.no_grad():
            net(*(x.clone() for x in sample))
    except Exception as error:
        given = ", ".join(
            f"{name} {str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
            for name, x in zip(inputs, sample, strict=True)
        )
        raise UserError(
            f"the net does not take the inputs that are declared, {given} "
            f"({explained(error, 200)}); whole numbers as ends of a range make integers, as in "
            "range = [0, 99], and others real numbers, as in range = [0.0, 1.0]"
        ) from None
