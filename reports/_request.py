"""What the user asked for, planned and checked: all that can be known to be wrong is said here,
before anything is probed, built or visited.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from paretomark.devices import _device
from paretomark.models import _artifact, _data, _known, _zoo
from paretomark.models.compress import _step
from paretomark.models.export import _export
from paretomark.suites import _plan, _suite
from paretomark.suites._errors import UserError
from paretomark.suites._plan import Cell
from paretomark.suites._suite import RANDOM, Suite


@dataclass(frozen=True)
class Request:
    """What the user asked for: a suite and how to narrow it."""

    suite: str  # the text of the TOML file
    name: str
    folder: str  # where the suite's relative paths start
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()

    def plan(self) -> tuple[Suite, list[Cell]]:
        """The suite and its cells. Raises UserError for all that can be known to be wrong."""
        suite = _suite.parse(self.suite, self.name, Path(self.folder))
        if self.threads:
            places = {n: dataclasses.replace(p, threads=()) for n, p in suite.device.items()}
            suite = dataclasses.replace(suite, threads=self.threads, device=places)
        formats = _device.formats()
        precisions = _export.precisions()
        cells = _plan.plan(suite, _zoo.names(), _step.methods(), formats, precisions)
        cells = _plan.select(cells, device=self.devices, model=self.models, recipe=self.recipes)
        for cell in cells:
            check(cell, suite.name)
        return suite, cells


def check(cell: Cell, suite: str) -> None:
    """Raise UserError for what is wrong with a planned cell, as far as it can be known."""
    recipe, where = cell.recipe, f"suite '{suite}', [recipe.{cell.recipe.name}]"
    _check_files(cell)
    _export.check(recipe.quantization, recipe.precision, where)
    if recipe.steps:
        _step.check(recipe.steps, cell.model.net, _artifact.weights(cell.model), where)
    _check_splits(cell, where)


def _check_files(cell: Cell) -> None:
    """Raise UserError if a file that the cell needs is missing or plainly not what it must be."""
    model = cell.model
    _known.check(model.net)
    if path := Path(model.file) if model.file else _artifact.weights(model):
        what = "model file" if model.file else f"trained weights of '{model.net}'"
        try:
            with path.open("rb") as file:
                head = file.read(16)
        except OSError as error:
            raise UserError(
                f"model '{model.name}': cannot read the {what} {path}: {error.strerror}"
            ) from None
        if path.suffix == ".tflite" and head[4:8] != b"TFL3":
            raise UserError(f"model '{model.name}': {path} is not a TFLite file")
    for spec in (model.data, model.calibration):
        name, colon, where = spec.partition(":")
        if colon and not Path(where).exists():
            raise UserError(
                f"model '{model.name}': data folder missing: {where} (data set '{name}')"
            )


def _check_splits(cell: Cell, where: str) -> None:
    """Raise UserError if the recipe looks at pictures that the model's data set does not have."""
    model, recipe = cell.model, cell.recipe
    wanted = {_step.pictures(step): str(step["method"]) for step in recipe.steps}
    if recipe.precision == "int8" and not model.calibration:
        wanted["calibration"] = "int8"
    wanted.pop("", None)
    if not wanted or model.file:
        return
    trained = "" if model.weights == RANDOM else _zoo.data(model.net)
    data = model.data or trained or "noise"
    has = _data.splits(data)
    for split, what in wanted.items():
        if split not in has:
            remedy = "name other data, or leave the recipe out for this model"
            if what == "int8":
                remedy = 'name pictures by calibration = "...", or take "test", without labels'
            raise UserError(
                f"{where}: {what} needs the {split} split, which the data of model "
                f"'{model.name}', {_data.public(data)}, does not have: {remedy}"
            )
