"""Published figures beside ours: what a suite quotes in `[[published]]`, and what its rows say.

Ours is one line per place (device, batch, threads, length) where the cell was planned, with a 95 %
interval where there is one. A ratio or difference is to the cell that the entry names as its base,
or else to the dense fp32 net in the same place; it is paired, block by block or example by
example, as everywhere.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretomark.reports import _columns, _console, _html, _text
from paretomark.reports._html import Cell
from paretomark.suites.records import _scores
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary, Visits, ratio
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._published import Published
from paretomark.suites.spec._scenario import BATCH, SINGLE

if TYPE_CHECKING:
    from rich.table import Table

NOT_HERE = "not measured here"
FLOAT_BYTES = 4
POINTS = " points"
UNAVAILABLE = "unavailable"
Value = tuple[float, float | None, float | None]  # and its interval


@dataclass(frozen=True)
class Compared:
    """A published figure and ours; `ours` is the value as text, `note` why there is none."""

    published: Published
    place: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    ours: str = NOT_HERE
    note: str = ""


def compared(summary: Summary) -> list[Compared]:
    """Set the published figures of the suite that ran, in its order, beside what its rows say."""
    text = summary.run.header.request.get("suite")
    try:
        entries = _suite.published(text) if isinstance(text, str) else ()
    except UserError:  # of another version of paretomark, or tampered with
        return []
    return [item for entry in entries for item in _against(entry, summary)]


def _against(entry: Published, summary: Summary) -> list[Compared]:
    """An entry with what the rows say, in every place; with nothing if there is no such row."""
    mine = [
        row
        for row in summary.rows
        if _is(row, entry.model, entry.recipe)
        and row.scenario in (SINGLE, BATCH)
        and (not entry.devices or row.device in entry.devices)
    ]
    return [_one(entry, row, summary) for row in mine] or [Compared(entry)]


def _is(row: Row, model: str, recipe: str) -> bool:
    return row.model == model and row.recipe == recipe


def _one(entry: Published, row: Row, summary: Summary) -> Compared:
    place = _text.place_label(
        row.group._replace(simulated="", imported="")
    )  # that is said of the figure itself
    base = _base(entry, row, summary.rows)
    for needed in (row, base):
        if needed is not None and needed.status == UNAVAILABLE:
            return Compared(entry, place, note=UNAVAILABLE)  # of which the report says more
        if needed is not None and needed.status != "ok":
            return Compared(entry, place, note=_text.clean(f"{needed.status}: {needed.reason}"))
    measure, write, _ = QUANTITIES[entry.quantity]
    value = measure(row, base, summary.visits)
    if value is None:
        return Compared(entry, place, note="" if row.valid else ", ".join(row.flags))
    middle, low, high = value
    text = write(middle)
    if low is not None and high is not None:
        ends = [write(end).removesuffix(POINTS) for end in (low, high)]
        text += f" [{', '.join(ends)}]"
    if origin := _text.origin(row):
        text += f" ({origin})"
    return Compared(entry, place, middle, low, high, text)


def _base(entry: Published, row: Row, rows: Sequence[Row]) -> Row | None:
    """What ours is compared with, in the same place; None where there is nothing such."""
    place = row.group._replace(data="", task="", simulated="")
    there = [r for r in rows if r.group._replace(data="", task="", simulated="") == place]
    model = entry.base_model or entry.model
    if entry.base_recipe:
        return next((r for r in there if _is(r, model, entry.base_recipe)), None)
    return next((r for r in there if r.model == model and r.dense), None)


def _speedup(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
    if base is None or not (row.valid and base.valid and row.latency_s and base.latency_s):
        return None
    gain = ratio(row, base, visits)
    if gain is None or row.latency_low_s is None:
        return base.latency_s / row.latency_s, None, None
    return gain.value, gain.low, gain.high


def _throughput(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
    """Multiply-accumulates in a second over those of the base: how well each uses the device."""
    gain = _speedup(row, base, visits)
    if gain is None or base is None or not (row.macs and base.macs):
        return None
    factor = row.macs / base.macs
    middle, low, high = gain
    return factor * middle, low and factor * low, high and factor * high


def _delta(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
    if base is None or (base.data, base.task) != (row.data, row.task):
        return None
    change = _scores.difference(visits[base.cell].outcomes, visits[row.cell].outcomes)
    return change and (change.value, change.low, change.high)


def _own(name: str) -> Measure:
    """A number of the row itself, by its column."""
    column = _columns.named(name)

    def measure(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
        value = column.of(row)
        return None if value.middle is None else value

    return measure


def _ratio(name: str) -> Measure:
    """How many times as much of something its base has."""

    def measure(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
        mine, other = getattr(row, name), base and getattr(base, name)
        return (other / mine, None, None) if mine and other else None

    return measure


def _encoded(row: Row, base: Row | None, visits: Mapping[str, Visits]) -> Value | None:
    if base is None or not base.parameters or not row.encoded_bytes:
        return None
    return FLOAT_BYTES * base.parameters / row.encoded_bytes, None, None


def _times(value: float) -> str:
    return f"{_text.number(value)}×"


def _points(value: float) -> str:
    return f"{_text.points(value)}{POINTS}"


Measure = Callable[[Row, Row | None, Mapping[str, Visits]], Value | None]
# By name: how it is got, how it is written, and what it is.
QUANTITIES: dict[str, tuple[Measure, Callable[[float], str], str]] = {
    "latency": (_own("latency_s"), _text.seconds, "of one call"),
    "speedup": (_speedup, _times, "how many times as fast as the base"),
    "accuracy": (_own("accuracy"), _text.percent, "by the metric of the task"),
    "delta": (_delta, _points, "accuracy less that of the base, on the same examples"),
    "file": (_own("artifact_bytes"), _text.size, "size of the file"),
    "file ratio": (_ratio("artifact_bytes"), _times, "how many times as large the base's file is"),
    "encoded ratio": (_encoded, _times, "float32 weights of the base over these, encoded"),
    "parameters ratio": (_ratio("parameters"), _times, "parameters of the base over these"),
    "MACs ratio": (_ratio("macs"), _times, "multiply-accumulates of the base over these"),
    "MACs/s ratio": (_throughput, _times, "multiply-accumulates in a second over the base's"),
    "sparsity": (_own("sparsity"), _text.percent, "share of the weights that are zero"),
}
_TITLES = ("published", "ours [95 %]", "why they differ")


def _lines(items: Sequence[Compared]) -> Iterator[tuple[list[str], list[str], str]]:
    """What was published, ours in every place, and why they differ; a line of each in a list."""
    for entry, members in itertools.groupby(items, key=lambda item: item.published):
        source = "; ".join(filter(None, (entry.source, entry.conditions)))
        published = [f"{entry.claim}: {entry.figure}", source]
        cell = [f"{entry.model} {entry.recipe}"] if entry.model else []
        ours: list[str] = []
        absent: dict[str, None] = {}
        for item in members:
            said = "; ".join(filter(None, (item.ours, item.note)))
            if item.note == UNAVAILABLE:
                absent[item.place.partition(",")[0]] = None
            elif said != NOT_HERE:
                ours.append(f"{item.place}: {said}")
        ours = [*cell, *(ours or [NOT_HERE])]
        if absent:
            ours.append(f"not here: {', '.join(absent)}")
        yield [*map(_text.clean, published)], [*map(_text.clean, ours)], _text.clean(entry.why)


def table(items: Sequence[Compared]) -> Table | None:
    """Lay out the comparison for a terminal; None if there is nothing to compare."""
    from rich.text import Text

    if not items:
        return None
    body = _console.frame()
    body.expand = True
    for title, share in zip(_TITLES, (5, 5, 3), strict=True):
        body.add_column(title, overflow="fold", ratio=share)
    for published, ours, why in _lines(items):
        body.add_row(*(Text(text) for text in ("\n".join(published), "\n".join(ours), why)))
        body.add_section()
    return body


def show(summary: Summary) -> None:
    """Print the comparison, if the suite quotes published figures."""
    if (body := table(compared(summary))) is not None:
        _console.show("Published against measured", body)


def section(summary: Summary) -> str:
    """Write the comparison for a page; "" if there is nothing to compare."""
    items = compared(summary)
    if not items:
        return ""
    cells = [
        [
            *(Cell("<br>".join(map(_html.esc, texts)), texts[0], "wide") for texts in both),
            _html.text(why, "wide"),
        ]
        for *both, why in _lines(items)
    ]
    return (
        "<h2>Published against measured</h2><p class=soft>Figures that others published, and what "
        "this run has in their place. Nets, data and machines differ.</p>"
        + _html.card(_html.table(_TITLES, cells))
    )


def as_json(summary: Summary) -> list[dict[str, Any]]:
    """Give the comparison as plain JSON values."""
    return [dataclasses.asdict(item) for item in compared(summary)]
