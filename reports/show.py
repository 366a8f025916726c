"""What an artifact is and how it came to be: its parent, steps, precision, seed, data, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paretomark.models import _cache
from paretomark.models.build import _artifact
from paretomark.reports import _table
from paretomark.suites.spec._errors import UserError

FEWEST_DIGITS = 6


def find(wanted: str) -> dict[str, Any]:
    """An artifact by its file, by its folder, or by the start of its sha256, as a table.

    Raises UserError if there is none in the cache, or more than one.
    """
    path = Path(wanted)
    if path.exists():
        folder = path if path.is_dir() else path.parent
        found = [t for t in [_read(folder / _artifact.ARTIFACT)] if t]
        if not found:
            raise UserError(f"{wanted} was not built here: {folder} has no {_artifact.ARTIFACT}")
    else:
        digits = wanted.lower()
        if len(digits) < FEWEST_DIGITS or digits.strip("0123456789abcdef"):
            raise UserError(
                f"no artifact '{wanted}': give its file, or {FEWEST_DIGITS} or more digits of the "
                "sha256 that reports show"
            )
        found = [t for t in _all() if str(t["sha256"]).startswith(digits)]
        if not found:
            raise UserError(f"no artifact in {_cache.folder()} has a sha256 that starts so")
    if len({t["sha256"] for t in found}) > 1:
        files = ", ".join(t["file"] for t in found)
        raise UserError(f"several artifacts start with {wanted}; give more digits: {files}")
    return found[0] | {"lineage": json.loads(found[0]["lineage"])}


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
        print(f"{name:12} {_table.clean(str(value), 1000) if value is not None else 'unknown'}")


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
