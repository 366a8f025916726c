"""Which cells of two runs are compared with each other, and why others are not.

What is compared is what is the same thing, whatever it is called: cells of one identity (see
`models/build/_identity.py`) in one place. Where a name stands for another thing in the second
run, the comparison says what is another, and gives a verdict only if it is asked to go by names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from paretomark.reports._text import clean, served
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run
from paretomark.suites.spec._errors import UserError

State = Literal["", "new", "gone", "failing", "mended"]


def check(a: Run, b: Run) -> None:
    """Raise UserError if no cell of two runs can be compared, with what would help."""
    hosts = a.header.host, b.header.host
    if hosts[0].fingerprint != hosts[1].fingerprint:
        here, there = (f"{clean(h.chip)} ({clean(h.fingerprint, 40)})" for h in hosts)
        raise UserError(
            f"{a.folder} ran on {here} and {b.folder} on {there}: times of different "
            "machines do not compare; repeat one of the runs on the machine of the other"
        )
    of = a.header.boundary, b.header.boundary
    if of[0] != of[1]:
        raise UserError(
            f"latencies of {a.folder} are of the {of[0]}, those of {b.folder} of the "
            f'{of[1]}: run one of them again, with boundary = "{of[0]}" in both suites'
        )


def pairs(
    rows_a: Sequence[Row], rows_b: Sequence[Row], by_name: bool
) -> Iterator[tuple[Row | None, Row | None]]:
    """Give the rows that are the same thing in the same place, whatever their names; else of one
    name. With `by_name` the name comes first. A row without a partner stands beside None."""
    left = {row.cell: row for row in rows_b}
    partner: dict[str, Row] = {}
    for key in (_name, _thing) if by_name else (_exact, _thing, _name):
        by_key = {key(row): row for row in reversed(left.values())}
        for row in rows_a:
            match = by_key.get(key(row))
            if row.cell not in partner and match is not None and match.cell in left:
                partner[row.cell] = left.pop(match.cell)
    for row in rows_a:
        yield row, partner.get(row.cell)
    for row in left.values():
        yield None, row


def obstacle(a: Row, b: Row) -> str:
    """Say why two rows cannot be compared; "" if they can."""
    for name, row in (("first", a), ("second", b)):
        if row.status != "ok":
            return f"{row.status} in the {name} run: {row.reason}"
        if not row.valid:
            return f"no valid visit in the {name} run: {', '.join(row.flags)}"
    if a.latency_s is None or b.latency_s is None:
        return f"a server has no one latency, so no verdict: {served(a)}; then {served(b)}"
    if a.simulated != b.simulated:
        kinds = [r.simulated or "measured" for r in (a, b)]
        return f"{kinds[0]} in the first run, {kinds[1]} in the second"
    if a.imported != b.imported:
        tools = [f"by {clean(r.imported)}" if r.imported else "by this tool" for r in (a, b)]
        return f"measured {tools[0]} in the first run, {tools[1]} in the second"
    return ""


def state(a: Row | None, b: Row | None) -> State:
    """Say whether a cell is new, gone, fails only in the second run, or does so no more."""
    if a is None or b is None:
        return "new" if a is None else "gone"
    if (a.status == "ok") == (b.status == "ok"):
        return ""
    return "failing" if a.status == "ok" else "mended"


def _exact(row: Row) -> object:
    return row.cell, row.identity


def _name(row: Row) -> object:
    return row.cell


def _thing(row: Row) -> object:
    place = row.device, row.batch, row.threads, row.length, row.scenario
    return (row.identity, *place) if row.identity else row.cell
