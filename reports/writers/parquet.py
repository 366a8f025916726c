"""Parquet: every column of every row, with the run, commit and machine that it is from.

Numbers that are not known are null. Tables and lists are text, as JSON. The metadata `pandas` has
what each column is, in which unit: `pandas.read_parquet(FILE).attrs["columns"]`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from paretomark.reports import _frame
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec._errors import UserError

SUFFIX = "parquet"


def write(summaries: Sequence[Summary]) -> bytes:
    """Write a row group. Raises UserError without pyarrow."""
    try:
        import pyarrow  # noqa: F401  # what pandas says of it names another package too
    except ImportError:
        raise UserError(
            "Parquet needs pyarrow: install paretomark with its extra 'parquet', or export CSV"
        ) from None
    frame = _frame.of(_frame.rows(summaries))
    for column in frame.select_dtypes("object").columns:
        frame[column] = frame[column].map(_plain)
    file = io.BytesIO()
    frame.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _plain(value: object) -> object:
    return json.dumps(value) if isinstance(value, tuple | list | dict) else value
