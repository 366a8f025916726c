"""What the two formats of github-action-benchmark have in common: entries with value and range.

https://github.com/benchmark-action/github-action-benchmark
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paretomark.reports import _json, _text
from paretomark.reports.writers import _cells
from paretomark.suites.records._summary import Summary

# What an entry is called: our column, its unit there, and how many of these are one of ours.
Measures = Mapping[str, tuple[str, str, float]]


def text(summaries: Sequence[Summary], measures: Measures) -> str:
    """Write an entry for each figure that is known. Raises UserError for a cell that two runs
    have."""
    entries = []
    for summary, row in _cells.rows(summaries):
        for what, (column, unit, factor) in measures.items():
            if (figure := _cells.figure(row, column)) is None:
                continue
            entry: dict[str, Any] = {
                "name": f"{_cells.name(row)} {what}",
                "unit": unit,
                "value": figure.value * factor,
            }
            if figure.low is not None and figure.high is not None:
                entry["range"] = f"± {(figure.high - figure.low) / 2 * factor:.3g}"
            host = summary.run.header.host
            told = {
                "machine": f"{host.chip} ({host.fingerprint})",
                "visits": f"{row.valid_visits} of {row.visits}",
                "simulated": row.simulated,
                "imported": row.imported,
            }
            lines = [f"{key}: {_text.clean(value)}" for key, value in told.items() if value]
            entries.append(entry | {"extra": "\n".join(lines)})
    return _json.text(entries) + "\n"
