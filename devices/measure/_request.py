"""What the user asked for, planned and checked: all that can be known to be wrong is said here,
before anything is probed, built or visited.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from paretomark.devices import _device
from paretomark.models.build import _artifact, _facts
from paretomark.models.build._artifact import CALIBRATION_EXAMPLES
from paretomark.models.compress import _step, _tuning
from paretomark.models.data import _data
from paretomark.models.data._data import Holding, Split
from paretomark.models.export import _export
from paretomark.models.nets import _libraries, _zoo
from paretomark.suites.spec import _plan, _scenario, _suite
from paretomark.suites.spec._errors import UserError, at, nearest, unknown
from paretomark.suites.spec._model import RANDOM, Model, Recipe
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import SUSTAINED, Scenario, Sustained
from paretomark.suites.spec._suite import Suite
from paretomark.suites.tasks import _task
from paretomark.suites.tasks._task import CLASSIFICATION

INT8 = "int8"  # the precision that is calibrated


class Effort(NamedTuple):
    """How often each cell is visited, how many times as long as the suite says, and the half width
    of the intervals that is to be reached."""

    visits: int
    longer: int
    precision: float


EFFORTS = {
    "quick": Effort(3, 1, 0.02),
    "gate": Effort(8, 2, 0.01),
    "publish": Effort(20, 2, 0.005),
}


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for: a suite and how to narrow it."""

    suite: str  # the text of the TOML file
    name: str
    folder: str  # where the suite's relative paths start
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # of the suite, or nets that it does not have
    recipes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    effort: str = ""  # one of EFFORTS; by default as the suite has it
    precision: float | None = None  # by default that of the effort, or of the suite
    time_s: float | None = None  # how long visits may take, for cells that need more of them
    scenario: tuple[Scenario, ...] = ()  # by default the suite's
    sustained_s: float | None = None  # by default the suite's

    @classmethod
    def of(
        cls,
        suite: str,
        devices: Sequence[str],
        models: Sequence[str],
        recipes: Sequence[str],
        threads: Sequence[int] = (),
        **further: Any,
    ) -> Self:
        """Make the request for a suite given by name or path. Raise UserError if there is none."""
        path = _suite.locate(suite)
        narrowed = tuple(devices), tuple(models), tuple(recipes), tuple(threads)
        return cls(_suite.text(path), path.stem, str(path.parent.absolute()), *narrowed, **further)

    def plan(self) -> tuple[Suite, list[Cell]]:
        """Plan the suite and its cells. Raise UserError for all that can be known to be wrong."""
        suite = _suite.parse(self.suite, self.name, Path(self.folder))
        if self.threads:
            places = {n: dataclasses.replace(p, threads=()) for n, p in suite.device.items()}
            suite = dataclasses.replace(suite, threads=self.threads, device=places)
        if self.effort:
            if self.effort not in EFFORTS:
                raise unknown("effort", self.effort, EFFORTS)
            visits, longer, precision = EFFORTS[self.effort]
            seconds, samples = longer * suite.seconds, longer * suite.max_samples
            suite = dataclasses.replace(
                suite, blocks=visits, seconds=seconds, max_samples=samples, precision=precision
            )
        suite = dataclasses.replace(suite, precision=self.precision or suite.precision)
        suite = self._in_scenarios(suite)
        others = {
            name: Model(name, name)
            for name in self.models
            if name not in suite.model and not _plan.is_pattern(name) and _is_net(name)
        }
        suite = dataclasses.replace(suite, model={**suite.model, **others})
        loads, precisions = _device.loads(), _export.precisions()
        cells = _plan.plan(suite, _zoo.names(), _step.methods(), loads, precisions)
        cells = _plan.select(cells, device=self.devices, model=self.models, recipe=self.recipes)
        check(cells, suite)
        return suite, cells

    def _in_scenarios(self, suite: Suite) -> Suite:
        """The suite with the scenarios that were asked for in place of its own."""
        sustained = Sustained(self.sustained_s) if self.sustained_s else suite.sustained
        asked = self.scenario or ((SUSTAINED,) if self.sustained_s else ())
        suite = dataclasses.replace(suite, scenario=asked or suite.scenario, sustained=sustained)
        _scenario.check(suite.scenario, suite.server, sustained, f"suite '{suite.name}'")
        return suite


