"""What a float net computes, apart from its weights, as one digest.

Two nets have the same if they are built of the same modules with the same settings under the same
names, and if the code that is not a library's means the same. Comments, formatting, the names and
places of files and the versions of libraries play no part.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
import types
from collections.abc import Iterator
from typing import Any

from torch import fx, nn

LIBRARIES = ("torch", "timm", "torchvision")  # whose code is known by the names in it
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def structure(net: nn.Module) -> str:
    """Return the sha256 of modules, settings and code, in hexadecimal digits."""
    lines: list[str] = []
    code: dict[str, str] = {}
    for name, module in net.named_modules():
        kind = type(module)
        lines.append(f"{name}: {kind.__qualname__}({module.extra_repr()})")
        if isinstance(module, fx.GraphModule):  # its class is written anew for each graph
            lines.append(module.code)
        elif not _of_library(kind):
            lines += [f"{name}.{key} = {value}" for key, value in sorted(_settings(module))]
            _gather(kind, code)
    parts = [*lines, *(code[key] for key in sorted(code))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _settings(module: nn.Module) -> Iterator[tuple[str, str]]:
    """What a module keeps besides parameters and modules, as far as it is plain."""
    for key, value in vars(module).items():
        if key.startswith("_") or key == "training":
            continue
        if _is_plain(value):
            yield key, repr(value)
        elif callable(value):
            yield key, getattr(value, "__qualname__", type(value).__qualname__)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _of_library(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or ""
    return module.partition(".")[0] in (*LIBRARIES, "builtins")


def _gather(thing: Any, code: dict[str, str]) -> None:
    """Put what a class or function means into `code`, and all of the user's that it calls."""
    key = f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"
    if key in code:
        return
    code[key] = ""  # lest it be gathered again where it calls itself
    code[key] = _meaning(thing)
    if inspect.isclass(thing):
        functions = [inspect.unwrap(f) for f in vars(thing).values() if inspect.isfunction(f)]
        for base in thing.__mro__[1:-1]:
            if not _of_library(base):
                _gather(base, code)
    else:
        functions = [thing]
    for function in functions:
        for used in _used(function):
            _gather(used, code)


def _meaning(thing: Any) -> str:
    """The source of a class or function without comments, docstrings and formatting."""
    try:
        return _unparsed(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):  # made by a program, not written in a file
        functions = [thing] if inspect.isfunction(thing) else vars(thing).values()
        codes = [f.__code__ for f in functions if inspect.isfunction(f)]
        return "\n".join(f"{c.co_code.hex()} {c.co_names} {c.co_consts!r}" for c in codes)


@functools.lru_cache(maxsize=4096)
def _unparsed(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _used(function: types.FunctionType) -> Iterator[Any]:
    """Classes and functions, not of libraries, that a function names."""
    names = set(_names(function.__code__))
    used = [function.__globals__[name] for name in names if name in function.__globals__]
    for module in [thing for thing in used if isinstance(thing, types.ModuleType)]:
        used += [getattr(module, name) for name in names if hasattr(module, name)]
    for thing in used:
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not _of_library(thing):
            yield thing


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
