"""Plug-ins: which there are of each kind, the project's and those of users.

A kind is a folder, and a file in it without a leading underscore is a plug-in, named by its file
name: the listing is the registry. Whoever has some of their own puts them into folders named by
their kinds, and names the folder that these lie in: `plugins = "my_plugins"` in a suite,
`--plugins my_plugins` on the command line, or, of an installed package, an entry point of the group
`paretomark.plugins` whose value is the package.

    my_plugins/devices/toaster.py        my_plugins/methods/halves.py        my_plugins/reports/...

They are imported as if they lay in the project's folders, in child processes too, and what holds
for the project's plug-ins holds for them: they stand in the same listings, pass the same checks,
and their code counts in the keys of the cache and stands in the lineage of what they make.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import os
import symtable
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

from paretomark.suites.spec._errors import UserError, explained, unknown

GROUP = "paretomark.plugins"  # of entry points
VARIABLE = "PARETOMARK_PLUGINS"  # by which child processes learn of folders
# By kind: the package that its plug-ins are imported from, and what a single one is called.
KINDS = {
    "devices": ("paretomark.devices", "device"),
    "nets": ("paretomark.models.nets", "net"),
    "data": ("paretomark.models.data", "data set"),
    "methods": ("paretomark.models.compress", "compression method"),
    "formats": ("paretomark.models.export", "format"),
    "tasks": ("paretomark.suites.tasks", "task"),
    "reports": ("paretomark.reports", "report"),
    "readers": ("paretomark.reports.readers", "format to import"),
    "writers": ("paretomark.reports.writers", "format to export"),
}
ROOMS = f"one of {', '.join(KINDS)}"


def add(folder: Path) -> None:
    """Take in the plug-ins of a folder, here and in the processes that are started from now on.

    Raises UserError if there is no such folder, it has none, or one bears a name that is taken.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder of plug-ins {folder}; in it, folders are {ROOMS}")
    _known()
    _extend(folder)
    folders = [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), str(folder)]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(folders))


@contextlib.contextmanager
def added(folders: Sequence[Path]) -> Iterator[None]:
    """Take in the plug-ins of folders as long as this is open. Raises UserError as `add` does."""
    _known()
    packages = [importlib.import_module(package) for package, _ in KINDS.values()]
    paths = [list(package.__path__) for package in packages]
    told, modules = os.environ.get(VARIABLE), set(sys.modules)
    try:
        for folder in folders:
            add(folder)
        yield
    finally:
        for package, path in zip(packages, paths, strict=True):
            package.__path__[:] = path
        for name in set(sys.modules) - modules:
            file = Path(getattr(sys.modules[name], "__file__", None) or "/")
            if any(folder in file.parents for folder in folders):
                del sys.modules[name]
        if told is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = told
        importlib.invalidate_caches()


def names(kind: str) -> list[str]:
    """Return the plug-ins of a kind, in alphabetical order."""
    return sorted(_files(kind))


def file(kind: str, name: str) -> Path:
    """Return the file of a plug-in. Raises UserError if there is none of this name."""
    files = _files(kind)
    if name not in files:
        raise unknown(KINDS[kind][1], name, files)
    return files[name]


def module_name(kind: str, name: str) -> str:
    """Return the dotted name that a plug-in is imported by; there need be none."""
    _known()
    return f"{KINDS[kind][0]}.{name}"


def module(kind: str, name: str, needs: Sequence[str] = ()) -> ModuleType:
    """Return a plug-in, imported. Raises UserError as `check` does, and for a user's that fails."""
    path, dotted = file(kind, name), module_name(kind, name)
    if dotted in sys.modules:
        return sys.modules[dotted]
    check(kind, name, needs)
    try:
        return importlib.import_module(dotted)
    except Exception as error:
        if not is_own(kind, name) or isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be imported: {explained(error)}") from error


