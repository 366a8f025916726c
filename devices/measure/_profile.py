"""From a request to a profile: one model, one recipe, one device; built, timed, then profiled."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomark.devices import _device
from paretomark.devices._device import Operator, Profiler
from paretomark.devices.measure import _collect, _request, _run
from paretomark.devices.measure._peak import Peaks
from paretomark.models.build._artifact import Artifact
from paretomark.models.compress import _step
from paretomark.models.export import _export
from paretomark.models.nets import _libraries, _zoo
from paretomark.reports import _operator_table, devices
from paretomark.reports._operator_table import Line
from paretomark.reports._table import percent, seconds
from paretomark.suites.spec import _plan, _suite
from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._model import AS_IS, Model, Recipe
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._suite import Suite

DEADLINE_S = 600.0
BEYOND = 1.2  # of the peak in float32: more than its own error
NOTICEABLE = 0.10  # of the latency: a gap of more than that is put into words


@dataclass(frozen=True)
class Request:
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
    visit: _run.Visit
    probe: dict[str, Any]
    runs: int
    started: str

    @property
    def operators(self) -> list[Operator]:
        """In order of running."""
        found: list[Operator] = self.visit.measured["operators"]
        return found

    @property
    def operators_ns(self) -> float:
        return sum(operator.ns for operator in self.operators)

    @property
    def latency_ns(self) -> float:
        """The median without the profiler; of an absent chip, what a model of it predicts."""
        measured = self.visit.measured
        if "predicted_s" in measured:
            return float(measured["predicted_s"]) * 1e9
        return float(statistics.median(measured["samples_ns"]))

    @property
    def simulated(self) -> str:
        return str(self.visit.measured.get("simulated", ""))

    @property
    def gap(self) -> tuple[str, float] | None:
        """What the operators do not explain of the latency, or exceed it by: its name, and ns."""
        ns = self.latency_ns - self.operators_ns
        if not ns:
            return None
        return ("outside operators" if ns > 0 else "profiling overhead"), ns

    @property
    def peaks(self) -> Peaks | None:
        """What the machine does at best; None where that does not bound the device."""
        found = self.visit.measured["peaks"]
        return Peaks(**found) if found else None

    @property
    def no_roofline(self) -> str:
        """Why there is no roofline; "" if there is one."""
        measured, device = self.visit.measured, self.cell.device
        if not measured["on_host"]:
            return f"No roofline: it is drawn for this machine's processor, and {device} is not it."
        if self.peaks is None:
            return f"No roofline: this machine's peaks were not measured: {measured['no_peaks']}"
        if not any(line.flop_per_s and line.flop_per_byte for line in self.lines):
            return f"No roofline: {device} tells of no operator both its multiplications and bytes."
        return ""

    @property
    def lines(self) -> list[Line]:
        return _operator_table.lines(self.operators)

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of these numbers, in sentences."""
        cell, measured, said = self.cell, self.visit.measured, []
        if self.visit.status == "fallback":
            units = ", ".join(f"{unit} ({n})" for unit, n in measured["placement"].items() if n)
            said.append(f"Not as {cell.device} says: runs on {units}, not on {measured['home']}.")
        if self.visit.flags:
            said.append(f"These times are not to be trusted: {', '.join(self.visit.flags)}.")
        if self.peaks and cell.recipe.precision == "fp32":
            fastest = max((line.flop_per_s or 0 for line in self.lines), default=0)
            if fastest > BEYOND * self.peaks.flop_per_s:
                said.append(
                    "Operators are faster than the flat roof: the machine was busy when that was "
                    "measured, or they are too short for the profiler's clock."
                )
        if self.gap and abs(self.gap[1]) > NOTICEABLE * self.latency_ns:
            said.append(_gap_in_words(*self.gap, self.latency_ns))
        return said


