"""CSV: every column of every row, with the run, commit and machine that it is from."""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports import _csv, _frame
from paretomark.suites.records._summary import Summary

SUFFIX = "csv"


def write(summaries: Sequence[Summary]) -> str:
    """Write a line a row, safe to open in a spreadsheet; what is not known is empty."""
    return _csv.text(_frame.rows(summaries))
