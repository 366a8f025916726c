"""Values out of TOML and JSON by the types of a dataclass: its fields are the schema.

Every value is taken for hostile. A key must be a field, a field without a default must be there,
numbers are finite and fit into 64 bits, and what does not fit is named by the keys that lead to it.
Lists become tuples, tables become dataclasses, and whole numbers do for `float`. Supported are
bool, int, float, str, Literal, Any, dataclasses, tuple[T, ...] and tuple[A, B], dict and Mapping by
str, each of these or None, and one of several plain ones, of which the first that fits is taken.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from paretomark.suites.spec._errors import UserError, unknown

T = TypeVar("T")
Reader = Callable[[Any], Any]
SHOWN = 80  # characters of a value that an error tells
BOUND = 2**63


class Invalid(ValueError):
    """A value that is not of the type it must be of. `path`: the keys that lead to it."""

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{': '.join(path)} {problem}".strip())
        self.problem = problem
        self.path = path

    def below(self, key: str) -> Invalid:
        """Return the same error, told from one level above."""
        return Invalid(self.problem, (key, *self.path))

    def named(self, where: str, hidden: Sequence[str]) -> UserError:
        """Return the same error for who wrote a file."""
        return UserError(f"{': '.join((where, *self.path))} {self.problem}")


class Unknown(Invalid):
    """A key, or the value of a Literal, that is none of the valid ones."""

    def __init__(
        self, kind: str, name: str, valid: Sequence[str], path: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"has an unknown {kind or 'value'} {_shown(name)}", path)
        self.kind, self.name, self.valid = kind, name, valid

    def below(self, key: str) -> Unknown:
        return Unknown(self.kind, self.name, self.valid, (key, *self.path))

    def named(self, where: str, hidden: Sequence[str]) -> UserError:
        valid = [name for name in self.valid if name not in hidden]
        if self.kind:
            return unknown(self.kind, self.name, valid, ": ".join((where, *self.path)))
        return unknown(" of ".join(reversed(self.path)), self.name, valid, where)


def load(text: str, where: str) -> dict[str, Any]:
    """Return the table that a TOML text is. Raises UserError if it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid TOML: {error}") from None


def located(text: str, folder: Path, where: str) -> Path:
    """Return a path that is given from `folder` on, or that starts with the value of `${VAR}`.

    Raises UserError if that variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        variable = match.group(1)
        if variable not in os.environ:
            raise UserError(f"{where} needs ${variable}: set it to the folder with the data")
        return os.environ[variable]

    path = Path(re.sub(r"\$\{(\w+)\}", value, text)).expanduser()
    # A variable is given by a person in a shell, so it counts from there, not from the suite.
    return path.absolute() if "${" in text else (folder / path).absolute()


def tables(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Return the tables [key.NAME] of a table, by name. Raises UserError for other things."""
    tables = table.get(key, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise UserError(f"{where}: '{key}' must be written as [{key}.NAME]")
    return tables


def read(hint: type[T], value: Any, where: str, hidden: Sequence[str] = ()) -> T:
    """Return `typed` of what a person wrote; fields in `hidden` are no keys.

    Raises UserError with the place, and with the nearest valid name.
    """
    try:
        for key in hidden:
            if key in value:
                raise Unknown("key", key, list(_fields(cast(Any, hint))))
        return typed(hint, value)
    except Invalid as error:
        raise error.named(where, hidden) from None


def typed(hint: type[T], value: Any) -> T:
    """Return a value as the type `hint` has it. Raises Invalid if it does not fit."""
    return cast(T, _reader(cast(Any, hint))(value))


@functools.cache  # records are many, and a record has thousands of samples
def _reader(hint: Any) -> Reader:
    """What turns a value into one of the type, or raises Invalid."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        kinds = [_reader(a) for a in arguments if a is not type(None)]
        inner = kinds[0] if len(kinds) == 1 else functools.partial(_either, kinds)
        if type(None) not in arguments:
            return inner
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return functools.partial(_choice, arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return functools.partial(_list, _reader(arguments[0]))
        return functools.partial(_row, [_reader(a) for a in arguments])
    if origin in (dict, Mapping):
        return functools.partial(_mapping, _reader(arguments[1]))
    if dataclasses.is_dataclass(hint):
        return functools.partial(_table, hint)
    return {bool: _bool, int: _int, float: _float, str: _str}[hint]


@functools.cache
def _fields(cls: Any) -> dict[str, Reader]:
    """By name what reads each field of a dataclass."""
    hints = get_type_hints(cls)
    return {f.name: _reader(hints[f.name]) for f in dataclasses.fields(cls)}


@functools.cache
def _needed(cls: Any) -> list[str]:
    """The fields of a dataclass that must be there."""
    missing = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if f.default is missing and f.default_factory is missing]


def _table(cls: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a table, got {_shown(value)}")
    fields = _fields(cls)
    for key in value:
        if key not in fields:
            raise Unknown("key", str(key), list(fields))
    for name in _needed(cls):
        if name not in value:
            raise Invalid(f"lacks '{name}'")
    try:
        read = {key: fields[key](item) for key, item in value.items()}
    except Invalid:  # once more, slower, to tell where
        read = {key: _at(key, fields[key], item) for key, item in value.items()}
    return cls(**read)


def _mapping(reader: Reader, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid(f"must be a table, got {_shown(value)}")
    return {str(key): _at(str(key)[:SHOWN], reader, item) for key, item in value.items()}


def _at(key: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except Invalid as error:
        raise error.below(key) from None


def _list(reader: Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Invalid(f"must be a list, got {_shown(value)}")
    plain = reader is _int and {*map(type, value)} == {int}  # samples: the same, but faster
    if plain and -BOUND < min(value) <= max(value) < BOUND:
        return tuple(value)
    return tuple(map(reader, value))


def _row(readers: Sequence[Reader], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or len(value) != len(readers):
        raise Invalid(f"must be a list of {len(readers)}, got {_shown(value)}")
    return tuple(reader(item) for reader, item in zip(readers, value, strict=True))


def _either(readers: Sequence[Reader], value: Any) -> Any:
    errors: list[Invalid] = []
    for reader in readers:
        try:
            return reader(value)
        except Invalid as error:
            errors.append(error)
    words = isinstance(value, str)  # which may be one of a Literal, misspelled
    raise max(reversed(errors), key=lambda error: isinstance(error, Unknown) == words)


def _choice(valid: tuple[Any, ...], value: Any) -> Any:
    if value not in valid:
        raise Unknown("", value if isinstance(value, str) else _shown(value), valid)
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"must be bool, got {_shown(value)}")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"must be str, got {_shown(value)}")
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"must be int, got {_shown(value)}")
    if not -BOUND < value < BOUND:
        raise Invalid("is out of range")
    return value


def _float(value: Any) -> float:
    if not isinstance(value, float):
        if not isinstance(value, int) or isinstance(value, bool):
            raise Invalid(f"must be float, got {_shown(value)}")
        return float(_int(value))
    if not math.isfinite(value):
        raise Invalid(f"must be finite, got {value}")
    return value


def _shown(value: Any) -> str:
    """A value as JSON, cut to SHOWN characters."""
    try:
        return json.dumps(value, default=str)[:SHOWN]
    except (ValueError, RecursionError):  # nested too deep, or a number of thousands of digits
        return f"a {type(value).__name__}"
