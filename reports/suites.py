"""List the suites that come along: what each shows, and how many cells it has."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

from paretomark.devices import _device
from paretomark.models.compress import _step
from paretomark.models.export import _export
from paretomark.models.nets import _zoo
from paretomark.reports import _listing
from paretomark.reports._command import ALL_WELL
from paretomark.suites.spec import _plan, _suite

VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Listed:
    """A suite; `needs` are variables of the environment that it uses and that are not set."""

    name: str
    title: str
    shows: str  # what stands above it in its file
    cells: int
    models: tuple[str, ...]
    recipes: tuple[str, ...]
    devices: tuple[str, ...]
    needs: tuple[str, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--json", action="store_true", help="print all as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print the suites."""
    suites = [listed(name) for name in _suite.names()]
    if arguments.json:
        _listing.as_json("suites", [asdict(suite) for suite in suites])
        return ALL_WELL
    titles = ("suite", "cells", "devices", "what it shows")
    rows = [
        (
            suite.name,
            str(suite.cells),
            str(len(suite.devices)),
            suite.title + "".join(f" (needs ${name})" for name in suite.needs),
        )
        for suite in suites
    ]
    _listing.show(titles, rows)
    return ALL_WELL


def listed(name: str) -> Listed:
    """Tell of a suite what can be told without its data. Raises UserError if it is none."""
    path = _suite.locate(name)
    text = _suite.text(path)
    said = [line for line in text.splitlines() if not line.startswith("#")]
    used = dict.fromkeys(VARIABLE.findall("\n".join(said)))
    # How many cells there are does not depend on where data is.
    suite = _suite.parse(VARIABLE.sub(r"\1", text), name, Path(path.parent))
    loads, precisions = _device.loads(), _export.precisions()
    cells = _plan.plan(suite, _zoo.names(), _step.methods(), loads, precisions)
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return Listed(
        name,
        suite.title or name,
        " ".join(line.lstrip("# ") for line in comment),
        len(cells),
        tuple(suite.model),
        tuple(suite.recipe),
        tuple(dict.fromkeys(cell.device for cell in cells)),
        tuple(variable for variable in used if variable not in os.environ),
    )
