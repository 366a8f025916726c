"""Write static pages from several runs.

They show one valid result of everything on every machine: of those by the versions of the newest
one, that with the narrowest interval, and of equally wide ones the newest. What counts as one thing
is its identity, not its name: two nets of one name are two lines. Numbers of different machines
stand on one page, but never in one table and never on one front.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretomark.reports import (
    _cells,
    _columns,
    _figure,
    _html,
    _parts,
    _plot,
    _submitted,
    _text,
)
from paretomark.reports._command import ALL_WELL, SOME_FAILED
from paretomark.reports._html import Cell, esc
from paretomark.suites.records import _archive, _store
from paretomark.suites.records._front import with_fronts
from paretomark.suites.records._record import Host
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, Visits, summarise
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._margin import Margin


@dataclass(frozen=True)
class Entry:
    """A row, and the run and the visits that it comes from."""

    row: Row
    run: Run
    visits: Visits


@dataclass(frozen=True)
class Board:
    """What one machine reached in one task on one data set, with the fronts among the rows."""

    data: str
    task: str
    host: Host
    entries: tuple[Entry, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a run, or a folder that runs lie in"
    )
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--out", type=Path, help="folder of the site")
    form.add_argument(
        "--check",
        action="store_true",
        help="write nothing: say what speaks against these runs, as others send them",
    )
    parser.add_argument(
        "--known",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="with --check: runs that are believed, or a folder of them (repeatable)",
    )


def command(arguments: argparse.Namespace) -> int:
    """Write the pages, and print their files; or check runs: 1 where something speaks against one.
    Raises UserError for what is no run."""
    if arguments.check:
        return _check(arguments.runs, arguments.known)
    if arguments.known:
        raise UserError("--known is for --check")
    runs = [run for place in arguments.runs for run in _below(place)]
    for path in write([summarise(_store.read(run)) for run in runs], arguments.out):
        print(path)
    return ALL_WELL


def _check(places: Sequence[Path], believed: Sequence[Path]) -> int:
    known = [summarise(_store.read(run)) for place in believed for run in _below(place)]
    code = ALL_WELL
    for run in (run for place in places for run in _below(place)):
        try:
            found = _submitted.problems(summarise(_store.read(run)), known)
        except UserError as error:
            found = [str(error)]
        code = SOME_FAILED if found else code
        print(f"{run}: {'nothing speaks against it' if not found else ''}".rstrip())
        for why in found:
            print(f"  {why}")
    return code


def _below(place: Path) -> list[Path]:
    """A run, or the runs in a folder, by name; the folder itself if there is none, which is said
    when it is read."""
    if (place / _store.HEADER).exists() or not place.is_dir():
        return [place]
    return _archive.folders(place) or [place]


def write(summaries: Sequence[Summary], out: Path) -> list[Path]:
    """Write the leaderboard of runs into the folder `out`. Returns the files, index.html first.

    Raises UserError if there are no runs, or `out` cannot be written.
    """
    if not summaries:
        raise UserError("no runs given; name at least one folder that `bench.py run` wrote")
    sweep = _parts.swept(out)
    ranked = boards(summaries)
    names = _parts.names(e.row for b in ranked for e in b.entries)
    written: list[Path] = []
    sections, last = [], None
    for i, board in enumerate(ranked):
        rows = [e.row for e in board.entries]
        what = _parts.heading(board.data, board.task)
        if what != last:
            sections.append(f"<h2>{esc(what) or 'no accuracy scored'}</h2>")
            last = what
        sections.append(_heading(board))
        title = f"{_text.clean(what)} · {_text.clean(board.host.chip, 80)}"
        if plot := _plot.pareto(rows, title):
            name = f"pareto_{names[board.data, board.task]}_{i}"
            written += _parts.pictures({name: plot}, out)
            sections.append(_html.card(_figure.inline(plot.svg)))
        sections.append(_entries(board))
    title = "Leaderboard: accuracy against latency"
    intro = (
        f"<h1>{title}</h1><p class=soft>{len(summaries)} run{'s'[: len(summaries) != 1]}. "
        "Of each model, recipe, device, batch size, number of threads and length on each machine "
        "the valid result with the narrowest interval, by the newest versions; bars and [ ] are "
        "95 % intervals. Results of different machines share no front. ● on the front of its "
        "device, with the probability that it truly is; ≈ statistically tied with it. Δ and "
        "speed-up are to the dense fp32 net of the same run.</p>"
    )
    body = "\n".join([intro, *(sections or ["<p><b>No valid result.</b></p>"]), _runs(summaries)])
    written.insert(0, _html.save(out / "index.html", _html.document(title, body)))
    sweep(written)
    return written


def boards(summaries: Sequence[Summary]) -> list[Board]:
    """Gather a valid row of everything by data set, task and machine."""
    found: dict[tuple[object, ...], list[Entry]] = {}
    hosts: dict[str, Host] = {}
    for summary in sorted(summaries, key=_age):
        host = summary.run.header.host
        hosts[host.fingerprint] = host
        for row in summary.rows:
            if row.sound and row.latency_s is not None:  # a server has one for each rate
                names = (row.model, row.recipe, row.steps, row.precision)
                what = (*((row.identity,) if row.identity else names), *row.group)
                entry = Entry(row, summary.run, summary.visits[row.cell])
                found.setdefault((row.data, row.task, host.fingerprint, *what), []).append(entry)
    grouped: dict[tuple[str, str, str], list[Entry]] = {}
    for (data, task, fingerprint, *_), entries in found.items():
        place = str(data), str(task), str(fingerprint)
        grouped.setdefault(place, []).append(_best_known(entries))
    return [
        Board(data, task, hosts[fingerprint], _fronts(entries))
        for (data, task, fingerprint), entries in sorted(grouped.items(), key=lambda g: g[0])
    ]


def _best_known(entries: Sequence[Entry]) -> Entry:
    """The one that is known best, of those by the versions of the newest one, which is the last."""
    newest = _versions(entries[-1])
    return min(reversed([e for e in entries if _versions(e) == newest]), key=_width)


def _versions(entry: Entry) -> Mapping[str, str]:
    """Of what its device says it runs."""
    probes = entry.run.header.probes
    return next((p.versions for p in probes if p.device == entry.row.device), {})


def _width(entry: Entry) -> float:
    """How wide its interval is: the ratio of its ends; infinite where nothing is known of it."""
    low, high = entry.row.latency_low_s, entry.row.latency_high_s
    return high / low if low and high else math.inf


def _age(summary: Summary) -> tuple[str, str]:
    return summary.run.header.started, summary.run.header.run


def _fronts(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries with fronts drawn among them, in place of those within their runs."""
    plain = [
        dataclasses.replace(e.row, cell=str(i), on_front=False, front_probability=None)
        for i, e in enumerate(entries)
    ]
    visits = {str(i): e.visits for i, e in enumerate(entries)}
    rows = with_fronts(plain, visits, Margin())  # they are of several suites
    marked = (
        dataclasses.replace(e, row=dataclasses.replace(row, cell=e.row.cell))
        for e, row in zip(entries, rows, strict=True)
    )
    return tuple(sorted(marked, key=lambda e: (_text.origin(e.row), e.row.group, e.row.latency_s)))


