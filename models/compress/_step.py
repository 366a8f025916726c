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
gives layers other names says RENAMES = True. What of its target is in the net, which may have
weights that the method leaves alone, is said by

    def reached(before, after, ctx, *, sparsity: float) -> dict[str, Reached]

by quantity ("sparsity"), see `_reached.py`; a gap is a warning in the record. Without it, a method
with the parameter `sparsity`, `ratio` or `macs` is held to that share of all weights, channels or
multiply-accumulates.
"""

from __future__ import annotations

import importlib
import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from paretomark.models.compress import _reached
from paretomark.models.compress._reached import Reached
from paretomark.models.nets import _zoo
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, at, unknown
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks._task import CLASSIFICATION

if TYPE_CHECKING:
    from torch import nn

NEEDS = ("apply(net, ctx)",)
TYPES = {
    **{"str": "string", "int": "integer", "float": "number", "bool": "boolean"},
    "Sequence[str]": "list of strings",
}


@dataclass(frozen=True)
class Context:
    """What a method may know besides the net."""

    data: str  # the data set of the net; its train split is there to train on
    preprocess: Preprocess
    seed: int
    task: str = CLASSIFICATION


@dataclass(frozen=True)
class Compressed:
    """A net after the steps of a recipe, and what they came to.

    `asked` and `reached` have the same keys, such as "magnitude sparsity": what the recipe says of
    a step, and what of it is in the net. `warnings` tell in a sentence each where that differs.
    """

    net: nn.Module
    seconds: float  # processor time that the steps took
    asked: dict[str, float] = field(default_factory=dict)
    reached: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Parameter:
    """What a method takes: the type as it is written, and whether it must be given."""

    type: str
    required: bool


@dataclass(frozen=True)
class Parameter:
    """What a method takes, in words: its type as TOML calls it, and its default, if it has one.

    `trains` says that it is one of those that methods have in common that train.
    """

    name: str
    type: str
    required: bool
    default: Any
    trains: bool


def names() -> list[str]:
    """Return the names of the methods."""
    return _plugins.names("methods")


def methods() -> dict[str, list[str]]:
    """Return the parameters of every method, by name."""
    return {name: list(_parameters(_module(name))) for name in names()}


def parameters(method: str) -> list[Parameter]:
    """Return what a method takes, those of training last."""
    module = _module(method)
    own = inspect.signature(module.apply).parameters
    defaults = complete({"method": method})
    return [
        Parameter(
            name,
            TYPES.get(taken.type, taken.type or "of any type"),
            taken.required,
            None if taken.required else defaults[name],
            name not in own,
        )
        for name, taken in _parameters(module).items()
    ]


def trains(step: Mapping[str, Any]) -> bool:
    """Tell whether a step has the parameters of training."""
    taken = inspect.signature(_module(step["method"]).apply).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in taken)


def check(steps: Sequence[Mapping[str, Any]], weights: Path | None) -> None:
    """Raise UserError if a step lacks a parameter, or has one that a net of these weights cannot
    have. Without weights its layers are not known."""
    names: set[str] | None = _zoo.layers(weights) if weights and weights.exists() else None
    for step in steps:
        with at(step["method"]):
            _check(step)
            for layer in step.get("exclude", ()):
                if names is not None and layer not in names:
                    raise unknown("layer to exclude", layer, names)
        if getattr(_module(step["method"]), "RENAMES", False):
            names = None  # what comes next meets layers that are not in the file


def pictures(step: Mapping[str, Any]) -> str:
    """Return the split of the net's data set that a step looks at; "" if it looks at none."""
    module = _module(step["method"])
    if hasattr(module, "pictures"):
        return str(module.pictures(**_examined(module, module.pictures, _given(step))))
    return "train" if trains(step) else ""


def _check(step: Mapping[str, Any]) -> None:
    module, values = _module(step["method"]), _given(step)
    for name, parameter in _parameters(module).items():
        if name not in values:
            if parameter.required:
                raise UserError(f"needs '{name}'")
            continue
        if not _fits(values[name], parameter.type):
            raise UserError(f"{name} must be {parameter.type}, got {values[name]!r}")
    if hasattr(module, "check"):
        module.check(**_examined(module, module.check, values))


