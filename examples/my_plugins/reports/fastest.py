"""name the fastest cell of each device that loses no more than some points

The docstring's first line is the help of `bench.py fastest`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", type=Path)
    parser.add_argument("--points", type=float, default=1.0, help="that may be lost (default 1)")
    parser.add_argument("--out", type=Path, help="folder for fastest.json")


def command(arguments: argparse.Namespace) -> int:
    """Print a line for each device, and write the file if there is a folder for it."""
    summary = _summary.summarise(_store.read(arguments.run))
    for row in fastest(summary.rows, arguments.points / 100):
        print(f"{row.device}: {row.model} {row.recipe}, {1e3 * (row.latency_s or 0):.3f} ms")
    if arguments.out:
        write(summary, arguments.out, arguments.points / 100)
    return 0


def write(summary: Summary, out: Path, loss: float = 0.01) -> list[Path]:
    """Write fastest.json, the cell of each device. Returns the file."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "fastest.json"
    file.write_text(json.dumps({row.device: row.cell for row in fastest(summary.rows, loss)}))
    return [file]


def fastest(rows: Sequence[Row], loss: float) -> list[Row]:
    """The fastest valid row of each device that is at most `loss` (0..1) behind the dense net."""
    best: dict[str, Row] = {}
    for row in rows:
        near = row.dense or (row.delta is not None and row.delta >= -loss)
        if row.valid and near and row.latency_s is not None:
            rival = best.get(row.device)
            if rival is None or row.latency_s < (rival.latency_s or 0):
                best[row.device] = row
    return [best[device] for device in sorted(best)]