def _is_net(name: str) -> bool:
    """Whether a net goes by this name outside of any suite."""
    net = _zoo.split(name)
    return net.name in _zoo.names() if not net.kind else net.kind in _libraries.NAMES


def check(cells: Sequence[Cell], suite: Suite) -> None:
    """Raise UserError for what is wrong with planned cells, as far as it can be known."""
    for cell in {(cell.model.name, cell.recipe.name): cell for cell in cells}.values():
        _check(cell, suite.name)
    _check_data(cells, suite)


def _check(cell: Cell, suite: str) -> None:
    model, recipe = cell.model, cell.recipe
    with at(f"suite '{suite}', [model.{model.name}]"):
        _check_net(model)
        if model.declared:
            _check_recipe(recipe)
        else:
            _check_pictures(model)
    with at(f"suite '{suite}', [recipe.{recipe.name}]"):
        _export.check(recipe.quantization, recipe.precision)
        _step.check(recipe.steps, _artifact.weights(model))
        for step in recipe.steps:
            with at(step["method"]):
                _check_training(step, model)
        _check_splits(model, recipe)


def _check_net(model: Model) -> None:
    """Raise UserError if a net or its weights are not there, or plainly not what they must be."""
    _facts.check(model.net)
    _task.module(_artifact.task(model))
    if model.file:
        _check_file(Path(model.file))
    elif weights := _artifact.weights(model):
        if weights.exists():
            _zoo.layers(weights)
        elif model.weights:
            hint = nearest(weights, RANDOM)
            raise UserError(f"the trained weights are missing: there is no file {weights}{hint}")
        else:
            raise UserError(
                f"{model.net} comes without trained weights: train it by "
                f"`bench.py train {_zoo.split(model.net).name}`, {_libraries.INSTEAD}"
            )
    elif model.kind in _libraries.NAMES and not (model.weights or _facts.pretrained(model.net)):
        raise UserError(f"there are no trained weights of {model.net}: {_libraries.INSTEAD}")


def _check_file(file: Path) -> None:
    if not file.exists():
        raise UserError(f"there is no model file {file}{nearest(file)}")
    try:
        with file.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise UserError(f"cannot read the model file {file}: {error.strerror}") from None
    if file.suffix == ".tflite" and head[4:] != b"TFL3":
        raise UserError(f"{file} is not a TFLite file")


def _check_recipe(recipe: Recipe) -> None:
    """Raise UserError for a recipe that a net with declared inputs cannot have, for it looks at
    pictures: compression steps, and ranges of activations."""
    narrowed = 'narrow this model to others, as in recipes = ["fp32"]'
    if recipe.steps:
        method = recipe.steps[0]["method"]
        raise UserError(
            f"recipe '{recipe.name}' has the step {method}, and steps are for nets of pictures: "
            f"{narrowed}"
        )
    if recipe.precision == "int8":
        raise UserError(
            f"recipe '{recipe.name}' is int8, whose ranges are those of real data, and declared "
            f"inputs are noise: {narrowed}, or take int8-dynamic or int8-weights"
        )


def _check_pictures(model: Model) -> None:
    """Raise UserError for data that is not there, or not for this net: its task or its size."""
    if not _size(model) and (model.kind == "python" or (model.file and model.data)):
        pictures = "declare how pictures are prepared: preprocess = { size = [224, 224] }"
        others = ", or, of text or sound, what it takes: inputs = { NAME = { shape = [-1, 128] } }"
        raise UserError(pictures + others * (model.kind == "python"))
    data = _artifact.data(model)
    with at("data"):
        if data != _data.NOISE:
            _data.check(data, _artifact.task(model), _size(model))
        if "test" not in _data.splits(data):
            raise UserError(f"{_data.public(data)} has no test split to score on")
    if model.calibration not in ("", "test"):
        with at("calibration"):
            if (name := model.calibration.partition(":")[0]) not in _data.names():
                raise unknown("data set", name, [*_data.names(), "test"])
            _data.check(model.calibration, _data.tasks(model.calibration)[0], _size(model))