def _examined(
    module: ModuleType, asks: Callable[..., Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that `asks` looks at: what is given, else the default that `apply` has."""
    parameters = inspect.signature(asks).parameters.values()
    accepted = inspect.signature(module.apply).parameters
    defaults = {p.name: accepted[p.name].default for p in parameters if p.kind is p.KEYWORD_ONLY}
    values = {**defaults, **values}
    rest = _tuning_types() if any(p.kind is p.VAR_KEYWORD for p in parameters) else {}
    names = {p.name for p in parameters} | set(rest)
    return {name: value for name, value in values.items() if name in names}


def _tuning_types() -> dict[str, Any]:
    annotations: dict[str, Any] = importlib.import_module(
        f"{__package__}._tuning"
    ).Tuning.__annotations__
    return annotations


def apply(net: nn.Module, step: Mapping[str, Any], ctx: Context) -> nn.Module:
    """Apply one step of a recipe."""
    result: nn.Module = _module(step["method"]).apply(net, ctx, **_given(step))
    return result


def compress(net: nn.Module, steps: Sequence[Mapping[str, Any]], ctx: Context) -> Compressed:
    """Return the net after all steps, for inference, and what each step has come to."""
    seconds, asked, reached, warnings = 0.0, {}, {}, []
    for i, step in enumerate(steps):
        before, method, start = net, step["method"], time.process_time()
        net = apply(net, step, ctx).eval()
        seconds += time.process_time() - start
        again = sum(s["method"] == method for s in steps[:i])
        name = f"{again + 1} {method}" if again else method
        for quantity, target in targets(before, net, step, ctx).items():
            if target.reached is not None:
                asked[f"{name} {quantity}"] = float(target.asked)
                reached[f"{name} {quantity}"] = float(target.reached)
            if target.warning:
                warnings.append(f"{name}: {target.warning}")
        if lost := _reached.lost(before, net):
            warnings.append(f"{name}: {lost}")
    return Compressed(net.requires_grad_(False), seconds, asked, reached, tuple(warnings))


def targets(
    before: nn.Module, after: nn.Module, step: Mapping[str, Any], ctx: Context
) -> dict[str, Reached]:
    """Return what a step was to reach and what it did, by quantity."""
    module, values = _module(step["method"]), _given(step)
    if hasattr(module, "reached"):
        result: dict[str, Reached] = module.reached(
            before, after, ctx, **_examined(module, module.reached, values)
        )
        return result
    return {
        name: compared
        for name, compare in _reached.BY_PARAMETER.items()
        if (value := values.get(name))
        and (compared := compare(before, after, ctx.preprocess, value))
    }


def complete(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step with the defaults of all parameters that it leaves out."""
    defaults: dict[str, Any] = {}
    for name, parameter in inspect.signature(_module(step["method"]).apply).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            defaults[name] = parameter.default
        elif parameter.kind is parameter.VAR_KEYWORD:
            defaults |= importlib.import_module(f"{__package__}._tuning").DEFAULTS
    return {**defaults, **step}


def _module(name: str) -> ModuleType:
    return _plugins.module("methods", name, NEEDS)


def _given(step: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in step.items() if k != "method"}


def _parameters(module: ModuleType) -> dict[str, _Parameter]:
    parameters = {}
    for name, parameter in inspect.signature(module.apply).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            required = parameter.default is parameter.empty
            parameters[name] = _Parameter(_written(parameter.annotation), required)
        elif parameter.kind is parameter.VAR_KEYWORD:
            for key, hint in _tuning_types().items():
                parameters[key] = _Parameter(getattr(hint, "__forward_arg__", hint), False)
    return parameters


def _written(annotation: Any) -> str:
    """A type as it is written, also where it was evaluated; "" where there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.rpartition(".")[2] if "." in text else text


def _fits(value: Any, annotation: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "float": number and math.isfinite(value),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "Sequence[str]": isinstance(value, list | tuple) and all(isinstance(v, str) for v in value),
    }.get(annotation, True)
