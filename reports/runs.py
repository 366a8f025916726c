"""List the runs below a folder: what, when, on which machine, and how many cells failed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from paretomark.reports import _digest, _listing, _progress, _text
from paretomark.reports._command import ALL_WELL
from paretomark.suites.records import _archive, _commits, _store
from paretomark.suites.records._row import NOT_RUN
from paretomark.suites.spec._errors import UserError

FAILED = ("failed", "fallback", NOT_RUN)


@dataclass(frozen=True)
class Listed:
    """A run. `dirty` says that it was of uncommitted changes; `failed` are cells."""

    folder: str
    suite: str
    commit: str
    dirty: bool
    started: str
    chip: str
    machine: str  # its fingerprint
    cells: int
    failed: int


@dataclass(frozen=True)
class Damaged:
    """What should be a run, and why it cannot be read."""

    folder: str
    reason: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    where = "where the runs are, in folders up to two levels deep (default: runs)"
    parser.add_argument("--runs", type=Path, default=_archive.FOLDER, metavar="DIR", help=where)
    parser.add_argument("--json", action="store_true", help="print all as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print the runs, in the order of their start. Raises UserError if there is no such folder."""
    runs, damaged = listed(arguments.runs)
    if arguments.json:
        _listing.as_json("runs", [asdict(r) for r in runs], damaged=[asdict(d) for d in damaged])
        return ALL_WELL
    if runs:
        titles = ("run", "started", "suite", "commit", "cells", "failed", "machine")
        _listing.show(titles, [_line(run) for run in runs])
    elif not damaged:
        print(f"no run lies below {arguments.runs}; `bench.py run` makes one")
    for each in damaged:
        print(_text.clean(f"damaged: {each.reason}"))
    return ALL_WELL


def listed(folder: Path) -> tuple[list[Listed], list[Damaged]]:
    """Read the runs below a folder, and name those that cannot be read.

    Raises UserError if there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name the one with the runs by --runs DIR")
    runs, damaged = [], []
    found = _archive.folders(folder)
    with _progress.counting("reading runs") as told:
        for done, path in enumerate(found):
            told(done, len(found), str(path))
            try:
                runs.append(_read(path))
            except UserError as error:
                damaged.append(Damaged(str(path), str(error)))
    return sorted(runs, key=lambda run: (run.started, run.folder)), damaged


def _read(folder: Path) -> Listed:
    header, seen = _store.header(folder), _digest.of(folder)
    return Listed(
        str(folder),
        header.suite,
        header.commit,
        header.dirty,
        header.started,
        header.host.chip,
        header.host.fingerprint,
        len(header.cells),
        sum(each.status in FAILED for each in seen),
    )


def _line(run: Listed) -> Sequence[str]:
    commit = run.commit[: _commits.SHORT] + "+" * run.dirty
    started = run.started[:16].replace("T", " ")
    return (run.folder, started, run.suite, commit, str(run.cells), str(run.failed), run.chip)
