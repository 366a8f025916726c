"""Write the page, plots and tables of a run.

The page says what was measured, how, on what, and which points are worth having: index.html
(self-contained), cells.csv, visits.csv, and a plot per data set as SVG and PNG.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretomark.reports import (
    _cells,
    _columns,
    _console,
    _csv,
    _figure,
    _how,
    _html,
    _json,
    _metered_lines,
    _nets_plot,
    _parts,
    _plot,
    _published_table,
    _ranks,
    _repeat,
    _scenario_tables,
    _short,
    _terminal,
    _text,
    _zeros_plot,
)
from paretomark.reports._command import ALL_WELL
from paretomark.reports._html import Cell, esc
from paretomark.suites.records import _store
from paretomark.suites.records._front import Hypervolume
from paretomark.suites.records._row import TIE, Group, Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, margin, summarise

SCHEMA = "paretomark/report/1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="folder to write to (default: RUN/report)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Write and print the report of a run. Raises UserError if that is none."""
    summary = summarise(_store.read(arguments.run))
    present(summary, arguments.out or summary.run.folder / "report", arguments.json)
    return ALL_WELL


def present(summary: Summary, out: Path, as_json: bool) -> None:
    """Write the report of a run, and print its tables and where the page is, or all as JSON."""
    page, *_ = write(summary, out)
    if as_json:
        print(_json.text(_as_json(summary)))
        return
    _terminal.show(summary)
    _scenario_tables.show(summary)
    _published_table.show(summary)
    _ranks.show(summary)
    _console.show("In short", *(f"· {line}" for line in _short.lines(summary)))
    print(f"report: {page}")


def _as_json(summary: Summary) -> dict[str, Any]:
    """The run, and all that is made of it, as plain JSON values."""
    header = summary.run.header
    return {
        "schema": SCHEMA,
        "run": _json.header(header),
        "rows": [
            {**values, "command": _repeat.command(header, row)}
            for row, values in zip(summary.rows, _columns.table(summary.rows), strict=True)
        ],
        "short": _short.lines(summary),
        "published": _published_table.as_json(summary),
        "ranks": _ranks.as_json(summary),
        "hypervolumes": [
            {**group._asdict(), **found._asdict(), "reference": found.reference._asdict()}
            for group, found in summary.hypervolumes.items()
        ],
    }


def write(summary: Summary, out: Path) -> list[Path]:
    """Write the page of a run into the folder `out`. Returns the files, index.html first.

    Raises UserError if `out` cannot be written, or has a page that is not ours.
    """
    sweep = _parts.swept(out)
    run, rows = summary.run, summary.rows
    plots, sections = {}, []
    for (data, task), name in _parts.names(rows).items():
        members = [r for r in rows if (r.data, r.task) == (data, task)]
        quality = _text.clean(_columns.quality(members))
        title = f"{quality[0].upper()}{quality[1:]} over latency · {_text.clean(data)}"
        if plot := _plot.pareto(members, title):
            plots[f"pareto_{name}"] = plot
            what = _parts.heading(data, task)
            sections.append(_section(what, members, plot, summary))
    rankings = _ranks.rankings(summary)
    pictures = _nets_plot.plots(summary, rankings)
    situations = _scenario_tables.plots(summary)
    zeros = _zeros_plot.plot(summary)
    written = [
        *_parts.pictures(plots, out),
        _html.save(out / "cells.json", _json.text(_as_json(summary))),
        _html.save(out / "cells.csv", _csv.cells(summary)),
        _html.save(out / "visits.csv", _csv.visits(summary)),
        *_parts.pictures(pictures, out),
        *_parts.pictures(situations, out),
        *_parts.pictures({_zeros_plot.NAME: zeros} if zeros else {}, out),
    ]
    title = run.header.title or run.header.suite or run.header.run
    nothing = "<p><b>Nothing was measured in this run.</b> Why, is below, cell by cell.</p>"
    if any(r.latency_s is not None for r in rows):
        nothing = "<p>No accuracy is known of these nets, so there is no front.</p>"
    elif any(r.measured for r in rows):
        nothing = "<p>A server has a latency for each rate, and is on no front.</p>"
    parts = [
        _head(run, rows, title),
        _short.section(summary),
        _cells.filters(rows),
        *(sections or [nothing]),
        _published_table.section(summary),
        _ranks.section(
            rankings, "".join(_html.card(_figure.inline(p.svg)) for p in pictures.values())
        ),
        _scenario_tables.section(summary, situations),
        _warnings(rows),
        _cells.zeros(rows, _html.card(_figure.inline(zeros.svg)) if zeros else ""),
        _cells.every(rows),
        _missing(rows),
        _machine(run),
        _devices(run),
        _metered_lines.section(run, rows),
        _how.section(run),
        _repeat.section(run.header),
        _parts.files(written),
        _cells.legend(),
    ]
    index = _html.save(out / "index.html", _html.document(title, "\n".join(parts)))
    sweep([index, *written])
    return [index, *written]


