#!/usr/bin/env python3
"""A run as one Markdown table: docs/compression.md and docs/architectures.md take figures from it.

    python tests/benchmarks/tables.py runs/footprint-20261125-220305

A line per model and recipe; for each device its latency, the speed-up over the dense float32 net
there, and multiply-accumulates per second. What is not valid has a cross.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from paretomark.reports._text import count, number, percent, points, seconds, size
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row

FLOAT_BYTES = 4
COLUMNS = (
    "model", "recipe", "accuracy", "points to dense", "parameters", "zeros", "MACs", "file",
    "encoded", "memory", "processor time",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    summary = _summary.summarise(_store.read(parser.parse_args().run))
    rows = [row for row in summary.rows if row.status == "ok"]
    places = list(dict.fromkeys((row.device, row.batch, row.threads) for row in rows))
    print("|", " | ".join([*COLUMNS, *(f"{d}, batch {b}, {t}" for d, b, t in places)]), "|")
    print("|---" * (len(COLUMNS) + len(places)) + "|")
    for model, recipe in dict.fromkeys((row.model, row.recipe) for row in rows):
        mine = [row for row in rows if (row.model, row.recipe) == (model, recipe)]
        times = [
            next((time(r) for r in mine if (r.device, r.batch, r.threads) == where), "–")
            for where in places
        ]
        print("|", " | ".join([*facts(mine[0], rows), *times]), "|")
    return 0


def facts(row: Row, rows: Sequence[Row]) -> list[str]:
    """What does not depend on the device, by its first one."""
    dense = next((r.parameters for r in rows if r.model == row.model and r.dense), None)
    encoded = "–"
    if dense and row.encoded_bytes:
        encoded = f"{number(FLOAT_BYTES * dense / row.encoded_bytes)}×"
    return [
        row.model,
        row.recipe,
        percent(row.accuracy),
        points(row.delta) + between(row.delta_low, row.delta_high, points),
        count(row.parameters),
        percent(row.sparsity, 0),
        count(row.macs),
        size(row.artifact_bytes),
        encoded,
        size(row.added_memory_bytes),
        seconds(row.steps_s or None),
    ]


def time(row: Row) -> str:
    """Latency, speed-up with its interval, and multiply-accumulates per second."""
    text = seconds(row.latency_s)
    if row.speedup is not None:
        text += f", {number(row.speedup)}×" + between(row.speedup_low, row.speedup_high, number)
    if row.macs and row.latency_s:
        text += f", {count(row.macs / row.latency_s)}/s"
    return text if row.valid else f"{text} ✗"


def between(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    return "" if low is None or high is None else f" [{write(low)}, {write(high)}]"


if __name__ == "__main__":
    raise SystemExit(main())
