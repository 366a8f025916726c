"""From a request to a profile: one model, one recipe, one device; built, timed, then profiled.

Here are its facts. `paretomark.reports.profile` writes them.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paretomark.devices import _device
from paretomark.devices._device import Operator, Profiler
from paretomark.devices.measure import _collect, _request, _run, _work
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._peak import Peaks
from paretomark.models.build._artifact import Artifact
from paretomark.models.compress import _step
from paretomark.models.export import _export
from paretomark.models.nets import _libraries, _zoo
from paretomark.suites.records._record import Probe
from paretomark.suites.spec import _plan, _suite
from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._model import AS_IS, Model, Recipe
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import SINGLE
from paretomark.suites.spec._suite import Suite

DEADLINE_S = 600.0


@dataclass(frozen=True)
class ProfileRequest:
    """What to profile: a net of the zoo, a model of the suite or file:PATH, and how."""

    model: str
    recipe: str | None  # of the suite; None: the net as trained, in fp32
    device: str
    suite: str
    threads: int = 1
    batch: int | None = None  # a file has its own
    runs: int = 50


@dataclass(frozen=True)
class Profile:
    """One artifact on one device: its latency, and its operators under the profiler."""

    cell: Cell
    artifact: Artifact
    visit: Visit
    probe: Probe
    runs: int
    started: str

    @property
    def operators(self) -> list[Operator]:
        """In order of running."""
        operators: list[Operator] = self.visit.measured["operators"]
        return operators

    @property
    def operators_ns(self) -> float:
        """Their sum."""
        return sum(operator.ns for operator in self.operators)

    @property
    def latency_ns(self) -> float:
        """The median without the profiler; of an absent chip, what a model of it predicts."""
        measured = self.visit.measured
        if "predicted_s" in measured:
            return float(measured["predicted_s"]) * 1e9
        return float(statistics.median(itertools.chain(*measured["slices_ns"])))

    @property
    def simulated(self) -> str:
        """What the times are, where they are not measured."""
        return str(self.visit.measured.get("simulated", ""))

    @property
    def gap_ns(self) -> float:
        """What the operators do not explain of the latency; negative where they exceed it."""
        return self.latency_ns - self.operators_ns

    @property
    def peaks(self) -> Peaks | None:
        """What the machine does at best; None where that does not bound the device."""
        peaks = self.visit.measured["peaks"]
        return Peaks(**peaks) if peaks else None


def collect(
    request: ProfileRequest, progress: _work.Progress, say: Callable[[str], None]
) -> Profile:
    """Build and profile. Raises UserError for what does not exist, is not here, or fails."""
    suite, cell = _resolve(request)
    _check_profiler(cell.device)
    probe = _run.probe([cell.device])[cell.device]
    if not probe.available:
        raise UserError(f"{cell.device} is not available: {probe.reason}; {probe.remedy}")
    artifact = _collect.build_artifacts(suite, [cell], progress)[cell.key]
    if not isinstance(artifact, Artifact):
        raise UserError(f"{cell.key}: cannot be built: {artifact.reason}")
    say(f"profile {cell.key}: without a profiler, then {request.runs} runs with it")
    started = _work.utc_now()
    spec = _work.visit_spec(suite, cell, artifact, score=False)
    visit = _run.profile(spec, request.runs, DEADLINE_S, suite.foreign_load_cores)
    if visit.status == "failed":
        raise UserError(f"{cell.key}: failed ({visit.stage}): {visit.reason}")
    return Profile(cell, artifact, visit, probe, request.runs, started)


def _resolve(request: ProfileRequest) -> tuple[Suite, Cell]:
    """The one cell to profile. Raises UserError for a name that is none."""
    _device.targets([request.device])
    path = _suite.locate(request.suite)
    suite = _suite.parse(_suite.text(path), path.stem, path.parent.absolute())
    model = _model(request.model, suite)
    if model.file:
        recipe = _as_is(request, model.file)
    elif request.recipe is None:
        recipe = Recipe("fp32")
    elif request.recipe in suite.recipe:
        recipe = suite.recipe[request.recipe]
    else:
        raise unknown("recipe", request.recipe, suite.recipe, f"suite '{suite.name}'")
    one = dataclasses.replace(
        suite,
        devices=(request.device,),
        batch=(request.batch or 1,),
        threads=(request.threads,),
        scenario=(SINGLE,),
        length=_lengths(suite, request.device)[:1] if model.has_length else (),
        device={},
        model={model.name: dataclasses.replace(model, recipes=(), devices=())},
        recipe={} if model.file else {recipe.name: dataclasses.replace(recipe, devices=())},
    )
    methods, precisions = _step.methods(), _export.precisions()
    [cell] = _plan.plan(one, _zoo.names(), methods, _device.loads(), precisions)
    if no := _collect.obstacle(cell, {}):
        raise UserError(f"{cell.key}: {no.reason}")
    _request.check([cell], one)
    return one, cell


def _lengths(suite: Suite, device: str) -> tuple[int, ...]:
    """The lengths of a device, of which the first is profiled."""
    return suite.device.get(device, suite).length or suite.length


def _model(name: str, suite: Suite) -> Model:
    if name.startswith("file:"):
        path = Path(name.removeprefix("file:")).absolute()
        return Model(path.stem, f"file:{path}")
    if name in suite.model:
        return suite.model[name]
    if _zoo.split(name).kind in _libraries.NAMES:
        return Model(name, name)
    if name.partition("@")[0] not in _zoo.names():
        raise unknown("model", name, {*suite.model, *_zoo.names()})
    return Model(name, name)


def _as_is(request: ProfileRequest, file: str) -> Recipe:
    """The recipe of a file that the user brings. Raises UserError if it is to be changed."""
    for option in ("recipe", "batch"):
        if getattr(request, option) is not None:
            raise UserError(f"{file} is profiled as it is, without --{option}")
    form, loads = Path(file).suffix.removeprefix("."), _device.loads()
    if form not in loads[request.device]:
        loaders = ", ".join(sorted(t for t, forms in loads.items() if form in forms)) or "none"
        own = " and ".join(f".{own}" for own in loads[request.device])
        raise UserError(
            f"{request.device} loads {own} files, not {file}; devices for it: {loaders}"
        )
    return Recipe(AS_IS, (), AS_IS)


def _check_profiler(device: str) -> None:
    """Raise UserError, naming the devices here that can, if this one cannot be profiled."""
    if isinstance(_device.open_device(device), Profiler):
        return
    able = [t for t in _device.targets([]) if isinstance(_device.open_device(t), Profiler)]
    here = [target for target, probe in _run.probe(able).items() if probe.available]
    raise UserError(
        f"{device}: its runtime does not tell the time of single operators; devices here that do: "
        f"{', '.join(here) or 'none'}"
    )
