"""How a value of a row is written: as a line of a terminal's table, and as a cell of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from paretomark.reports import _html, _text
from paretomark.reports._html import Cell, esc
from paretomark.suites.records._row import Row
from paretomark.suites.spec._scenario import SINGLE

Write = Callable[[Any], str]
Styled = tuple[str, str]  # a text, and its style as rich names it


class Value(NamedTuple):
    """A value of a row, and its 95 % interval, where it has one."""

    middle: Any
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Way:
    """How the values of a column are written: `line` for a terminal, `cell` for a page.

    A cell may hold a picture, which spans from -reach to +reach. Numbers stand on the right. `sign`
    is what a terminal shows once, in the title, instead of in every line.
    """

    line: Callable[[Value, Row], Styled]
    cell: Callable[[Value, Row, float], Cell]
    numeric: bool = False
    sign: str = ""


def text(style: str = "") -> Way:
    """Write foreign text, in a style class of a page."""

    def line(value: Value, row: Row) -> Styled:
        return _text.clean(str(value.middle)), ""

    def cell(value: Value, row: Row, reach: float) -> Cell:
        return _html.text(str(value.middle), style)

    return Way(line, cell)


def number(
    write: Write,
    margin: Callable[[float | None, float | None], str] = _text.spread,
    sign: str = "",
) -> Way:
    """Write a number and its interval: on a terminal as `margin`, on a page in brackets."""

    def bare(value: Any) -> str:
        return write(value).removesuffix(sign)

    def line(value: Value, row: Row) -> Styled:
        return bare(value.middle) + margin(value.low, value.high), ""

    def cell(value: Value, row: Row, reach: float) -> Cell:
        return Cell(esc(write(value.middle)) + _between(value, bare), value.middle, "n")

    return Way(line, cell, numeric=True, sign=sign)


def _between(value: Value, write: Write) -> str:
    if value.low is None or value.high is None:
        return ""
    return f" <span class=i>[{esc(write(value.low))}, {esc(write(value.high))}]</span>"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{_text.number(value)}×"


def _to_dense(row: Row, same: float) -> Cell:
    """The cell of a comparison that is not known; the dense net is the `same` as itself."""
    return Cell("dense", same, "n") if row.dense else Cell("–", None, "n")


def _latency_line(value: Value, row: Row) -> Styled:
    if not _text.known(value.low, value.high):
        return f"about {_text.seconds(value.middle)}, {_text.UNKNOWN}", "yellow"
    return _text.seconds(value.middle) + _text.spread(value.low, value.high), ""


def _latency_cell(value: Value, row: Row, reach: float) -> Cell:
    between = _between(value, _text.seconds)
    if not _text.known(value.low, value.high):
        between = f" <span class=i>{_text.UNKNOWN}: more visits, or a quieter machine</span>"
    return Cell(esc(_text.seconds(value.middle)) + between, value.middle, "n")


def _speedup_line(value: Value, row: Row) -> Styled:
    if row.dense:
        return "dense", ""
    if not _text.known(value.low, value.high):
        return "not known", "yellow"
    return _times(value.middle) + _text.spread(value.low, value.high), ""


def _speedup_cell(value: Value, row: Row, reach: float) -> Cell:
    if value.middle is None:
        return _to_dense(row, 1.0)
    if not _text.known(value.low, value.high):
        return Cell("not known", value.middle, "n")
    between = _between(value, _text.number)
    return Cell(_times(value.middle) + between, value.middle, "n")


def _delta_line(value: Value, row: Row) -> Styled:
    difference, style = POINTS.line(value, row)
    return (f"{difference} ▼", "red") if row.loss else (difference, style)


def _delta_cell(value: Value, row: Row, reach: float) -> Cell:
    middle, low, high = value
    if middle is None or low is None or high is None:
        return _to_dense(row, 0.0)
    style, mark, colour = ("loss", " ▼", "bad") if row.loss else ("", "", "soft")
    difference = f"<span class='{style}'>{_text.points(middle)}{mark}</span>"
    at, left, right = (45 + 44 * max(-1, min(1, v / reach)) for v in (middle, low, high))
    picture = (
        "<svg class=forest width=90 height=14 aria-hidden=true>"
        "<path d='M45 0V14' stroke='var(--soft)' stroke-opacity=.5 />"
        f"<path d='M{left:.1f} 7H{right:.1f}' stroke='var(--{colour})' stroke-width=1.5 />"
        f"<circle cx={at:.1f} cy=7 r=3 fill='var(--{colour})'/></svg>"
    )
    return Cell(difference + _between(value, _text.points) + picture, middle, "n")


def _rate_line(value: Value, row: Row) -> Styled:
    if value.middle is None:
        return "", ""
    if not _text.known(value.low, value.high):
        return "not known", "yellow"
    return f"{_text.count(value.middle)}/s" + _text.spread(value.low, value.high), ""


def _rate_cell(value: Value, row: Row, reach: float) -> Cell:
    if value.middle is None:
        return Cell("–", None, "n")
    if not _text.known(value.low, value.high):
        return Cell("not known", value.middle, "n")
    return Cell(f"{_text.count(value.middle)}/s" + _between(value, _text.count), value.middle, "n")


def _front_line(value: Value, row: Row) -> Styled:
    return _text.front_note(row), "green" if row.on_front else ""


def _front_cell(value: Value, row: Row, reach: float) -> Cell:
    return Cell(esc(_text.front_note(row)), value.middle, row.mark if row.sound else "off")


def _status_cell(value: Value, row: Row, reach: float) -> Cell:
    if row.status == "ok" and not row.valid:
        return Cell("not valid", "not valid", "off")
    if row.broken:
        return Cell("broken", "broken", "off")
    return _html.text(row.status, "" if row.status == "ok" else "off")


def _device_cell(value: Value, row: Row, reach: float) -> Cell:
    """Device, batch, threads, length and scenario, and whether it is no measurement."""
    tag = f" <span class=tag>{esc(origin)}</span>" if (origin := _text.origin(row)) else ""
    length = f", length {row.length}" if row.length else ""
    length += f", {esc(row.scenario)}" if row.scenario != SINGLE else ""
    size = f" <span class=i>batch {row.batch}, threads {row.threads}{length}</span>"
    key = f"{row.device} {row.batch:6} {row.threads:4} {row.length:6} {row.scenario}"
    return Cell(esc(row.device) + size + tag, _text.clean(key))


def _placement_cell(value: Value, row: Row, reach: float) -> Cell:
    costs = {unit: f" ({_text.percent(c)} of the cost)" for unit, c in row.placement_costs.items()}
    return _html.text(", ".join(f"{u} {n}{costs.get(u, '')}" for u, n in row.placement.items()))


def _visits_cell(value: Value, row: Row, reach: float) -> Cell:
    return Cell(f"{row.valid_visits} of {row.visits}", row.valid_visits, "n")


TEXT, WIDE = text(), text("wide")
SECONDS, BYTES, COUNT = number(_text.seconds), number(_text.size), number(_text.count)
JOULES = number(_text.joules, _text.about)
LATENCY = Way(_latency_line, _latency_cell, numeric=True)
SPENT = number(lambda seconds: _text.seconds(seconds or None))  # nothing was done in no time
SHARE = number(_text.percent, _text.half, " %")
POINTS = number(_text.points, _text.half)
DELTA = Way(_delta_line, _delta_cell, numeric=True)
SPEEDUP = Way(_speedup_line, _speedup_cell, numeric=True)
RATE = Way(_rate_line, _rate_cell, numeric=True)
FRONT = Way(_front_line, _front_cell)
STATUS = Way(TEXT.line, _status_cell)
DEVICE = Way(TEXT.line, _device_cell)
PLACEMENT = Way(TEXT.line, _placement_cell)
VISITS = Way(COUNT.line, _visits_cell, numeric=True)
