"""github-action-benchmark, what is better smaller: its tool `customSmallerIsBetter`.

Latency, size of the file, peak memory and energy of each cell that has them, with half of the 95 %
interval as the range. What is better bigger is another file, of github-action-benchmark-bigger.
"""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports.writers import _github_action
from paretomark.suites.records._summary import Summary

SUFFIX = "json"
MEASURES = {
    "latency": ("latency_s", "ms", 1e3),
    "file": ("artifact_bytes", "bytes", 1.0),
    "peak memory": ("peak_memory_bytes", "bytes", 1.0),
    "energy": ("energy_j", "mJ", 1e3),
}


def write(summaries: Sequence[Summary]) -> str:
    """Write an entry per figure. Raises UserError for a cell that two runs have."""
    return _github_action.text(summaries, MEASURES)
