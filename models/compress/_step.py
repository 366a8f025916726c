"""What every compression method is: one file here, with one pure function.

    def apply(net, ctx, *, sparsity: float, scope: str = "global") -> nn.Module

It returns a new net and leaves the one it got alone. Its keyword parameters are the schema
of a recipe's step. The files import torch only inside functions, for the parent process
reads their signatures. A bad value raises UserError in `check`, if the method has one:

    def check(*, sparsity: float, scope: str = "global") -> None

which the parent calls for every recipe before anything is built.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from paretomark.models._data import Preprocess
from paretomark.suites._errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Context:
    """What a method may know besides the net."""

    data: str  # the data set of the net; its train split is there to train on
    preprocess: Preprocess
    seed: int


def names() -> list[str]:
    """The methods there are: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))


def methods() -> dict[str, list[str]]:
    """The parameters of every method, by name."""
    return {name: list(_parameters(_module(name))) for name in names()}


def check(step: Mapping[str, Any], where: str) -> None:
    """Raise UserError if a step lacks a parameter, or has one of a wrong type or value."""
    module, given = _module(step["method"]), _given(step)
    for name, parameter in _parameters(module).items():
        if name not in given:
            if parameter.default is parameter.empty:
                raise UserError(f"{where}: {step['method']} needs '{name}'")
            continue
        expected = str(parameter.annotation)
        if not _fits(given[name], expected):
            raise UserError(
                f"{where}: {step['method']}: {name} must be {expected}, got {given[name]!r}"
            )
    if hasattr(module, "check"):
        try:
            module.check(**given)
        except UserError as error:
            raise UserError(f"{where}: {step['method']}: {error}") from None


def apply(net: nn.Module, step: Mapping[str, Any], ctx: Context) -> nn.Module:
    """One step of a recipe."""
    result: nn.Module = _module(step["method"]).apply(net, ctx, **_given(step))
    return result


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"paretomark.models.compress.{name}")


def _given(step: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in step.items() if k != "method"}


def _parameters(module: ModuleType) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(module.apply)
    return {n: p for n, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}


def _fits(value: Any, annotation: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "float": number,
        "int": isinstance(value, int) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "Sequence[str]": isinstance(value, list | tuple) and all(isinstance(v, str) for v in value),
    }.get(annotation, True)
