"""The runs below a folder, and which of them is of a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from paretomark.suites.records import _commits, _store
from paretomark.suites.records._record import Header
from paretomark.suites.records._store import Run
from paretomark.suites.spec._errors import UserError

FOLDER = Path("runs")
MOST = 8  # that an error lists


def folders(folder: Path) -> list[Path]:
    """Return what should be runs below a folder, two folders down at most, by name."""
    headers = (p for depth in ("*", "*/*") for p in folder.glob(f"{depth}/{_store.HEADER}"))
    return sorted(path.parent for path in headers)


def headers(folder: Path) -> Iterator[tuple[Path, Header]]:
    """Give the folder and the header of every run below a folder, in the order of their start.

    It looks no deeper than two folders down. What is no run, or of a version that cannot be read,
    is passed over.
    """
    found = []
    for path in folders(folder):
        try:
            found.append((path, _store.header(path)))
        except UserError:
            continue
    yield from sorted(found, key=lambda pair: (pair[1].started, str(pair[0])))


def newest(folder: Path, commit: str, suite: str = "", fingerprint: str = "") -> Run:
    """Return the newest run of a commit that has a valid visit, of a suite and a machine if named.

    Raises UserError if there is none, which tells the runs there are.
    """
    of_commit = [pair for pair in headers(folder) if pair[1].commit == commit]
    fitting = [
        (path, header)
        for path, header in of_commit
        if (not suite or header.suite == suite)
        and (not fingerprint or header.host.fingerprint == fingerprint)
    ]
    why = []
    for path, header in reversed(fitting):
        if header.dirty:
            why.append(f"{path} was of uncommitted changes")
            continue
        run = _store.read(path)
        if any(record.status == "ok" and not record.flags for record in run.records):
            return run
        why.append(f"{path} has no valid visit")
    for path, header in of_commit:
        if suite not in ("", header.suite):
            why.append(f"{path} is of the suite {header.suite}")
        elif fingerprint not in ("", header.host.fingerprint):
            why.append(f"{path} ran on another machine")
    short = commit[: _commits.SHORT]
    told = "; ".join(why[:MOST])
    told = f" ({told})" if told else f"; {_known(folder)}"
    raise UserError(
        f"no run of commit {short} below {folder}{told}: check it out and run it, or have both "
        "revisions built and timed by compare --run"
    )


def _known(folder: Path) -> str:
    """Of which commits there are runs."""
    commits = list(dict.fromkeys(h.commit for _, h in headers(folder) if h.commit and not h.dirty))
    if not commits:
        return "there is none of any commit"
    short = [commit[: _commits.SHORT] for commit in commits[-MOST:]]
    return f"there are runs of {', '.join(short)}"
