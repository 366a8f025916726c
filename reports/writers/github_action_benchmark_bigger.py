"""github-action-benchmark, what is better bigger: its tool `customBiggerIsBetter`.

Accuracy and throughput of each cell that has them, with half of the 95 % interval as the range.
"""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports.writers import _github_action
from paretomark.suites.records._summary import Summary

SUFFIX = "json"
MEASURES = {"accuracy": ("accuracy", "%", 100.0), "throughput": ("throughput", "inputs/s", 1.0)}


def write(summaries: Sequence[Summary]) -> str:
    """Write an entry per figure. Raises UserError for a cell that two runs have."""
    return _github_action.text(summaries, MEASURES)
