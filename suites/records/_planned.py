"""The row of a planned cell that no record is of."""

from __future__ import annotations

import dataclasses
import re

from paretomark.suites.records._row import Row
from paretomark.suites.spec._scenario import SCENARIOS, SINGLE

_KEY = re.compile(
    r"(.*)/(.*)/(.*)/b(\d{1,9})/t(\d{1,9})(?:/l(\d{1,9}))?"
    rf"(?:/({'|'.join(name for name in SCENARIOS if name != SINGLE)}))?"
)


def not_run(cell: str) -> Row:
    """Return the row of a cell of which only its key is known, `Cell.key` of the plan."""
    reason = "no record: the run was stopped before this cell; finish it with run --resume"
    key = _KEY.fullmatch(cell)
    if not key:
        return Row(cell=cell, model=cell, recipe="", reason=reason)
    row = Row(cell=cell, model=key[1], recipe=key[2], device=key[3], reason=reason)
    row = dataclasses.replace(row, batch=int(key[4]), threads=int(key[5]), length=int(key[6] or 0))
    return dataclasses.replace(row, scenario=key[7] or SINGLE)
