"""List the compression methods with their parameters."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from paretomark.models.compress import _step
from paretomark.models.compress._step import Parameter
from paretomark.reports import _console, _listing, _text
from paretomark.reports._command import ALL_WELL
from paretomark.suites.spec import _plugins


@dataclass(frozen=True)
class Listed:
    """A method; `own` says that it is a plug-in of the user's."""

    name: str
    does: str
    own: bool
    parameters: tuple[Parameter, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--json", action="store_true", help="print all as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print the methods. Raises UserError for a plug-in that is none."""
    methods = listed()
    if arguments.json:
        _listing.as_json("methods", [asdict(method) for method in methods])
    else:
        print("\n".join(lines(methods, _console.width())))
    return ALL_WELL


def listed() -> list[Listed]:
    """Tell of every method, the project's and the user's, without importing torch."""
    return [
        Listed(
            name,
            _plugins.summary("methods", name),
            _plugins.is_own("methods", name),
            tuple(_step.parameters(name)),
        )
        for name in _step.names()
    ]


def lines(methods: Sequence[Listed], width: int) -> list[str]:
    """Write a line for each method, and below it what it takes; those of training only once."""
    found = []
    for method in methods:
        does = f"{method.name}: {_text.clean(method.does)}{' (your own)' * method.own}"
        own = [_told(parameter) for parameter in method.parameters if not parameter.trains]
        own += ["those of training"] * (len(own) < len(method.parameters))
        found += _listing.wrapped(does, width, 0)
        found += _listing.wrapped(", ".join(own) or "no parameters", width, 4)
    every = {p.name: p for method in methods for p in method.parameters if p.trains}
    training = f"those of training: {', '.join(map(_told, every.values()))}"
    return [*found, "", *_listing.wrapped(training, width, 0)]


def _told(parameter: Parameter) -> str:
    default = "" if parameter.required else f" = {json.dumps(parameter.default)}"
    return f"{parameter.name} ({parameter.type}{default})"
