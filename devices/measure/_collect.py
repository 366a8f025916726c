"""From a suite to records: plan, probe, build, visit, append. The way the data flows is here.

Every planned cell yields records: one per block, or one that says why there are no more. A cell
that failed once is not visited again in this run.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices import _device, _host
from paretomark.devices.measure import _parity, _run
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build import _artifact, _build
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.models.data import _data
from paretomark.suites.records import _store
from paretomark.suites.records._record import SCHEMA, Header, Probe, Record
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import AS_IS
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._suite import Suite


@dataclass(frozen=True)
class Progress:
    """Called as work is done; does nothing by default."""

    absent: Callable[[Probe], None] = lambda probe: None
    building: Callable[[int, int, str, str], None] = lambda done, total, what, note: None
    visiting: Callable[[int, int, Record], None] = lambda done, total, record: None


def start(request: RunRequest, out: Path, progress: Progress) -> _store.Run:
    """Start a new run in the folder `out`. Raise UserError, before it builds, if it cannot work."""
    suite, cells = request.plan()
    probes = _probes(cells)
    commit, dirty = _commit()
    header = Header(
        schema=SCHEMA,
        run=out.name,
        suite=suite.name,
        title=suite.title or suite.name,
        started=utc_now(),
        commit=commit,
        dirty=dirty,
        version=metadata.version("paretomark"),
        host=_host.machine(),
        probes=tuple(probes),
        cells=tuple(cell.key for cell in cells),
        blocks=suite.blocks,
        seed=suite.seed,
        request=dataclasses.asdict(request),
    )
    _store.create(out, header)
    _collect(suite, cells, probes, out, progress)
    return _store.read(out)


def resume(out: Path, progress: Progress) -> _store.Run:
    """Complete a run that was stopped. Raise UserError if machine, devices or suite changed."""
    run = _store.read(out)
    if run.header.schema != SCHEMA:
        raise UserError(f"{out}: was started by an older version of paretomark; start a new run")
    request = _schema.read(RunRequest, run.header.request, f"{out}, request")
    suite, cells = request.plan()
    if tuple(cell.key for cell in cells) != run.header.cells:
        raise UserError(f"{out}: the suite no longer plans the same cells; start a new run")
    if run.header.host.fingerprint != _host.machine().fingerprint:
        raise UserError(f"{out}: was started on another machine ({run.header.host.chip})")
    probes = _probes(cells)
    for probe, before in zip(probes, run.header.probes, strict=True):
        if probe != before:
            raise UserError(
                f"{out}: {probe.device} is not what it was when the run started "
                f"({before.versions}, now {probe.versions}); start a new run"
            )
    _collect(suite, cells, probes, out, progress)
    return _store.read(out)


def _collect(
    suite: Suite, cells: Sequence[Cell], probes: Sequence[Probe], out: Path, progress: Progress
) -> None:
    absent = {p.device: p for p in probes if not p.available}
    for probe in absent.values():
        progress.absent(probe)
    possible = [cell for cell in cells if not obstacle(cell, absent)]
    built = build_artifacts(suite, possible, progress)
    with _store.Writer(out) as writer:
        records = _store.read(out).records
        done = {(r.cell, r.block) for r in records}
        ended = {r.cell for r in records if r.status not in ("ok", "fallback")}
        for cell in cells:
            if cell.key not in ended and (why := obstacle(cell, absent)):
                writer.append(as_record(cell, 0, utc_now(), None, why))
        total = suite.blocks * len(possible)
        for count, (block, cell) in enumerate(_run.blocks(possible, suite.blocks, suite.seed), 1):
            if (cell.key, block) in done or cell.key in ended:
                continue
            artifact = built[cell.key]
            started = utc_now()
            if isinstance(artifact, Artifact):
                spec = visit_spec(suite, cell, artifact, score=block == 0)
                visit = _visit(spec, artifact, suite)
            else:
                visit = _run.Visit(artifact.status, "build", artifact.reason)
            record = as_record(cell, block, started, artifact, visit)
            writer.append(record)
            if visit.status not in ("ok", "fallback"):
                ended.add(cell.key)
            progress.visiting(count, total, record)


def _visit(spec: VisitSpec, artifact: Artifact, suite: Suite) -> _run.Visit:
    """Visit what the digest of the artifact is of, or say that the files are others by now."""
    if _artifact.intact(artifact):
        return _run.visit(spec, suite.deadline_s, suite.foreign_load_cores)
    folder = Path(artifact.file).parent
    reason = f"the cached files in {folder} are not what was built any more; run again to rebuild"
    return _run.Visit("failed", "load", reason)


def obstacle(cell: Cell, absent: Mapping[str, Probe]) -> _run.Visit | None:
    """Say why a cell cannot be visited, as far as that is known beforehand; None if it can."""
    loads = _device.loads()[cell.device]
    if cell.file_format not in ("", *loads):
        own = " and ".join(f".{form}" for form in loads)
        reason = f"{cell.device} loads {own}, not .{cell.file_format}"
        return _run.Visit("unsupported", "plan", reason)
    if cell.device in absent:
        probe = absent[cell.device]
        return _run.Visit("unavailable", "probe", f"{probe.reason}; {probe.remedy}")
    runs, precision = _device.precisions(cell.device), cell.recipe.precision
    if not runs or precision in (*runs, AS_IS):
        return None
    reason = f"{cell.device} runs {', '.join(runs)} only, not {precision}"
    return _run.Visit("unsupported", "plan", reason)


def build_artifacts(
    suite: Suite, cells: Sequence[Cell], progress: Progress
) -> dict[str, Artifact | Refused]:
    """Build the artifact of every cell: by the cell's key, it or why there is none."""
    formats = _device.formats()
    specs = {
        cell.key: BuildSpec(
            cell.model,
            cell.recipe,
            cell.file_format or formats[cell.device],
            cell.batch,
            suite.examples,
            suite.seed,
        )
        for cell in cells
    }
    distinct = list({_build.key(spec): spec for spec in specs.values()}.values())
    count = 0

    def report(spec: BuildSpec, result: Artifact | Refused) -> None:
        nonlocal count
        count += 1
        note = result.reason if isinstance(result, Refused) else ""
        what = f"{spec.model.name}/{spec.recipe.name}.{spec.format}"
        progress.building(count, len(distinct), what, note)

    built = _build.build(distinct, suite.build_deadline_s, report)
    return {name: built[_build.key(spec)] for name, spec in specs.items()}


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
    )


