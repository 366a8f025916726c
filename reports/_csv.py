"""The tables of a report as CSV."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from statistics import median
from typing import Any

from paretomark.reports import _columns, _text
from paretomark.suites.records._record import Record
from paretomark.suites.records._scenarios import visit_s
from paretomark.suites.records._summary import Summary

# What a spreadsheet would run: a formula, also of full width, and also after a semicolon, which
# separates cells where the decimal sign is a comma.
_FORMULA = re.compile(r"(^|;\s*)([=+\-@＝＋－＠])")

# What a line of visits.csv has of a record: not its samples, nor single answers.
HEAVY = ("slices_ns", "slices_at_s", "inference_ns", "trials", "readings", "outcomes", "scores",
         "lineage")  # fmt: skip
LIGHT = [field.name for field in dataclasses.fields(Record) if field.name not in HEAVY]


def cells(summary: Summary) -> str:
    """Write one line per row."""
    return text(_columns.table(summary.rows))


def visits(summary: Summary) -> str:
    """Write one line per record, without its samples and single answers."""
    table = []
    for r in summary.run.records:
        fields = {name: value for name, value in vars(r).items() if name in LIGHT}
        fields["cold"] = r.cold and dataclasses.asdict(r.cold)
        fields |= {"samples": len(r.samples_ns), "right": r.outcomes.count("1")}
        middle = median(r.samples_ns) / 1e9 if r.slices_ns else r.predicted_s
        latency = visit_s(r) if r.clocked else None
        table.append(fields | {"latency_s": latency, "median_s": middle})
    return text(table)


def text(table: Sequence[dict[str, Any]]) -> str:
    """Write a table as CSV, safe to open in a spreadsheet."""
    import pandas as pd

    return str(
        pd.DataFrame([{k: _plain(v) for k, v in r.items()} for r in table]).to_csv(index=False)
    )


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        value = "; ".join(map(str, value))
    if isinstance(value, dict):
        value = "; ".join(f"{k}: {v}" for k, v in value.items())
    if not isinstance(value, str):
        return value
    line = _text.clean(value, 2000)
    return _FORMULA.sub(r"\1'\2", line)