def _gap_in_words(name: str, ns: float, latency_ns: float) -> str:
    size = f"{seconds(abs(ns) / 1e9)}, {percent(abs(ns) / latency_ns)} of the latency"
    if ns > 0:
        return f"{size}, is outside operators: in copies, and in the runtime between operators."
    return (
        f"Under the profiler, operators take {size}, more than the whole call without it: that is "
        "the profiler's own time, unless operators ran side by side or the machine was busy."
    )


def collect(wanted: Request, progress: _collect.Progress, say: Callable[[str], None]) -> Profile:
    """Build and profile. Raises UserError for what does not exist, is not here, or fails."""
    suite, cell = _resolve(wanted)
    _check_profiler(cell.device)
    probe = _run.probe([cell.device])[cell.device]
    if not probe["available"]:
        raise UserError(f"{cell.device} is not available: {probe['reason']}; {probe['remedy']}")
    artifact = _collect._artifacts(suite, [cell], progress)[cell.key]
    if not isinstance(artifact, Artifact):
        raise UserError(f"{cell.key}: cannot be built: {artifact.reason}")
    say(f"profile {cell.key}: without a profiler, then {wanted.runs} runs with it")
    started = _collect._now()
    spec = _collect._spec(suite, cell, artifact, score=False)
    visit = _run.profile(spec, wanted.runs, DEADLINE_S, suite.foreign_load_cores)
    if visit.status == "failed":
        raise UserError(f"{cell.key}: failed ({visit.stage}): {visit.reason}")
    return Profile(cell, artifact, visit, probe, wanted.runs, started)


def _resolve(wanted: Request) -> tuple[Suite, Cell]:
    """The one cell to profile. Raises UserError for a name that is none."""
    devices.targets([wanted.device])
    path = _suite.locate(wanted.suite)
    suite = _suite.parse(_suite.text(path), path.stem, path.parent.absolute())
    model = _model(wanted.model, suite)
    if model.file:
        recipe = _as_is(wanted, model.file)
    elif wanted.recipe is None:
        recipe = Recipe("fp32")
    elif wanted.recipe in suite.recipe:
        recipe = suite.recipe[wanted.recipe]
    else:
        raise unknown("recipe", wanted.recipe, suite.recipe, f"suite '{suite.name}'")
    one = dataclasses.replace(
        suite,
        devices=(wanted.device,),
        batch=(wanted.batch or 1,),
        threads=(wanted.threads,),
        device={},
        model={model.name: dataclasses.replace(model, recipes=(), devices=())},
        recipe={} if model.file else {recipe.name: dataclasses.replace(recipe, devices=())},
    )
    methods, precisions = _step.methods(), _export.precisions()
    [cell] = _plan.plan(one, _zoo.names(), methods, _device.formats(), precisions)
    if no := _collect._hopeless(cell, {}):
        raise UserError(f"{cell.key}: {no.reason}")
    _request.check(cell, suite.name)
    return one, cell


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


def _as_is(wanted: Request, file: str) -> Recipe:
    """The recipe of a file that the user brings. Raises UserError if it is to be changed."""
    for option in ("recipe", "batch"):
        if getattr(wanted, option) is not None:
            raise UserError(f"{file} is profiled as it is, without --{option}")
    form, formats = Path(file).suffix.removeprefix("."), _device.formats()
    if form != formats[wanted.device]:
        loaders = ", ".join(sorted(t for t, f in formats.items() if f == form)) or "none"
        raise UserError(
            f"{wanted.device} loads .{formats[wanted.device]} files, not {file}; devices for it: "
            f"{loaders}"
        )
    return Recipe(AS_IS, (), AS_IS)


def _check_profiler(device: str) -> None:
    """Raise UserError, naming the devices here that can, if this one cannot be profiled."""
    if isinstance(_device.open_device(device), Profiler):
        return
    able = [t for t in devices.targets([]) if isinstance(_device.open_device(t), Profiler)]
    here = [target for target, probe in _run.probe(able).items() if probe["available"]]
    raise UserError(
        f"{device}: its runtime does not tell the time of single operators; devices here that do: "
        f"{', '.join(here) or 'none'}"
    )
