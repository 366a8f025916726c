"""What a history needs of a run: a line for each of its cells, kept in the cache.

Reading all records of a run takes seconds, and a history is of hundreds of runs. Scores, one for
each example, are kept by their own digest: most runs have the same.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretomark.models import _cache
from paretomark.suites.records import _store
from paretomark.suites.records._levels import Level
from paretomark.suites.records._row import Row
from paretomark.suites.records._scores import Scores
from paretomark.suites.records._summary import Summary, summarise

FORMAT = "4"  # of what is kept


@dataclass(frozen=True)
class Seen:
    """A cell in one run. `scores` names what `scores` reads; `versions` are those of its device and
    of what all devices stand on."""

    cell: str
    model: str
    recipe: str
    device: str
    status: str
    reason: str = ""
    valid: bool = False
    simulated: str = ""
    imported: str = ""
    identity: str = ""
    lineage: str = ""
    sha256: str = ""
    data: str = ""
    metric: str = ""
    accuracy: float | None = None
    scores: str = ""
    artifact_bytes: int | None = None
    peak_memory_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    level: Level | None = None

    @functools.cached_property
    def thing(self) -> str:
        """What was measured: the same in two runs only if file, runtime and system are."""
        return f"{self.cell} {self.sha256} {json.dumps(self.versions, sort_keys=True)}"

    @property
    def measured(self) -> bool:
        """Whether its latency is one that was measured, and is valid."""
        return self.valid and self.level is not None and not self.simulated


def of(folder: Path) -> tuple[Seen, ...]:
    """Return what a run is, a line for each cell, from the cache if it is there. Raises UserError
    for what is no run."""
    file = _file(folder)
    found = _kept(file)
    if found is None:
        found = _found(summarise(_store.read(folder)))
        _keep(file, found)
    return found


def keep(summary: Summary) -> None:
    """Keep what a run is, so that it need not be read for it again."""
    _keep(_file(summary.run.folder), _found(summary))


def scores(name: str) -> Scores | None:
    """Return the scores of a digest; None if they are not kept any more."""
    try:
        found = json.loads(_of_scores(name).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(found, str):
        return found
    numbers = isinstance(found, list) and all(isinstance(value, int | float) for value in found)
    return found if numbers else None


def levels(seen: tuple[Seen, ...]) -> dict[str, Level]:
    """Return the levels of a run by what was measured."""
    return {each.thing: each.level for each in seen if each.measured and each.level and each.sha256}


def _folder() -> Path:
    return _cache.folder() / "digests"


def _file(folder: Path) -> Path:
    """Where the digest of a run is kept: it has another place when its records have changed."""
    parts = [FORMAT, str(folder.resolve())]
    for name in (_store.HEADER, _store.RECORDS):
        path = folder / name
        seen = path.stat() if path.exists() else None
        parts += [str(seen.st_size), str(seen.st_mtime_ns)] if seen else ["", ""]
    return _folder() / f"{_cache.key(parts)}.json"


def _found(summary: Summary) -> tuple[Seen, ...]:
    header = summary.run.header
    versions = {probe.device: dict(probe.versions) for probe in header.probes}
    common = {"paretomark": header.version, "python": header.host.python}
    common["system"] = header.host.system
    found = []
    for row in summary.rows:
        visits = summary.visits[row.cell]
        found.append(
            Seen(
                **{name: getattr(row, name) for name in _OF_ROW},
                lineage=_facts(row),
                scores=_keep_scores(visits.outcomes),
                versions=versions.get(row.device, {}) | common,
                level=visits.level,
            )
        )
    return tuple(found)


_OF_ROW = [name for name in Seen.__dataclass_fields__ if name in Row.__dataclass_fields__] + [
    "valid"
]
_OF_ROW.remove("lineage")


def _facts(row: Row) -> str:
    """Of the lineage what tells two artifacts apart, as `_changes` takes it."""
    try:
        lineage = json.loads(row.lineage)
        return json.dumps({"identity": lineage["identity"]})
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""


def _keep_scores(found: Scores) -> str:
    if not found:
        return ""
    text = json.dumps(found)
    name = _cache.key([text])
    if not (file := _of_scores(name)).exists():
        _write(file, text)
    return name


def _keep(file: Path, found: tuple[Seen, ...]) -> None:
    text = json.dumps([dataclasses.asdict(each) for each in found])
    _write(file, f"{zlib.crc32(text.encode()):08x} {text}")


def _kept(file: Path) -> tuple[Seen, ...] | None:
    """What is kept; None if nothing is, or not what was."""
    try:
        checksum, _, text = file.read_text().partition(" ")
        if checksum != f"{zlib.crc32(text.encode()):08x}":
            return None
        found = tuple(_seen(table) for table in json.loads(text))
    except (OSError, ValueError, RecursionError, TypeError):
        return None
    # Without its scores an accuracy would be passed over in silence: then the run is read again.
    named = {each.scores for each in found if each.scores}
    return found if all(_of_scores(name).exists() for name in named) else None


def _of_scores(name: str) -> Path:
    return _folder() / "scores" / f"{name}.json"


def _seen(table: dict[str, Any]) -> Seen:
    level = table.pop("level")
    return Seen(**table, level=Level(**level) if level else None)


def _write(file: Path, text: str) -> None:
    """Keep a text, if that is possible: it can be made again."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
