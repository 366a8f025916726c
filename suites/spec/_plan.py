"""The cells that a suite plans: model x recipe x device x batch x threads x scenario, and x length
where the inputs of the model have one.

Everything here is pure: nothing is loaded, built or looked up on a device. What exists
(nets, methods, devices) is handed in, so that a misspelled name fails before work starts.
"""

from __future__ import annotations

import fnmatch
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomark.suites.spec import _scenario
from paretomark.suites.spec._errors import UserError, unknown, unmatched
from paretomark.suites.spec._model import AS_IS, KINDS, Model, Recipe
from paretomark.suites.spec._scenario import SINGLE, Scenario
from paretomark.suites.spec._suite import Suite


@dataclass(frozen=True)
class Cell:
    """One point to measure. `model` has the length of the cell in the shapes of its inputs."""

    model: Model
    recipe: Recipe
    device: str
    batch: int
    threads: int
    length: int = 0  # of its inputs; 0: they have none
    scenario: Scenario = SINGLE

    @property
    def key(self) -> str:
        """What names this cell in records: the same in every run of the same suite."""
        what = f"{self.model.name}/{self.recipe.name}/{self.device}"
        length = f"/l{self.length}" if self.length else ""
        scenario = f"/{self.scenario}" if self.scenario != SINGLE else ""
        return f"{what}/b{self.batch}/t{self.threads}{length}{scenario}"

    @property
    def file_format(self) -> str:
        """The format of the file that the user brings; "" for a net, which is exported."""
        return _file_format(self.model)


def plan(
    suite: Suite,
    nets: Sequence[str],
    methods: Mapping[str, Sequence[str]],
    loads: Mapping[str, tuple[str, ...]],
    precisions: Sequence[str],
) -> list[Cell]:
    """Return the cells of a suite, in the order of the file.

    `nets`: the zoo's own; `methods`: parameters by compression method; `loads`: the file formats
    that each known device target loads; `precisions`: what some format can be written in. A file
    that the user brings meets all its devices, also those that do not load it, if one does. Raises
    UserError for a name that is none of these or cannot stand in a key, and for a cell that is
    there twice.
    """
    where = f"suite '{suite.name}'"
    for kind, names in (("model", suite.model), ("recipe", suite.recipe)):
        for name in names:
            _check_name(name, kind, where)
    for device in suite.devices:
        if device not in loads:
            raise unknown("device", device, loads, where)
    met = {d for model in suite.model.values() for d in model.devices or suite.devices}
    for recipe in suite.recipe.values():
        for device in recipe.devices:
            if device not in met:
                raise unknown("device", device, met, f"{where}, [recipe.{recipe.name}]")
        if recipe.precision not in precisions:
            at = f"{where}, [recipe.{recipe.name}]"
            raise unknown("precision", recipe.precision, precisions, at)
        for step in recipe.steps:
            _check_step(step, methods, f"{where}, [recipe.{recipe.name}]")
    cells: list[Cell] = []
    for model in suite.model.values():
        recipes, devices = _offers(suite, model, nets, loads, where)
        cells += [
            Cell(model.at(n) if n else model, recipe, device, batch, threads, n, scenario)
            for recipe in recipes
            for device in devices
            if not recipe.devices or device in recipe.devices
            for scenario in suite.scenario
            for batch, threads, n in _sizes(suite, device, model, scenario)
        ]
    if not cells:
        raise UserError(f"{where}: no recipe is for a device that its models have")
    _check_keys(cells, where)
    return cells


def _check_keys(cells: Sequence[Cell], where: str) -> None:
    """Raise UserError if results of one cell would stand under the key of another."""
    key, count = Counter(cell.key for cell in cells).most_common(1)[0]
    if count > 1:
        what = "a device, recipe, batch, length, scenario or number of threads is named twice"
        raise UserError(f"{where}: {key} is planned {count} times: {what}; name each once")


