"""How far runs of a machine lie apart, learnt from those that are kept of it.

The levels of a run are kept in the cache, for they take reading all of its records.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from paretomark.models import _cache
from paretomark.suites.records import _archive, _sessions, _store
from paretomark.suites.records._levels import Level
from paretomark.suites.records._record import Header
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError

MOST = 12  # of the newest runs
FORMAT = "1"  # of what is kept


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
    """The levels of a run by what was measured: cell, file, and versions of its device."""
    try:
        seen = (folder / _store.RECORDS).stat()
    except OSError:
        return {}
    parts = [FORMAT, str(folder.resolve()), str(seen.st_size), str(seen.st_mtime_ns)]
    kept = _cache.folder() / "levels" / f"{_cache.key(parts)}.json"
    try:
        return _schema.typed(dict[str, Level], json.loads(kept.read_text()))
    except (OSError, ValueError, RecursionError):
        pass
    try:
        found = _found(folder)
    except UserError:  # what cannot be read teaches nothing
        return {}
    part = kept.with_suffix(f".{os.getpid()}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({key: dataclasses.asdict(v) for key, v in found.items()}))
        part.replace(kept)
    except OSError:
        part.unlink(missing_ok=True)
    return found


def _found(folder: Path) -> dict[str, Level]:
    summary = summarise(_store.read(folder))
    versions = {probe.device: probe.versions for probe in summary.run.header.probes}
    found = {}
    for row in summary.rows:
        level = summary.visits[row.cell].level
        if row.valid and row.sha256 and level is not None and not row.simulated:
            device = json.dumps(versions.get(row.device, {}), sort_keys=True)
            found[f"{row.cell} {row.sha256} {device}"] = level
    return found