def as_record(
    cell: Cell, block: int, started: str, artifact: Artifact | Refused | None, visit: _run.Visit
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
        "block": block,
        "started": started,
        "status": visit.status,
        "stage": visit.stage,
        "reason": _named(cell, visit),
        "flags": visit.flags,
        **of_artifact,
        **visit.measured,
        "warnings": (*of_artifact.get("warnings", ()), *visit.measured.get("warnings", ())),
    }
    return Record.from_json(table)


def _named(cell: Cell, visit: _run.Visit) -> str:
    """Why there is no visit, with the file of the user's that it was to be of."""
    name = Path(cell.model.net).name if cell.model.kind in ("file", "python") else ""
    if visit.status != "failed" or name.partition(":")[0] in visit.reason:
        return visit.reason
    return f"{name}: {visit.reason}"


def _probes(cells: Sequence[Cell]) -> list[Probe]:
    """What the devices of these cells say of themselves. Raise UserError if none is here."""
    targets = list(dict.fromkeys(cell.device for cell in cells))
    probes = list(_run.probe(targets).values())
    useful = {cell.device for cell in cells if not obstacle(cell, {})} or set(targets)
    if not any(p.available for p in probes if p.device in useful):
        absent = [p for p in probes if not p.available]
        reasons = "; ".join(f"{p.device}: {p.reason} ({p.remedy})" for p in absent)
        raise UserError(f"no device is available: {reasons}")
    return probes


def _commit() -> tuple[str, bool]:
    """The commit of the checkout we run in, and whether it has uncommitted changes."""

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(
                ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    return commit or "", bool(commit and git("status", "--porcelain"))


def utc_now() -> str:
    """Tell the time, in seconds and UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
