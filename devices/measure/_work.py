"""The visits of a run: those that are made, those that are still to be, and their records."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paretomark.devices.measure import _crew, _parity, _scenarios
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import NO_FIELDS, Visit
from paretomark.devices.measure._process import HERE, Interpreter
from paretomark.models.build import _artifact
from paretomark.models.build._artifact import Artifact, Refused
from paretomark.models.data import _data
from paretomark.suites.records import _levels, _store
from paretomark.suites.records._record import Malformed, Probe, Record
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import ALONE, COLD
from paretomark.suites.spec._suite import Suite


@dataclass(frozen=True)
class Progress:
    """Called as work is done; does nothing by default."""

    absent: Callable[[Probe], None] = lambda probe: None
    building: Callable[[int, int, str, str], None] = lambda done, total, what, note: None
    visiting: Callable[[int, int, Record], None] = lambda done, total, record: None
    turn: Callable[[int, int], None] = lambda done, total: None  # of a crew: a round is over


class Work:
    """The visits of a run: those that are made, and those that are still to be."""

    def __init__(
        self,
        suite: Suite,
        cells: Sequence[Cell],
        built: Mapping[str, Artifact | Refused],
        writer: _store.Writer,
        progress: Progress,
        records: Sequence[Record],
        where: Interpreter = HERE,
    ) -> None:
        self.suite, self._built, self._where = suite, built, where
        self.twins: dict[str, list[tuple[Work, Cell]]] = {}  # what the visits of a cell are of, too
        self._cells = {cell.key: cell for cell in cells}
        self._writer, self._progress = writer, progress
        self._done = {(r.cell, r.block) for r in records}
        self.ended = {r.cell for r in records if r.status not in ("ok", "fallback")}
        self._peaks: dict[str, int] = {}
        self._floors: dict[str, float] = {}
        for record in records:
            self._note(record)
        self._count, self._total = len(self._done), suite.blocks * len(cells)
        self._blocks = suite.blocks

    def visit(self, block: int, cells: Sequence[Cell]) -> None:
        """Visit these cells, without those that have been, or that have ended."""
        rules = self.rules(block)
        tasks = self.tasks(block, cells)
        random.Random(rules.seed).shuffle(tasks)
        together = [task for task in tasks if task.spec.scenario not in ALONE]
        for task, visit in _crew.visits(together, rules, self._progress.turn):
            self.keep(self._cells[task.key], block, visit)
        alone = [task for task in tasks if task.spec.scenario in ALONE]
        own = self.suite.server, self.suite.sustained
        for task, visit in _scenarios.visits(alone, rules, *own, self._progress.turn):
            self.keep(self._cells[task.key], block, visit)

    def rules(self, block: int) -> _crew.Rules:
        """Say what holds for all visits of a block."""
        seed, alone = f"{self.suite.seed}/{block}", block == 0
        return _crew.Rules(self.suite.deadline_s, self.suite.foreign_load_cores, seed, alone)

    def tasks(self, block: int, cells: Sequence[Cell]) -> list[_crew.Task]:
        """Give the visits of these cells that are still to be made in a block."""
        missing = [c for c in cells if (c.key, block) not in self._done | self.ended_in(block)]
        self._total += len(missing) if block >= self._blocks else 0
        return [self._task(cell, block) for cell in missing]

    def ended_in(self, block: int) -> set[tuple[str, int]]:
        """The visits of a block that are not made, for their cell has ended."""
        return {(cell, block) for cell in self.ended}

    def keep(self, cell: Cell, block: int, visit: Visit) -> None:
        """Append the record of a visit."""
        record = as_record(cell, block, utc_now(), self._built.get(cell.key), visit)
        self._writer.append(record)
        self._note(record)
        if cell.key in self._cells:
            self._count += (cell.key, block) not in self._done
            self._progress.visiting(self._count, self._total, record)
        self._done.add((cell.key, block))
        if record.status not in ("ok", "fallback"):
            self.ended.add(cell.key)
        for work, twin in self.twins.get(cell.key, ()):
            work.keep(twin, block, visit)

    def _note(self, record: Record) -> None:
        if record.peak_memory_bytes is not None:
            most = self._peaks.get(record.cell, 0)
            self._peaks[record.cell] = max(most, record.peak_memory_bytes)
        if record.slices_ns:
            floor_ns = _levels.floor(record.slices_ns)
            self._floors[record.cell] = min(floor_ns, self._floors.get(record.cell, floor_ns))

    def _task(self, cell: Cell, block: int) -> _crew.Task:
        artifact = self._built[cell.key]
        assert isinstance(artifact, Artifact)
        spec = visit_spec(self.suite, cell, artifact, score=block == 0 and cell.scenario != COLD)
        obstacle = functools.partial(not_intact, artifact)
        known = self._peaks.get(cell.key), self._floors.get(cell.key)
        return _crew.Task(cell.key, spec, *known, obstacle, self._where)


def not_intact(artifact: Artifact) -> str:
    """Say that the files are others by now than those that the artifact's digest is of."""
    if _artifact.intact(artifact):
        return ""
    folder = Path(artifact.file).parent
    return f"the cached files in {folder} are not what was built any more; run again to rebuild"