def _heading(board: Board) -> str:
    host = board.host
    return (
        f"<h3>{esc(host.chip)}</h3><p class=soft>{_text.cores(host.cores)}, memory "
        f"{_text.size(host.memory_bytes or None)}, {esc(host.system)}, machine "
        f"<code>{esc(host.fingerprint, 40)}</code></p>"
    )


def _entries(board: Board) -> str:
    more = {
        "measured": [_html.text(e.run.header.started[:10]) for e in board.entries],
        "commit": [_commit(e.run) for e in board.entries],
    }
    return _html.card(_cells.table(_columns.BOARD, [e.row for e in board.entries], more=more))


def _commit(run: Run) -> Cell:
    return Cell(_parts.commit(run.header), run.header.commit)


def _runs(summaries: Sequence[Summary]) -> str:
    columns = ("run", "title", "suite", "started", "machine", "commit", "paretomark", "blocks",
               "cells valid")  # fmt: skip
    table = []
    for summary in sorted(summaries, key=_age, reverse=True):
        header, rows = summary.run.header, summary.rows
        valid = sum(r.valid for r in rows)
        table.append((
            _html.text(header.run), _html.text(header.title, "wide"), _html.text(header.suite),
            _html.text(header.started), _html.text(header.host.chip),
            _commit(summary.run), _html.text(header.version),
            Cell(str(header.blocks), header.blocks, "n"),
            Cell(f"{valid} of {len(rows)}", valid, "n"),
        ))  # fmt: skip
    return "<h2>Runs</h2>" + _html.card(_html.table(columns, table))
