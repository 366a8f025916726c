"""What a run would do and take, told without building or measuring anything.

What is here is asked of the devices, and what is built of the cache. Time and disk are estimates:
each says what it rests on, and what cannot be estimated is named.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from paretomark.devices import _host
from paretomark.devices.measure import _collect, _crew, _run
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._request import RunRequest
from paretomark.models import _cache
from paretomark.models.build import _artifact, _build
from paretomark.models.build._artifact import BuildSpec
from paretomark.models.compress import _step
from paretomark.suites.records import _archive, _store
from paretomark.suites.records._record import Probe
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import COLD, SERVER, SUSTAINED
from paretomark.suites.spec._suite import Suite

START_S = 0.9  # of a visit beside sampling: small nets, on the machine of docs/runs
RECORD_BYTES = 16_000  # of a visit, likewise
BITS = re.compile(r"[a-z]+(\d+)")  # of a weight, in the name of a precision


@dataclass(frozen=True)
class Needed:
    """An artifact that the cells need."""

    name: str  # MODEL/RECIPE.FORMAT
    built: bool  # it lies in the cache
    trains: bool  # making it may train, which takes longest
    bytes: int | None  # about, of one that is to be built; None: not known


@dataclass(frozen=True)
class Earlier:
    """A run of the same suite on this machine."""

    folder: str
    visits: int
    seconds: float


@dataclass(frozen=True)
class Foreseen:
    """What a run would do and take."""

    suite: Suite
    cells: tuple[Cell, ...]
    probes: tuple[Probe, ...]
    obstacles: Mapping[str, Visit]  # by cell, of those that cannot be visited
    artifacts: tuple[Needed, ...]
    visits: int
    more_visits: int | None  # at most, of cells that are not known well enough; None: for a time
    time_s: float | None  # how long those may take, if it was asked for
    visits_s: float | None
    visits_rest_on: str
    disk_bytes: int
    disk_rests_on: str
    free_bytes: int

    @property
    def missing(self) -> tuple[Needed, ...]:
        """What is to be built."""
        return tuple(each for each in self.artifacts if not each.built)


def foresee(request: RunRequest, runs: Path) -> Foreseen:
    """Plan a run, and look what is there; earlier runs lie below `runs`.

    Raises UserError for what cannot be planned.
    """
    suite, cells = request.plan()
    targets = list(dict.fromkeys(cell.device for cell in cells))
    probes = tuple(_run.probe(targets).values())
    absent = {probe.device: probe for probe in probes if not probe.available}
    found = {cell.key: _collect.obstacle(cell, absent) for cell in cells}
    possible = [cell for cell in cells if found[cell.key] is None]
    specs = _collect.build_specs(suite, possible).values()
    artifacts = tuple(_needed(s) for s in {_build.key(spec): spec for spec in specs}.values())
    more = None if request.time_s else suite.blocks // 3 * min(len(possible), _crew.MOST)
    visits_s, rest_on = _time(suite, possible, _earlier(runs, suite.name, request.effort))
    sized = [each for each in artifacts if not each.built and each.bytes is not None]
    unsized = sum(not each.built for each in artifacts) - len(sized)
    told = f"{RECORD_BYTES // 1000} kB a visit, and trained weights in the precision of a recipe"
    told += f"; of {unsized} to build nothing is known" if unsized else ""
    records = RECORD_BYTES * suite.blocks * len(possible)
    return Foreseen(
        suite,
        tuple(cells),
        probes,
        {key: visit for key, visit in found.items() if visit},
        artifacts,
        suite.blocks * len(possible),
        more,
        request.time_s,
        visits_s,
        rest_on,
        records + sum(each.bytes or 0 for each in sized),
        told,
        _free_bytes(),
    )


def _needed(spec: BuildSpec) -> Needed:
    try:
        built = _artifact.kept(spec) is not None
    except UserError:  # the file is damaged, or a package missing: the run will tell
        built = False
    trains = any(_step.trains(step) for step in spec.recipe.steps)
    name = f"{spec.model.name}/{spec.recipe.name}.{spec.format}"
    return Needed(name, built, trains, None if built else _bytes(spec))


def _bytes(spec: BuildSpec) -> int | None:
    """About how large a file will be; None where no file tells."""
    if spec.model.file:
        return Path(spec.model.file).stat().st_size
    weights, bits = _artifact.weights(spec.model), BITS.match(spec.recipe.precision)
    if weights is None or bits is None or not weights.is_file():
        return None
    return weights.stat().st_size * int(bits[1]) // 32


def _time(suite: Suite, cells: Sequence[Cell], earlier: Earlier | None) -> tuple[float | None, str]:
    """How long visits take, and what that rests on; None where it cannot be told."""
    visits = suite.blocks * len(cells)
    if earlier:
        seconds = visits * earlier.seconds / earlier.visits
        with_it = f"{earlier.visits} visits in {earlier.seconds:.0f} s"
        return seconds, f"the newest run of this suite here, {earlier.folder}: {with_it}"
    if any(cell.scenario == SERVER for cell in cells):
        return None, "a server is tried at as many rates as it takes to find its highest"
    own = {SUSTAINED: suite.sustained.seconds, COLD: 0.0}
    sampled = sum(own.get(cell.scenario, suite.seconds) for cell in cells)
    seconds = suite.blocks * (sampled + START_S * len(cells))
    return seconds, f"the suite's seconds of sampling, and {START_S:g} s to start each visit"


def _earlier(runs: Path, suite: str, effort: str) -> Earlier | None:
    """The newest run of the suite on this machine, at this effort, if one can be read."""
    fingerprint = _host.machine().fingerprint
    for folder, header in reversed(list(_archive.headers(runs))):
        same = (header.suite, header.host.fingerprint, header.request.get("effort", ""))
        if same != (suite, fingerprint, effort):
            continue
        try:
            records = [r for r in _store.read(folder).records if r.timed and not r.imported]
        except UserError:
            continue
        if records:
            ends = [datetime.fromisoformat(t) for t in (header.started, records[-1].started)]
            seconds = (ends[1] - ends[0]).total_seconds()
            if math.isfinite(seconds) and seconds > 0:
                return Earlier(str(folder), len(records), seconds)
    return None


def _free_bytes() -> int:
    """What is free where the cache is, or will be."""
    place = _cache.folder()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
