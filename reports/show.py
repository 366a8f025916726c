"""Tell how an artifact came to be.

That is: its parent, the steps, precision, seed and data, and the versions of what made it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paretomark.models import _cache
from paretomark.models.build import _artifact
from paretomark.reports import _json, _text
from paretomark.reports._command import ALL_WELL
from paretomark.suites.spec._errors import UserError

FEWEST_DIGITS = 6


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("artifact", help="its file, or the start of its sha256")
    parser.add_argument("--json", action="store_true")


def command(arguments: argparse.Namespace) -> int:
    """Print what is known of an artifact. Raises UserError if there is no such, or several."""
    table = find(arguments.artifact)
    if arguments.json:
        print(_json.text(table))
    else:
        show(table)
    return ALL_WELL


def find(name: str) -> dict[str, Any]:
    """Find an artifact by its file, by its folder, or by the start of its sha256, as a table.

    Raises UserError if there is none in the cache, or more than one.
    """
    path = Path(name)
    if path.exists():
        folder = path if path.is_dir() else path.parent
        folder = folder.parent if folder.name == _artifact.OWN else folder
        artifacts = [table for table in [_read(folder / _artifact.ARTIFACT)] if table]
        if not artifacts:
            raise UserError(f"{name} was not built here: {folder} has no {_artifact.ARTIFACT}")
    else:
        digits = name.lower()
        if len(digits) < FEWEST_DIGITS or digits.strip("0123456789abcdef"):
            raise UserError(
                f"no artifact '{name}': give its file, or {FEWEST_DIGITS} or more digits of the "
                "sha256 that reports show"
            )
        artifacts = [table for table in _all() if str(table["sha256"]).startswith(digits)]
        if not artifacts:
            raise UserError(f"no artifact in {_cache.folder()} has a sha256 that starts so")
    if len({table["sha256"] for table in artifacts}) > 1:
        files = ", ".join(table["file"] for table in artifacts)
        raise UserError(f"several artifacts start with {name}; give more digits: {files}")
    return artifacts[0] | {"lineage": json.loads(artifacts[0]["lineage"])}


def show(table: dict[str, Any]) -> None:
    """Print an artifact for people."""
    lineage = table["lineage"]
    steps = [
        f"{s['method']}({', '.join(f'{k}={v}' for k, v in s.items() if k != 'method')})"
        for s in lineage["steps"]
    ]
    rows = {
        "file": table["file"],
        "sha256": table["sha256"],
        "bytes": table["bytes"],
        "parameters": table["parameters"],
        "nonzeros": table["nonzeros"],
        "MACs": table["macs"],
        "parent": _pairs(lineage["parent"]),
        "steps": " > ".join(steps) or "none: the net as trained",
        **{k: v for k, v in lineage.items() if k not in ("parent", "steps", "versions")},
        "versions": _pairs(lineage.get("versions", {})),
    }
    for name, value in rows.items():
        if isinstance(value, int):
            value = f"{value:,}"
        print(f"{name:12} {_text.clean(str(value), 1000) if value is not None else 'unknown'}")


def _pairs(table: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items())


def _all() -> Iterator[dict[str, Any]]:
    for file in sorted(_cache.folder().glob(f"artifacts/*/{_artifact.ARTIFACT}")):
        if table := _read(file):
            yield table


def _read(file: Path) -> dict[str, Any] | None:
    try:
        table = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return table if isinstance(table, dict) and "lineage" in table else None
