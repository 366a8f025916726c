"""The two runs that a comparison is of: folders, files in them, or revisions that have runs."""

from __future__ import annotations

from pathlib import Path

from paretomark.suites.records import _archive, _commits, _store


def find(a: str, b: str, folder: Path, suite: str) -> tuple[Path, Path, tuple[str, ...]]:
    """Return the folders of both runs, and notes on how those of revisions were chosen.

    A revision's run is the newest valid one below `folder`, of the other's suite and machine.
    Raises UserError if one is neither, or has none.
    """
    paths = [_path(text) for text in (a, b)]
    headers = [_store.header(path) if path else None for path in paths]
    notes = []
    for i, text in ((1, b), (0, a)):
        if paths[i] is not None:
            continue
        commit, other = _commits.resolve(text), headers[1 - i]
        machine = other.host.fingerprint if other else ""
        wanted = suite or (other.suite if other else "")
        run = _archive.newest(folder, commit, wanted, machine)
        paths[i], headers[i] = run.folder, run.header
        subject = _commits.subject(commit)
        named = f"{text} is {commit[: _commits.SHORT]}" + (f" ({subject})" if subject else "")
        notes.append(f"{named}: {run.folder}, of {run.header.started}")
    first, second = paths
    assert first is not None
    assert second is not None
    return first, second, tuple(reversed(notes))


def are_revisions(a: str, b: str) -> bool:
    """Tell whether both are revisions, which are compared by the names of their cells."""
    return not _path(a) and not _path(b)


def _path(text: str) -> Path | None:
    """The folder of a run that a text names; None if it is to be a revision."""
    path = Path(text)
    if path.name in (_store.HEADER, _store.RECORDS) and path.is_file():
        return path.parent
    return path if path.is_dir() else None