def check(kind: str, name: str, needs: Sequence[str]) -> None:
    """Raise UserError if there is no such plug-in, or its file lacks some of `needs`.

    These are names, or functions with the parameters that they are called with: "DATA", "net()",
    "apply(net, ctx)". The file is not imported for that.
    """
    path = file(kind, name)
    functions = {n.name: n.args for n in _tree(path).body if isinstance(n, ast.FunctionDef)}
    symbols = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec").get_symbols()
    names = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    for need in needs:
        what, _, parameters = need.rstrip(")").partition("(")
        if what not in names:
            raise UserError(f"{path}: a {KINDS[kind][1]} needs {need}; add it")
        if what in functions and not _takes(functions[what], len(parameters.split())):
            signature = f"{what}({ast.unparse(functions[what])})"
            raise UserError(f"{path}: a {KINDS[kind][1]} needs {need}, and this has {signature}")


def definition(kind: str, name: str, constant: str) -> ast.expr | None:
    """Return what a plug-in's file says a constant is, or takes from another file of its kind; else
    None.

    The file is not imported for that, for it may import what is heavy.
    """
    path: Path | None = file(kind, name)
    while path is not None:
        source = None
        for node in _tree(path).body:
            if isinstance(node, ast.Assign) and constant in map(ast.unparse, node.targets):
                return node.value
            if isinstance(node, ast.ImportFrom) and constant in [a.name for a in node.names]:
                source = f"{str(node.module).rpartition('.')[2]}.py"
        places = [folder / source for folder in _folders(kind)] if source else []
        path = next((place for place in places if place.is_file()), None)
    return None


def literal(kind: str, name: str, constant: str) -> Any:
    """Return the value of the same, where it is a literal."""
    value = definition(kind, name, constant)
    return None if value is None else ast.literal_eval(value)


def summary(kind: str, name: str) -> str:
    """Return the first line of a plug-in's docstring, without importing it."""
    text = ast.get_docstring(_tree(file(kind, name))) or ""
    return text.partition("\n")[0]


def is_own(kind: str, name: str) -> bool:
    """Say whether a plug-in is a user's, not the project's."""
    return file(kind, name).parent != _folders(kind)[0]


def _tree(path: Path) -> ast.Module:
    """The syntax of a file, which nobody may change. Raises UserError if it is not Python."""
    try:
        seen = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return _parsed(path, seen.st_mtime_ns, seen.st_size)


@functools.lru_cache(maxsize=256)  # rows ask the same few files for the same few words
def _parsed(path: Path, mtime_ns: int, size: int) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not valid Python: {error}") from None


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether a function can be called with so many arguments."""
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    return least <= count and (count <= most or arguments.vararg is not None)


def _folders(kind: str) -> list[Path]:
    """Where the plug-ins of a kind lie: in the project first."""
    _known()
    return [Path(place) for place in importlib.import_module(KINDS[kind][0]).__path__]


def _files(kind: str) -> dict[str, Path]:
    return {p.stem: p for folder in _folders(kind) for p in folder.glob("[!_]*.py")}


@functools.cache
def _known() -> None:
    """Take in what is installed, and what the parent process has taken in."""
    for entry in metadata.entry_points(group=GROUP):
        found = util.find_spec(entry.value)
        for place in (found and found.submodule_search_locations) or ():
            _extend(Path(place))
    for place in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        _extend(Path(place))


def _extend(folder: Path) -> None:
    """Let the packages of all kinds that the folder has something of look there too."""
    found = [kind for kind in KINDS if (folder / kind).is_dir()]
    if not found:
        raise UserError(f"{folder} has no plug-ins: it needs folders named {ROOMS}")
    for kind in found:
        package = importlib.import_module(KINDS[kind][0])
        place = folder / kind
        if str(place) in package.__path__:
            continue
        for path in sorted(place.glob("[!_]*.py")):
            for other in map(Path, package.__path__):
                if (other / path.name).exists():
                    raise UserError(
                        f"{path}: there is a {KINDS[kind][1]} of this name in {other}; rename it"
                    )
        package.__path__.append(str(place))
    importlib.invalidate_caches()
