"""Values out of TOML by the types of a dataclass; whatever does not fit is named with its place."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from paretomark.suites.spec._errors import UserError, unknown

T = TypeVar("T")


def load(text: str, where: str) -> dict[str, Any]:
    """The table that a text is. Raises UserError if it is none."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{where}: not valid TOML: {error}") from None


def located(text: str, folder: Path, where: str) -> Path:
    """A path that is given from `folder` on, or that starts with the value of `${VAR}`."""

    def value(match: re.Match[str]) -> str:
        variable = match.group(1)
        if variable not in os.environ:
            raise UserError(f"{where} needs ${variable}: set it to the folder with the data")
        return os.environ[variable]

    path = Path(re.sub(r"\$\{(\w+)\}", value, text)).expanduser()
    # A variable is given by a person in a shell, so it counts from there, not from the suite.
    return path.absolute() if "${" in text else (folder / path).absolute()


def tables(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The tables [key.NAME] of a table, by name."""
    tables = table.get(key, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise UserError(f"{where}: '{key}' must be written as [{key}.NAME]")
    return tables


def read(cls: type[T], table: Mapping[str, Any], where: str, hidden: Sequence[str] = ()) -> T:
    """A frozen value of `cls` from a TOML table; its fields are the schema."""
    hints = get_type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls) if f.name not in hidden]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise unknown("key", key, fields, where)
        values[key] = typed(hints[key], value, f"{where}: {key}")
    try:
        return cls(**values)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from None


def typed(hint: Any, value: Any, where: str) -> Any:
    """A value as the type `hint` has it: lists as tuples, tables as dataclasses."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        hint = next(a for a in arguments if a is not type(None))
        return typed(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where} must be a list, got {json.dumps(value, default=str)}")
        return tuple(typed(arguments[0], item, where) for item in value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise UserError(f"{where} must be a table, got {json.dumps(value, default=str)}")
        return read(hint, value, where)
    if origin is dict:
        table: dict[str, Any] = typed(dict, value, where)
        return {key: typed(arguments[1], item, f"{where}: {key}") for key, item in table.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise UserError(f"{where} must be {hint.__name__}, got {json.dumps(value, default=str)}")
    return value
