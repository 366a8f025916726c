"""How far runs of a machine lie apart, learnt from those that are kept of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from paretomark.reports import _digest
from paretomark.suites.records import _archive, _sessions
from paretomark.suites.records._levels import Level
from paretomark.suites.records._record import Header
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.spec._errors import UserError

MOST = 12  # of the newest runs


def sessions(folder: Path, of: Header, without: Collection[Path]) -> Sessions:
    """Learn it from the newest runs below a folder, of the machine and the boundary of a run, but
    not from those that are compared."""
    left_out = {path.resolve() for path in without}
    like = [
        path
        for path, header in _archive.headers(folder)
        if header.host.fingerprint == of.host.fingerprint
        and header.boundary == of.boundary
        and not header.together  # sides of one comparison had the same hour
        and path.resolve() not in left_out
    ]
    return _sessions.learnt([levels for path in like[-MOST:] if (levels := _levels(path))])


def _levels(folder: Path) -> Mapping[str, Level]:
    """The levels of a run; of what cannot be read, which teaches nothing, none."""
    try:
        return _digest.levels(_digest.of(folder))
    except UserError:
        return {}