def _head(run: Run, rows: Sequence[Row], title: str) -> str:
    header, machine = run.header, run.header.host
    valid = [r for r in rows if r.valid]
    simulated = sum(bool(r.simulated) for r in valid)
    says = f"{len(rows)} cells planned, {len(valid)} with a valid latency"
    says += f", {simulated} of them not measured but simulated" if simulated else ""
    imported = sum(bool(r.imported) for r in valid)
    says += f", {imported} of them imported from another tool" if imported else ""
    told = " ".join((f"{says}.", esc(_text.precision(rows, header.precision))))
    where = " · ".join(
        (esc(machine.chip), _text.cores(machine.cores), esc(header.started), _parts.commit(header))
    )
    return f"<h1>{esc(title)}</h1><p class=soft>{where}</p><p class=soft>{told}</p>"


def _machine(run: Run) -> str:
    header, machine = run.header, run.header.host
    facts = [
        ("machine", f"{esc(machine.chip)}, {_text.cores(machine.cores)}"),
        ("memory", _text.size(machine.memory_bytes or None)),
        ("system", f"{esc(machine.system)}, Python {esc(machine.python)}"),
        ("instruction sets", esc(", ".join(machine.features) or "not reported")),
        ("started", esc(header.started)),
        ("commit", _parts.commit(header)),
        ("suite · run", f"{esc(header.suite)} · {esc(header.run)}"),
        ("paretomark", esc(header.version)),
        ("machine fingerprint", f"<code>{esc(machine.fingerprint)}</code>"),
    ]
    return f"<h2>The machine</h2>{_html.facts(facts)}"


def _section(what: str, rows: Sequence[Row], plot: _figure.Plot, summary: Summary) -> str:
    least = margin(summary.run)
    text = (
        "Bars are 95 % intervals. The line is the front of a device: nothing else on it is both "
        "faster and more accurate, and nothing is better in one by more than a margin "
        f"({least.latency} of latency, {least.accuracy}) and as good within it in the other. "
        "Pale points are beaten. Point at one to see its name."
    )
    front = (
        "● on the front, with the probability that it truly is, given what this run measured; ≈ "
        f"beaten, but truly on it with {TIE * 100:.0f} % or more: statistically a tie. Latency is "
        f"of {_text.BOUNDARY[rows[0].boundary]}, in quiet moments, and decides; typical is the "
        "median of all as they came."
    )
    return (
        f"<h2>{esc(what)}</h2><p class=soft>{text}</p>{_html.card(_figure.inline(plot.svg))}"
        f"<p class=soft>{front}</p>{_fronts(rows, summary.hypervolumes)}"
    )


def _fronts(rows: Sequence[Row], areas: Mapping[Group, Hypervolume]) -> str:
    """A table per front, fastest first, of the points on it and of those tied with it."""
    best = sorted(
        (r for r in rows if r.mark), key=lambda r: (_text.origin(r), r.group, r.latency_s)
    )
    tables = []
    for group, members in itertools.groupby(best, key=lambda r: r.group):
        table = _cells.table(_columns.FRONTS, list(members), among=rows)
        place = _text.place_label(group)
        tables.append(f"<h3>{esc(place)}</h3>" + _html.card(table, f"front of {place}"))
        if found := areas.get(group):
            tables.append(f"<p class=soft>{esc(_text.hypervolume(found))}</p>")
    return "".join(tables) or "<p>No valid point.</p>"


def _warnings(rows: Sequence[Row]) -> str:
    """What has to be known of data, nets and files before their figures are believed."""
    warnings = _text.warnings(rows)
    if not warnings:
        return ""
    table = [
        (
            _html.text(warning, "wide"),
            Cell("<br>".join(map(html.escape, cells)), len(cells), "wide"),
        )
        for warning, cells in warnings
    ]
    return (
        "<h2>What to know of these figures</h2><p class=soft>What data, nets and files showed "
        "while they were read, built and run. Where answers mean nothing, a cell is on no front."
        "</p>" + _html.card(_html.table(("warning", "cells"), table))
    )


def _missing(rows: Sequence[Row]) -> str:
    """Why cells have no number, and why numbers are not valid."""
    shown = [
        dataclasses.replace(
            r,
            status="flagged" if r.status == "ok" else r.status,
            reason=" · ".join(filter(None, (r.reason, *r.flags))),
        )
        for r in rows
        if r.reason or r.flags
    ]
    if not shown:
        return ""
    table = [
        (
            _html.text(status, "off"),
            _html.text(stage),
            _html.text(reason, "wide"),
            Cell("<br>".join(map(html.escape, cells)), len(cells), "wide"),
        )
        for status, stage, reason, cells in _text.reasons(shown)
    ]
    return (
        "<h2>What is missing or flagged</h2><p class=soft>Every cell that failed, was "
        "not run, or has flagged visits. A flagged visit is not counted where a valid one exists, "
        "and no cell without a valid visit is on a front.</p>"
        + _html.card(_html.table(("status", "stage", "why", "cells"), table))
    )


def _devices(run: Run) -> str:
    table = []
    for probe in run.header.probes:
        versions = ", ".join(f"{name} {version}" for name, version in probe.versions.items())
        says = probe.chip if probe.available else f"{probe.reason}; {probe.remedy}"
        state = ("available", "") if probe.available else ("not available", "off")
        table.append(
            (
                _html.text(probe.device),
                _html.text(*state),
                _html.text(says, "wide"),
                _html.text(versions, "wide"),
            )
        )
    if not table:
        return ""
    columns = ("device", "state", "chip, or why not and how to get it", "versions")
    return "<h2>Devices</h2>" + _html.card(_html.table(columns, table))