def visit_spec(suite: Suite, cell: Cell, artifact: Artifact, score: bool) -> VisitSpec:
    """Make the spec of a visit of a cell."""
    return VisitSpec.of(
        artifact,
        cell.device,
        seconds=suite.seconds,
        max_samples=suite.max_samples,
        score=score,
        threads=cell.threads,
        batch=cell.batch,
        parity_limit=_parity.LIMITS.get(cell.recipe.precision),
        seed=suite.seed,
        scenario=cell.scenario,
    )


def as_record(
    cell: Cell, block: int, started: str, artifact: Artifact | Refused | None, visit: Visit
) -> Record:
    """Make the record of a visit, with what is known of the artifact."""
    of_artifact: dict[str, Any] = {}
    if isinstance(artifact, Artifact):
        of_artifact = {
            "data": _data.public(artifact.data),
            "task": artifact.task,
            "identity": artifact.identity,
            "sha256": artifact.sha256,
            "lineage": artifact.lineage,
            "artifact_bytes": artifact.bytes,
            "parameters": artifact.parameters,
            "nonzeros": artifact.nonzeros,
            "macs": artifact.macs,
            "encoded_bytes": artifact.encoded_bytes,
            "steps_s": artifact.steps_s,
            "file_weights": artifact.file_weights,
            "file_zeros": artifact.file_zeros,
            "sparse_path": artifact.sparse_path,
            "classes": artifact.classes,
            "warnings": artifact.warnings,
            "asked": artifact.asked,
            "reached": artifact.reached,
        }
    table = {
        "cell": cell.key,
        "model": cell.model.name,
        "recipe": cell.recipe.name,
        "steps": cell.recipe.label,
        "precision": cell.recipe.precision,
        "device": cell.device,
        "batch": cell.batch,
        "threads": cell.threads,
        "length": cell.length,
        "scenario": cell.scenario,
        "block": block,
        "started": started,
        "status": visit.status,
        "stage": visit.stage,
        "reason": _named(cell, visit),
        "flags": visit.flags,
        **of_artifact,
        **{name: value for name, value in visit.measured.items() if name not in NO_FIELDS},
        "warnings": (*of_artifact.get("warnings", ()), *visit.measured.get("warnings", ())),
    }
    try:
        return Record.from_json(table)
    except Malformed as error:  # a child may tell anything
        bare = {k: v for k, v in table.items() if k not in visit.measured or k in of_artifact}
        reason = _named(cell, Visit("failed", "answer", str(error)))
        told = {"status": "failed", "stage": "answer", "reason": reason, **of_artifact}
        return Record.from_json({**bare, **told})


def _named(cell: Cell, visit: Visit) -> str:
    """Why there is no visit, with the file of the user's that it was to be of."""
    name = Path(cell.model.net).name if cell.model.kind in ("file", "python") else ""
    if visit.status != "failed" or name.partition(":")[0] in visit.reason:
        return visit.reason
    return f"{name}: {visit.reason}"


def utc_now() -> str:
    """Tell the time, in seconds and UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
