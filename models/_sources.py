"""The code that something is made by, as one digest: modules, and all that they import.

Followed are imports of this package, and of modules in a folder of the user's. Those inside
functions count, those for type checkers only do not. A name that is computed, as in
`importlib.import_module(f"...{name}")`, is not followed: who chooses it names it as a root.
The digest is of what the code means: comments, docstrings and formatting play no part.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGE = __name__.partition(".")[0]


@functools.cache  # code that a process has imported does not change in it either
def digest(*roots: str, folder: Path | None = None) -> str:
    """Return the sha256 of the modules `roots` and all they import, in hexadecimal digits.

    Modules are found as Python finds them, by the `__path__` of their package, or in `folder`, and
    are not imported. Raises ModuleNotFoundError for a root that is not there.
    """
    for root in roots:
        if _spec(root, folder) is None:
            raise ModuleNotFoundError(f"no module {root}")
    meanings: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        spec = None if module in meanings else _spec(module, folder)
        if spec is None:
            continue
        meanings[module], imported = read(Path(spec.origin)) if spec.origin else ("", ())
        package = module if spec.submodule_search_locations is not None else _parent(module)
        waiting += [_parent(module), *(_absolute(name, package) for name in imported)]
    text = "\n".join(f"{module} {meanings[module]}" for module in sorted(meanings))
    return hashlib.sha256(text.encode()).hexdigest()


def _spec(module: str, folder: Path | None) -> ModuleSpec | None:
    """Where a module is; None if it is neither of this package nor in the folder."""
    if not module:
        return None
    above = _spec(_parent(module), folder)
    if "." in module and (above is None or above.submodule_search_locations is None):
        return None  # a name in a module, which must not be imported to look for it
    if module.partition(".")[0] == PACKAGE:
        return importlib.util.find_spec(module)
    if above is not None:
        return PathFinder.find_spec(module, above.submodule_search_locations)
    return PathFinder.find_spec(module, [str(folder)]) if folder else None


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _absolute(name: str, package: str) -> str:
    """The name of a module that is imported in a package; "" for one that cannot be."""
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return ""


@functools.cache
def read(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return a digest of what a file means, and the names that it imports, relative with dots."""
    content = file.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it cannot be imported; or it is no Python, but compiled
        return hashlib.sha256(content).hexdigest(), ()
    imported = [name for statement in _statements(tree) for name in _imports(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imported)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements of a block and of those in it, less what says nothing to the interpreter.

    Docstrings, and what is for type checkers, are taken out of the tree itself.
    """
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        node.body = []
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)


def _imports(statement: ast.stmt) -> Iterator[str]:
    """All that may be a module: of `from a import b` both a and a.b."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        module = "." * statement.level + (statement.module or "")
        yield module
        dot = "." if statement.module else ""
        yield from (f"{module}{dot}{alias.name}" for alias in statement.names)
