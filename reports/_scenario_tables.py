"""What the scenarios show besides a latency: throughput, rates of a server, starts, endurance.

A terminal and a page show the same tables. What a cell of several visits is made of is said in
`suites/records/_scenarios.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from paretomark.reports import _console, _figure, _fit, _html, _scenario_plots, _text
from paretomark.reports._figure import Plot
from paretomark.reports._html import esc
from paretomark.reports._text import count, number, seconds, spread
from paretomark.suites.records import _scenarios, _stats
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row
from paretomark.suites.records._scenarios import Known
from paretomark.suites.records._summary import Summary, Visits
from paretomark.suites.spec._scenario import BATCH, COLD, SERVER, SUSTAINED

THROUGHPUT, CURVES = "throughput_over_batch", "sustained_over_time"  # names of their files
NAMES = ("model", "recipe", "device")  # of the columns that every table starts with
NONE = "none"
ABOUT = f"About: not known to ±{number(100 * _text.WIDEST, 2)} %."


@dataclass(frozen=True)
class Part:
    """A table as texts, below its names in the same order as `heads`."""

    title: str
    note: str
    heads: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


def show(summary: Summary) -> None:
    """Print the tables of the scenarios that the run has; nothing if it has single calls only."""
    room = _console.width()
    for part in parts(summary):
        _console.show(f"\n{part.title}", *_table(part, room), f"{part.note} {ABOUT}")


def section(summary: Summary, drawn: Mapping[str, Plot]) -> str:
    """Write the same tables as HTML, with the plots; "" if the run has single calls only."""
    told = []
    for part in parts(summary):
        body = [[_html.text(text, "n" if i >= len(NAMES) else "") for i, text in enumerate(line)]
                for line in part.lines]  # fmt: skip
        told.append(
            f"<h2>{esc(part.title)}</h2><p class=soft>{esc(part.note)} {esc(ABOUT)}</p>"
            + _html.card(_html.table((*NAMES, *part.heads), body))
        )
    return "".join([*told, *(_html.card(_figure.inline(plot.svg)) for plot in drawn.values())])


def plots(summary: Summary) -> dict[str, Plot]:
    """Draw throughput over batch size, and sustained visits over time, where there are any."""
    batches = [list(rows) for _, rows in _batches(summary.rows)]
    lasting = [(r, summary.visits[r.cell].pool) for r in _of(summary.rows, SUSTAINED)]
    drawn = {}
    if plot := _scenario_plots.throughput(batches):
        drawn[THROUGHPUT] = plot
    if plot := _scenario_plots.curves(lasting):
        drawn[CURVES] = plot
    return drawn


def parts(summary: Summary) -> list[Part]:
    """List the tables that have a line."""
    rows, visits = summary.rows, summary.visits
    made = (_throughput(rows), _server(rows, visits), _cold(rows), _sustained(rows, visits))
    return [part for part in made if part.lines]


def _of(rows: Sequence[Row], scenario: str) -> list[Row]:
    return [r for r in rows if r.scenario == scenario and r.measured]


def _names(row: Row) -> tuple[str, str, str]:
    """What the first three columns hold; one thread, and a batch of one, need no word."""
    sizes = f", batch {row.batch}" if row.batch != 1 and row.scenario != BATCH else ""
    sizes += f", {row.threads} threads" if row.threads != 1 else ""
    sizes += f", length {row.length}" if row.length else ""
    sizes += f" ({origin})" if (origin := _text.origin(row)) else ""
    sizes += "" if row.valid else f" ✗ {', '.join(row.flags) or row.status}"
    return _text.clean(row.model), _text.clean(row.recipe), _text.clean(row.device + sizes)


def _batches(rows: Sequence[Row]) -> Iterator[tuple[object, Iterator[Row]]]:
    """The rows of a net, a recipe and a place, over their batch sizes."""

    def place(row: Row) -> tuple[str, ...]:
        return (row.model, row.recipe, *map(str, row.group._replace(batch=0)))

    ordered = sorted(_of(rows, BATCH), key=lambda row: (place(row), row.batch))
    return itertools.groupby(ordered, key=place)


def _throughput(rows: Sequence[Row]) -> Part:
    lines = []
    for _, members in _batches(rows):
        every = list(members)
        knee = _scenarios.knee(every)
        for row in every:
            known = Known(row.throughput or 0.0, row.throughput_low, row.throughput_high)
            note = "grows no more beyond" if row is knee else ""
            lines.append(
                (*_names(row), str(row.batch), seconds(row.latency_s), _known(known, _rate), note)
            )
    note = (
        "Inputs per second: batch size over latency. It grows no more beyond the size that is so "
        "marked: no interval of a larger one lies above its own."
    )
    return Part(
        "Throughput over batch size", note, ("batch", "latency", "throughput", "best"), lines
    )


def _server(rows: Sequence[Row], visits: Mapping[str, Visits]) -> Part:
    lines = []
    for row in _of(rows, SERVER):
        pool = visits[row.cell].pool
        for at in _scenarios.served(pool):
            told = (_known(at.percentiles[p]) for p in _scenarios.PERCENTILES)
            lines.append((*_names(row), f"{number(at.rate)}/s", str(at.queries), *told))
        if row.p99_bound_s is not None:
            tried = sum(t.queries for r in pool for t in r.trials if t.searched)
            known = Known(row.best_rate or 0.0, row.best_rate_low, row.best_rate_high)
            best = f"highest: {_known(known, _rate) if row.best_rate else _no_rate(pool)}"
            kept = f"≤ {seconds(row.p99_bound_s)}"
            lines.append((*_names(row), best, str(tried), "", "", kept))
    note = (
        "Queries arrive at random (Poisson), so many a second on average, and one worker answers "
        "them in their order. A latency is from when a query was to arrive to its answer, with the "
        "time that it waits for others. Highest: the highest rate whose 99th percentile is within "
        f"the bound, by bisection to 3 %, each trial of {_stats.NEEDED[99]} queries or more."
    )
    return Part("Server", note, ("rate", "queries", "median", "p90", "p99"), lines)


def _rate(value: float) -> str:
    return f"{count(value)}/s"


def _no_rate(pool: Sequence[Record]) -> str:
    """Why no highest rate is stated."""
    some = sum(_scenarios.best_rate(record) is None for record in pool)
    return NONE if some == len(pool) else f"{NONE} in {some} of {len(pool)} visits"


def _cold(rows: Sequence[Row]) -> Part:
    lines = []
    for row in _of(rows, COLD):
        whole = _known(Known(row.latency_s or 0.0, row.latency_low_s, row.latency_high_s))
        split = (row.interpreter_s, row.import_s, row.load_s, row.compile_s, row.first_s)
        lines.append((*_names(row), whole, *map(seconds, split)))
    note = (
        "From the start of a fresh process to its first answer; each visit is one such start, with "
        "nothing else alive. Parts are medians over visits. Files may still be in memory from "
        "before; what the harness itself imports and prepares is left out."
    )
    heads = ("in all", "interpreter", "imports", "load", "compile", "first call")
    return Part("Cold start", note, heads, lines)


def _sustained(rows: Sequence[Row], visits: Mapping[str, Visits]) -> Part:
    lines = []
    for row in _of(rows, SUSTAINED):
        pool = visits[row.cell].pool
        ratio = "–"
        if row.slowdown is not None:
            slower = Known(row.slowdown, row.slowdown_low, row.slowdown_high)
            ratio = _known(slower, lambda value: f"{number(value)}×")
        late = _known(Known(row.latency_s or 0.0, row.latency_low_s, row.latency_high_s))
        clock = _span([[x.clock_mhz for x in r.readings] for r in pool], "MHz")
        heat = _span([[x.temperature_c for x in r.readings] for r in pool], "°C")
        lines.append((*_names(row), seconds(row.burst_s), late, ratio, clock, heat))
    note = (
        "Calls without a pause, in slices of a second. Burst is the median of the first slices "
        f"({_scenarios.BURST}, or a third), beside that of the last third, and their ratio. Clock "
        "and temperature at the start and at the end; –: the system does not say."
    )
    return Part("Sustained", note, ("burst", "last third", "ratio", "clock", "temperature"), lines)


def _span(every: Sequence[Sequence[int | None]], unit: str) -> str:
    """The first and the last that is told, over all visits: the lowest and the highest of them."""
    told = [known for readings in every if (known := [n for n in readings if n is not None])]
    if not told:
        return "–"
    starts, ends = {known[0] for known in told}, {known[-1] for known in told}
    return f"{_between(starts)} → {_between(ends)} {unit}"


def _between(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}–{high}"


def _known(known: Known | None, write: Callable[[float], str] = seconds) -> str:
    """A value with its interval; ABOUT it where that is too wide to bet on."""
    if known is None:
        return "–"
    if not _text.known(known.low, known.high):
        return f"about {write(known.value)}"
    return write(known.value) + spread(known.low, known.high)


def _table(part: Part, room: int) -> tuple[object, ...]:
    """The table for a terminal, and a line on what there is no room for."""
    from rich.text import Text

    titles, must = (*NAMES, *part.heads), (*NAMES, *part.heads[:2])
    lines = [[*map(Text, line)] for line in part.lines]
    body, hidden = _fit.table(titles, lines, must, NAMES, room, part.heads)
    return (body, _fit.hidden(hidden, "the page and cells.csv")) if hidden else (body,)
