"""What every compression method is: one file here, with one pure function.

    def apply(net, ctx, *, sparsity: float, scope: str = "global") -> nn.Module

It returns a new net and leaves the one it got alone. Its keyword parameters are the schema
of a recipe's step; `**tuning: Unpack[Tuning]` stands for those of training (`_tuning.py`).
The files import torch only inside functions, for the parent process reads their signatures. A bad
value raises UserError in `check`, if the method has one:

    def check(*, sparsity: float) -> None

of the parameters that it examines, without defaults: those of `apply` count. The parent calls it
for every recipe before anything is built. Which split of the data set a method looks at, "" for
none, is said by

    def pictures(*, by: str) -> str

if it has that, likewise; else one with Tuning looks at "train", any other at nothing. A method that
gives layers other names says RENAMES = True.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from paretomark.models import _zoo
from paretomark.models._data import Preprocess
from paretomark.suites._errors import UserError, unknown
from paretomark.suites._tasks import CLASSIFICATION

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Context:
    """What a method may know besides the net."""

    data: str  # the data set of the net; its train split is there to train on
    preprocess: Preprocess
    seed: int
    task: str = CLASSIFICATION


@dataclass(frozen=True)
class _Parameter:
    """What a method takes: the type as it is written, and whether it must be given."""

    type: str
    required: bool


def names() -> list[str]:
    """The methods there are: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))


def methods() -> dict[str, list[str]]:
    """The parameters of every method, by name."""
    return {name: list(_parameters(_module(name))) for name in names()}


def check(steps: Sequence[Mapping[str, Any]], net: str, weights: Path | None, where: str) -> None:
    """Raise UserError if a step lacks a parameter, or has one that this net cannot have."""
    names: set[str] | None = _zoo.layers(weights) if weights and weights.exists() else None
    for step in steps:
        _check(step, where)
        label = f"{where}: {step['method']}"
        for layer in step.get("exclude", ()):
            if names is not None and layer not in names:
                raise unknown("layer to exclude", layer, names, label)
        teacher = step.get("teacher")
        pair = [f"for {_zoo.task(n)} on '{_zoo.data(n)}'" for n in (teacher or net, net)]
        if teacher and _zoo.data(teacher) and _zoo.data(net) and pair[0] != pair[1]:
            what = f"{pair[0]}, and {net} {pair[1]}"
            raise UserError(f"{label}: {teacher} cannot teach: it was trained {what}")
        if getattr(_module(step["method"]), "RENAMES", False):
            names = None  # what comes next meets layers that are not in the file


def pictures(step: Mapping[str, Any]) -> str:
    """The split of the net's data set that a step looks at; "" if it looks at none."""
    module = _module(step["method"])
    if hasattr(module, "pictures"):
        return str(module.pictures(**_examined(module, module.pictures, _given(step))))
    taken = inspect.signature(module.apply).parameters.values()
    return "train" if any(p.kind is p.VAR_KEYWORD for p in taken) else ""


def _check(step: Mapping[str, Any], where: str) -> None:
    module, given = _module(step["method"]), _given(step)
    for name, parameter in _parameters(module).items():
        if name not in given:
            if parameter.required:
                raise UserError(f"{where}: {step['method']} needs '{name}'")
            continue
        if not _fits(given[name], parameter.type):
            raise UserError(
                f"{where}: {step['method']}: {name} must be {parameter.type}, got {given[name]!r}"
            )
    if hasattr(module, "check"):
        try:
            module.check(**_examined(module, module.check, given))
        except UserError as error:
            raise UserError(f"{where}: {step['method']}: {error}") from None


def _examined(
    module: ModuleType, asks: Callable[..., Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that `asks` looks at: what is given, else the default that `apply` has."""
    wanted = inspect.signature(asks).parameters.values()
    known = inspect.signature(module.apply).parameters
    defaults = {p.name: known[p.name].default for p in wanted if p.kind is p.KEYWORD_ONLY}
    values = {**defaults, **given}
    rest = _tuning_types() if any(p.kind is p.VAR_KEYWORD for p in wanted) else {}
    names = {p.name for p in wanted} | set(rest)
    return {name: value for name, value in values.items() if name in names}


def _tuning_types() -> dict[str, Any]:
    annotations: dict[str, Any] = importlib.import_module(
        f"{__package__}._tuning"
    ).Tuning.__annotations__
    return annotations


def apply(net: nn.Module, step: Mapping[str, Any], ctx: Context) -> nn.Module:
    """One step of a recipe."""
    result: nn.Module = _module(step["method"]).apply(net, ctx, **_given(step))
    return result


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"paretomark.models.compress.{name}")


def _given(step: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in step.items() if k != "method"}


def _parameters(module: ModuleType) -> dict[str, _Parameter]:
    found = {}
    for name, parameter in inspect.signature(module.apply).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            required = parameter.default is parameter.empty
            found[name] = _Parameter(parameter.annotation, required)
        elif parameter.kind is parameter.VAR_KEYWORD:
            for key, hint in _tuning_types().items():
                found[key] = _Parameter(getattr(hint, "__forward_arg__", hint), False)
    return found


def _fits(value: Any, annotation: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "float": number,
        "int": isinstance(value, int) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "Sequence[str]": isinstance(value, list | tuple) and all(isinstance(v, str) for v in value),
    }.get(annotation, True)
