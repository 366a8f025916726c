"""List the recipes of a suite, or of all suites that come along."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from paretomark.reports import _listing
from paretomark.reports._command import ALL_WELL
from paretomark.suites.spec import _schema, _suite
from paretomark.suites.spec._model import Recipe


@dataclass(frozen=True)
class Listed:
    """A recipe as its suite says it, and its steps as one reads them."""

    suite: str
    recipe: str
    steps: tuple[dict[str, Any], ...]
    label: str
    precision: str
    quantization: dict[str, str]
    storage: str
    devices: tuple[str, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "suite", nargs="?", help="name or path of a suite (default: all that come along)"
    )
    parser.add_argument("--json", action="store_true", help="print all as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print recipes. Raises UserError for a suite that there is not."""
    suites = [arguments.suite] if arguments.suite else _suite.names()
    recipes = [recipe for suite in suites for recipe in listed(suite)]
    if arguments.json:
        _listing.as_json("recipes", [asdict(recipe) for recipe in recipes])
        return ALL_WELL
    rows = [(r.suite, r.recipe, r.precision, r.label or "the net as trained") for r in recipes]
    _listing.show(("suite", "recipe", "precision", "steps"), rows)
    return ALL_WELL


def listed(suite: str) -> list[Listed]:
    """Read the recipes of a suite, given by name or path. Raises UserError if it is none.

    Paths stay as they are written, for the data that they lead to need not be there.
    """
    path = _suite.locate(suite)
    where = f"suite '{path.stem}'"
    tables = _schema.tables(_schema.load(_suite.text(path), where), "recipe", where)
    recipes = {
        name: _schema.read(Recipe, table, f"{where}, [recipe.{name}]", _suite.NAMED)
        for name, table in tables.items()
    }
    return [
        Listed(
            path.stem,
            name,
            recipe.steps,
            recipe.label,
            recipe.precision,
            recipe.quantization,
            recipe.storage,
            recipe.devices,
        )
        for name, recipe in recipes.items()
    ]
