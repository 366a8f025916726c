"""From a suite to records: plan, probe, build, visit, append. The way the data flows is here.

Every planned cell yields records: one per block, or one that says why there are no more. A cell
that failed once is not visited again in this run.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices import _device, _host
from paretomark.devices.measure import _crew, _power, _run, _work
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.suites.records import _commits, _store, _summary
from paretomark.suites.records._record import SCHEMA, Header, Probe
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import AS_IS
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._suite import Suite

MOST_BLOCKS = 1000


def start(request: RunRequest, out: Path, progress: _work.Progress) -> _store.Run:
    """Start a new run in the folder `out`. Raise UserError, before it builds, if it cannot work."""
    suite, cells = request.plan()
    probes = probed(cells)
    commit, dirty = _commits.current(without=out.parent)  # earlier runs change nothing
    _store.create(
        out,
        header(
            out.name,
            suite,
            cells,
            probes,
            commit=commit,
            dirty=dirty,
            request=dataclasses.asdict(request),
        ),
    )
    _collect(suite, cells, probes, out, progress, request.time_s)
    return _store.read(out)


def header(
    name: str, suite: Suite, cells: Sequence[Cell], probes: Sequence[Probe], **further: Any
) -> Header:
    """Make the header of a run on this machine that starts now."""
    return Header(
        schema=SCHEMA,
        run=name,
        suite=suite.name,
        title=suite.title or suite.name,
        started=_work.utc_now(),
        host=_host.machine(),
        probes=tuple(probes),
        meters=_power.meters(probe.device for probe in probes if probe.available),
        cells=tuple(cell.key for cell in cells),
        blocks=suite.blocks,
        precision=suite.precision,
        boundary=suite.boundary,
        seed=suite.seed,
        **{"version": metadata.version("paretomark"), **further},
    )


def resume(out: Path, progress: _work.Progress) -> _store.Run:
    """Complete a run that was stopped. Raise UserError if machine, devices or suite changed."""
    run = _store.read(out)
    if run.header.schema != SCHEMA:
        raise UserError(f"{out}: was started by an older version of paretomark; start a new run")
    if any(record.imported for record in run.records):
        raise UserError(f"{out}: was imported, so there is nothing to go on with")
    request = _schema.read(RunRequest, run.header.request, f"{out}, request")
    suite, cells = request.plan()
    if tuple(cell.key for cell in cells) != run.header.cells:
        raise UserError(f"{out}: the suite no longer plans the same cells; start a new run")
    if run.header.host.fingerprint != _host.machine().fingerprint:
        raise UserError(f"{out}: was started on another machine ({run.header.host.chip})")
    probes = probed(cells)
    for probe, before in zip(probes, run.header.probes, strict=True):
        if probe != before:
            raise UserError(
                f"{out}: {probe.device} is not what it was when the run started "
                f"({before.versions}, now {probe.versions}); start a new run"
            )
    _collect(suite, cells, probes, out, progress, request.time_s)
    return _store.read(out)


def _collect(
    suite: Suite,
    cells: Sequence[Cell],
    probes: Sequence[Probe],
    out: Path,
    progress: _work.Progress,
    time_s: float | None,
) -> None:
    absent = {p.device: p for p in probes if not p.available}
    for probe in absent.values():
        progress.absent(probe)
    possible = [cell for cell in cells if not obstacle(cell, absent)]
    built = build_artifacts(suite, possible, progress)
    with _store.Writer(out) as writer:
        work = _work.Work(suite, possible, built, writer, progress, _store.read(out).records)
        keep_obstacles(work, cells, absent, built)
        end = None if time_s is None else time.monotonic() + time_s
        for block in range(suite.blocks):
            work.visit(block, possible)
        _visit_more(suite, possible, work, out, end)


def keep_obstacles(
    work: _work.Work,
    cells: Sequence[Cell],
    absent: Mapping[str, Probe],
    built: Mapping[str, Artifact | Refused],
) -> None:
    """Append the records of cells that cannot be visited."""
    for cell in cells:
        artifact = built.get(cell.key)
        if cell.key in work.ended:
            continue
        if why := obstacle(cell, absent):
            work.keep(cell, 0, why)
        elif isinstance(artifact, Refused):
            work.keep(cell, 0, Visit(artifact.status, "build", artifact.reason))


def _visit_more(
    suite: Suite, cells: Sequence[Cell], work: _work.Work, out: Path, end: float | None
) -> None:
    """Visit the cells again whose latency is not known as well as it is to be, the worst first.

    Until all are, or it is time; without a limit of time, for a third of the planned blocks: none
    of one or two.
    """
    by_key, block = {cell.key: cell for cell in cells}, suite.blocks
    while block < (suite.blocks + suite.blocks // 3 if end is None else MOST_BLOCKS):
        if end is not None and time.monotonic() >= end:
            return
        widths = _summary.half_widths(_store.read(out))
        wide = {key: width for key, width in widths.items() if width > suite.precision}
        worst = sorted(wide.keys() & by_key.keys() - work.ended, key=lambda key: -wide[key])
        if not worst:
            return
        work.visit(block, [by_key[key] for key in worst[: _crew.MOST]])
        block += 1


def obstacle(cell: Cell, absent: Mapping[str, Probe]) -> Visit | None:
    """Say why a cell cannot be visited, as far as that is known beforehand; None if it can."""
    loads = _device.loads()[cell.device]
    if cell.file_format not in ("", *loads):
        own = " and ".join(f".{form}" for form in loads)
        reason = f"{cell.device} loads {own}, not .{cell.file_format}"
        return Visit("unsupported", "plan", reason)
    if cell.device in absent:
        probe = absent[cell.device]
        return Visit("unavailable", "probe", f"{probe.reason}; {probe.remedy}")
    runs, precision = _device.precisions(cell.device), cell.recipe.precision
    if not runs or precision in (*runs, AS_IS):
        return None
    reason = f"{cell.device} runs {', '.join(runs)} only, not {precision}"
    return Visit("unsupported", "plan", reason)


def build_artifacts(
    suite: Suite, cells: Sequence[Cell], progress: _work.Progress
) -> dict[str, Artifact | Refused]:
    """Build the artifact of every cell: by the cell's key, it or why there is none."""
    specs = build_specs(suite, cells)
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


def build_specs(suite: Suite, cells: Sequence[Cell]) -> dict[str, BuildSpec]:
    """Say what is to be built for each cell, by the cell's key."""
    formats = _device.formats()
    return {
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


def probed(cells: Sequence[Cell]) -> list[Probe]:
    """Ask the devices of these cells what they are. Raise UserError if none is here."""
    targets = list(dict.fromkeys(cell.device for cell in cells))
    probes = list(_run.probe(targets).values())
    useful = {cell.device for cell in cells if not obstacle(cell, {})} or set(targets)
    if not any(p.available for p in probes if p.device in useful):
        absent = [p for p in probes if not p.available]
        reasons = "; ".join(f"{p.device}: {p.reason} ({p.remedy})" for p in absent)
        raise UserError(f"no device is available: {reasons}")
    return probes
