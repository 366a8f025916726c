"""What the reference tables read from the code: types, defaults, comments, arguments, weights."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

from paretomark import bench
from paretomark.models.compress._step import TYPES

NEEDED = "**must be given**"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # in weights, no parameters


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    return f"`{json.dumps(value)}`"


def written(hint: str | ForwardRef) -> str:
    """A type, which is written but not evaluated, as TOML calls it."""
    return TYPES[hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint]


def parameter(it: inspect.Parameter) -> str:
    """A parameter: its name, type, and default."""
    default = NEEDED if it.default is it.empty else toml(it.default)
    return f"`{it.name}` {written(it.annotation)}, {default}"


def comments(kind: type) -> dict[str, str]:
    """What stands behind each field of a class in its source; "" where nothing does."""
    lines = inspect.getsource(kind).splitlines()
    fields = [n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.AnnAssign)]
    return {ast.unparse(f.target): lines[f.lineno - 1].partition("  # ")[2] for f in fields}


def fields(kind: Any, left_out: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """The fields of a dataclass: name, type, default, and what is said of them."""
    said, hints = comments(kind), get_type_hints(kind)
    return [
        (f"`{f.name}`", _type(hints[f.name]), _default(f), said[f.name])
        for f in dataclasses.fields(kind)
        if f.name not in left_out
    ]


def _default(field: dataclasses.Field[Any]) -> str:
    missing = dataclasses.MISSING
    if field.default is missing and field.default_factory is missing:
        return NEEDED
    return "" if field.default in ("", (), None, missing) else toml(field.default)


def _type(hint: Any) -> str:
    """A type as TOML calls it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is Literal:
        return " or ".join(toml(value) for value in arguments)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        inner = get_args(arguments[0]) if get_origin(arguments[0]) in (Union, UnionType) else ()
        kinds = [_type(a) + "s" * (get_origin(a) is not Literal) for a in inner or arguments[:1]]
        return f"list of {count}{' or '.join(kinds)}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "table"
    return TYPES[hint.__name__]


def trained(weights: Path) -> tuple[int, float]:
    """How many parameters a file of weights has, and the score, 0..1, that training reached."""
    with weights.open("rb") as stream:
        head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    told = head.pop("__metadata__")
    shapes = [t["shape"] for name, t in head.items() if not name.endswith(STATISTICS)]
    return sum(map(math.prod, shapes)), float(told["test_accuracy"])


def command(name: str, left_out: Sequence[str]) -> tuple[str, str, list[tuple[str, str]]]:
    """A command of bench.py: how it is written, what it does, and its arguments."""
    (choices,) = (
        a for a in bench.parser_of([name])._actions if isinstance(a, argparse._SubParsersAction)
    )
    does = {choice.dest: str(choice.help) for choice in choices._choices_actions}[name]
    arguments = [a for a in choices.choices[name]._actions if a.dest not in left_out]
    words = [_usage(a) for a in arguments if not a.option_strings]
    told = [(_usage(a), _help(a)) for a in arguments]
    return " ".join(["bench.py", name, *words]), does.replace("%%", "%"), told


def _usage(action: argparse.Action) -> str:
    """An argument as one writes it: `--out OUT`, `[SUITE]`, `RUN...`."""
    word = str(action.metavar or action.dest.upper())
    if action.option_strings:
        return action.option_strings[0] + ("" if action.nargs == 0 else f" {word}")
    return {"?": f"[{word}]", "+": f"{word}..."}.get(str(action.nargs), word)


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    if action.required and action.option_strings:
        return f"{text}; {NEEDED}".removeprefix("; ")
    if "default" not in text and action.default and action.default is not argparse.SUPPRESS:
        text += f" (default: {action.default})"
    return text.strip()
