"""What would go wrong in a run: every cell built and visited for a moment, on a few pictures.

Of every model it is also told what its data holds, what the net is given, and what it answers.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices.measure import _collect, _look, _run, _timing, _work
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._kept import SHOWN
from paretomark.devices.measure._look import ModelLook
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build._artifact import Artifact, Refused
from paretomark.suites.records._record import Record
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import SINGLE
from paretomark.suites.spec._suite import Suite

SECONDS = 0.01  # of sampling: what is timed in it is no measurement
SCORED = 64  # pictures, of which the first are shown


@dataclass(frozen=True)
class Check:
    """A suite that was checked: a record of each cell, and what is to be seen of each model."""

    suite: str
    records: tuple[Record, ...]
    models: tuple[ModelLook, ...]

    @property
    def failed(self) -> bool:
        """Whether some cell would fail that could run here, or give answers that mean nothing."""
        statuses = {record.status for record in self.records}
        broken = any(record.broken for record in self.records)
        return broken or bool(statuses & {"failed", "fallback"}) or not statuses & {"ok"}


def check(request: RunRequest, progress: _work.Progress) -> Check:
    """Build and visit every cell once, shortly. Raise UserError for what cannot be planned."""
    suite, planned = request.plan()
    # What would go wrong goes wrong in a single call.
    single = [dataclasses.replace(cell, scenario=SINGLE) for cell in planned]
    cells = list({cell.key: cell for cell in single}.values())
    targets = list(dict.fromkeys(cell.device for cell in cells))
    absent = {d: probe for d, probe in _run.probe(targets).items() if not probe.available}
    for probe in absent.values():
        progress.absent(probe)
    obstacles = {cell.key: _collect.obstacle(cell, absent) for cell in cells}
    possible = [cell for cell in cells if not obstacles[cell.key]]
    built = _collect.build_artifacts(suite, possible, progress)
    records: dict[str, Record] = {}
    with tempfile.TemporaryDirectory(prefix="paretomark-check-") as name:
        folders = {cell.key: Path(name) / str(number) for number, cell in enumerate(cells)}
        for cell in cells:
            visit = obstacles[cell.key] or _visit(suite, cell, built[cell.key], folders[cell.key])
            artifact = built.get(cell.key)
            record = _work.as_record(cell, 0, _work.utc_now(), artifact, visit)
            records[cell.key] = dataclasses.replace(record, flags=())  # which are of its timing
            if cell in possible:
                done = possible.index(cell) + 1
                progress.visiting(done, len(possible), records[cell.key])
        groups: dict[str, list[tuple[Cell, Path]]] = {}
        for cell in cells:
            groups.setdefault(cell.model.name, []).append((cell, folders[cell.key]))
        models = tuple(_look.look(group, built, records) for group in groups.values())
    return Check(suite.name, tuple(records.values()), models)


def _visit(suite: Suite, cell: Cell, artifact: Artifact | Refused, folder: Path) -> Visit:
    """Visit a cell for a moment, with a few pictures, which `folder` holds."""
    if isinstance(artifact, Refused):
        return Visit(artifact.status, "build", artifact.reason)
    spec = dataclasses.replace(
        _work.visit_spec(suite, cell, artifact, score=True),
        seconds=SECONDS,
        max_samples=_timing.ROUNDS,
        full="",
    )
    if spec.images:
        folder.mkdir()
        spec = _few(spec, folder)
    return _run.visit(spec, suite.deadline_s, suite.foreign_load_cores)


def _few(spec: VisitSpec, folder: Path) -> VisitSpec:
    """The visit of a few pictures only, copied into a folder."""
    images = np.load(spec.images, mmap_mode="r")
    labels = np.load(spec.labels, mmap_mode="r") if spec.labels else None
    reference = np.load(spec.reference, mmap_mode="r") if spec.reference else None
    total = len(images) if reference is None else len(reference)
    at = chosen(None if labels is None else labels[:total], total, spec.batch)
    files = {"images": images[at]}
    if labels is not None:
        files["labels"] = labels[at]
    if reference is not None:
        # What a single answer means is told by the range of all: its ends stand behind the others.
        flat = reference.reshape(total, -1)
        ends = [int(flat.min(1).argmin()), int(flat.max(1).argmax())]
        files["reference"] = reference[at + ends if len(at) < total else at]
    for name, array in files.items():
        np.save(folder / f"{name}.npy", array)
    return dataclasses.replace(
        spec,
        images=str(folder / "images.npy"),
        labels=str(folder / _look.LABELS) if spec.labels else "",
        reference=str(folder / "reference.npy") if spec.reference else "",
        kept=str(folder / _look.KEPT),
    )


def chosen(labels: NDArray[Any] | None, count: int, batch: int) -> list[int]:
    """Choose pictures out of `count`: the first, those with the least and the greatest label, and
    some from everywhere; whole batches of them, unless it is all there are."""
    first = list(range(min(SHOWN, count)))
    if labels is not None:
        rows = labels.reshape(len(labels), -1)
        rows = np.where(rows == _look.VOID, 0, rows) if rows.dtype == np.uint8 else rows
        first += [int(rows.min(1).argmin()), int(rows.max(1).argmax())]
    spread = np.linspace(0, count - 1, min(SCORED, count)).astype(int).tolist()
    order = list(dict.fromkeys([*first, *spread, *range(count)]))
    return order[: min(count, -(-SCORED // batch) * batch)]