def _check_training(step: Mapping[str, Any], model: Model) -> None:
    """Raise UserError for an augmentation or a teacher that this net cannot have."""
    mixing = [name for name in step.get("augment", ()) if name in _tuning.MIXING]
    if mixing and _artifact.task(model) != CLASSIFICATION:
        raise UserError(
            f"{mixing[0]} mixes the classes of pictures; {_artifact.task(model)} has none"
        )
    if (teacher := _artifact.teacher(step)) is None:
        return
    with at("teacher"):
        _check_net(teacher)
        if teacher.file:
            raise UserError(f"{teacher.net} is a file, which cannot teach: name a net")
    if teacher.kind == "python":  # it takes what its pupil takes
        return
    for what, its, own in (
        ("for", _artifact.task(teacher), _artifact.task(model)),
        ("on", _zoo.data(teacher.net), _zoo.data(model.net)),
        ("at", _size(teacher), _size(model)),
    ):
        if its and own and its != own:
            trained = f"{what} {its}, and {model.net} {what} {own}"
            raise UserError(f"{teacher.net} cannot teach: it was trained {trained}")


class _Look(NamedTuple):
    """A look at pictures."""

    split: Split
    spec: str
    by: str  # method, or precision


def _looks(model: Model, recipe: Recipe) -> list[_Look]:
    """What a recipe looks at."""
    data = _artifact.data(model)
    splits = [(_step.pictures(step), str(step["method"])) for step in recipe.steps]
    looks = [_Look(cast(Split, split), data, method) for split, method in splits if split]
    if recipe.precision == INT8:
        looks.append(_Look(*_artifact.calibration(model, data), INT8))
    return looks


def _check_splits(model: Model, recipe: Recipe) -> None:
    """Raise UserError if the recipe looks at pictures that the data of the model does not have."""
    for split, spec, what in _looks(model, recipe):
        if split not in _data.splits(spec):
            remedy = "name other data, or leave the recipe out for this model"
            if what == INT8:
                remedy = 'name pictures by calibration = "...", or take "test", without labels'
            raise UserError(
                f"{what} needs the {split} split, which the data of model '{model.name}', "
                f"{_data.public(spec)}, does not have: {remedy}"
            )


def _check_data(cells: Sequence[Cell], suite: Suite) -> None:
    """Raise UserError for data of which folders, tables and heads of files tell that it could not
    be read later; each split is looked at once, whatever number of cells reads it."""
    held: dict[tuple[str, Split, int | None], Holding | None] = {}
    for cell in cells:
        model, data = cell.model, _artifact.data(cell.model)
        looks = [("data", _Look("test", data, ""), cast("int | None", suite.examples))]
        for look in _looks(model, cell.recipe):
            place = "data" if look.spec == data else "calibration"
            looks.append((place, look, CALIBRATION_EXAMPLES if look.by == INT8 else None))
        for place, look, count in looks:
            seen = look.spec, look.split, count
            with at(f"suite '{suite.name}', [model.{model.name}]"), at(place):
                if seen not in held:
                    held[seen] = _data.examine(*seen)
                if look.by == INT8 and (there := held[seen]) is not None:
                    few = min(there.pictures, CALIBRATION_EXAMPLES)
                    _artifact.check_calibration(look.spec, few, cell.batch)


def _size(model: Model) -> tuple[int, int] | None:
    """Height and width of the input; None where only the net itself knows it."""
    declared = model.preprocess.size if model.preprocess else None
    return _zoo.split(model.net).size or declared or _zoo.size(model.net)
