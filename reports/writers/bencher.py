"""Bencher Metric Format: JSON for `bencher run --adapter json --file FILE`.

A cell is a benchmark. Its measures are those of MEASURES that are known, with their 95 %
intervals; times are in nanoseconds, as Bencher's own measure of latency is. A cell without a time
that counts is left out, for a measure cannot say why.

https://bencher.dev/docs/reference/bencher-metric-format
"""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports import _json
from paretomark.reports.writers import _cells
from paretomark.suites.records._summary import Summary

SUFFIX = "json"
MEASURES = {  # the slug of the measure: our column, and how many of its units are one of ours
    "latency": ("latency_s", 1e9),
    "throughput": ("throughput", 1.0),
    "accuracy": ("accuracy", 1.0),
    "file-size": ("artifact_bytes", 1.0),
    "peak-memory": ("peak_memory_bytes", 1.0),
    "energy": ("energy_j", 1.0),
}


def write(summaries: Sequence[Summary]) -> str:
    """Write an object per row. Raises UserError for a cell that two runs have."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for _, row in _cells.rows(summaries):
        for slug, (column, factor) in MEASURES.items():
            if (figure := _cells.figure(row, column)) is None:
                continue
            metric = {"value": figure.value * factor}
            if figure.low is not None and figure.high is not None:
                metric |= {"lower_value": figure.low * factor, "upper_value": figure.high * factor}
            found.setdefault(_cells.name(row), {})[slug] = metric
    return _json.text(found) + "\n"