def _check_name(name: str, kind: str, where: str) -> None:
    """Raise UserError for a name that would not stand apart in the key of a cell, or on a line."""
    if not name or "/" in name or not name.isprintable() or name != name.strip():
        may = "be empty, start or end with a space, or have '/', line breaks or control characters"
        raise UserError(f"{where}: the name of a {kind} may not {may}; rename [{kind}.{name!r}]")


def _file_format(model: Model) -> str:
    return Path(model.file).suffix.removeprefix(".")


def _sizes(
    suite: Suite, device: str, model: Model, scenario: Scenario
) -> Iterable[tuple[int, int, int]]:
    """The batches, numbers of threads and lengths of a model on a device; 0: it has no length."""
    sizes = suite.device.get(device, suite)
    lengths = (sizes.length or suite.length) if model.has_length else (0,)
    batches = _scenario.batches(scenario, suite.scenario, sizes.batch or suite.batch)
    return itertools.product(batches, sizes.threads or suite.threads, lengths)


def select(cells: Sequence[Cell], **names: Sequence[str]) -> list[Cell]:
    """Return only the cells whose model, recipe or device is named; an empty list names all.

    A name may be a pattern of a shell, as `pruned*`. Raises UserError for a name that no cell has,
    and for a pattern that none matches.
    """
    for kind, patterns in names.items():
        present = {_axis(cell, kind) for cell in cells}
        chosen = set[str]().union(*(named(kind, pattern, present) for pattern in patterns))
        cells = [cell for cell in cells if not patterns or _axis(cell, kind) in chosen]
    return list(cells)


def is_pattern(name: str) -> bool:
    """Tell whether a name stands for all that are like it."""
    return any(character in name for character in "*?[")


def named(kind: str, name: str, present: Collection[str]) -> set[str]:
    """Return what a name or a pattern stands for. Raises UserError if that is none of those that
    are present."""
    if name in present:
        return {name}
    if not is_pattern(name):
        raise unknown(kind, name, present, f"--{kind}")
    if not (found := set(fnmatch.filter(present, name))):
        raise unmatched(kind, name, present, f"--{kind}")
    return found


def _axis(cell: Cell, kind: str) -> str:
    if kind == "device":
        return cell.device
    return cell.model.name if kind == "model" else cell.recipe.name


def _offers(
    suite: Suite,
    model: Model,
    nets: Sequence[str],
    loads: Mapping[str, tuple[str, ...]],
    where: str,
) -> tuple[list[Recipe], list[str]]:
    """The recipes and devices that a model meets."""
    devices = list(model.devices or suite.devices)
    for device in devices:
        if device not in loads:
            raise unknown("device", device, loads, f"{where}, [model.{model.name}]")
    if model.file:
        kind, every = _file_format(model), {form for forms in loads.values() for form in forms}
        if kind not in every:
            raise unknown("model format", kind, every, model.file)
        if not any(kind in loads[device] for device in devices):
            loaders = ", ".join(sorted(d for d, forms in loads.items() if kind in forms))
            raise UserError(f"{where}: no device of the suite loads {model.file}; add {loaders}")
        return [Recipe(AS_IS, (), AS_IS)], devices
    if model.kind and model.kind not in KINDS:
        raise unknown("kind of net", model.kind, KINDS, f"{where}, [model.{model.name}]")
    if not model.kind and model.net.partition("@")[0] not in nets:
        raise unknown("model", model.net, nets, where)
    for recipe in model.recipes:
        if recipe not in suite.recipe:
            raise unknown("recipe", recipe, suite.recipe, f"{where}, [model.{model.name}]")
    return [suite.recipe[r] for r in model.recipes or suite.recipe], devices


def _check_step(step: Mapping[str, Any], methods: Mapping[str, Sequence[str]], where: str) -> None:
    method = step.get("method")
    if not isinstance(method, str):
        raise UserError(f'{where}: a step needs a method, as in {{ method = "magnitude" }}')
    if method not in methods:
        raise unknown("compression method", method, methods, where)
    for key in step:
        if key != "method" and key not in methods[method]:
            raise unknown(f"parameter of {method}", key, methods[method], where)
