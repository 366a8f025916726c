"""A suite, read from TOML and checked.

    title = "..."                       blocks = 3            examples = 1000
    devices = ["litert:xnnpack"]        batch = [1]           threads = [1]

    [model.scenes_resnet]               # every key is optional; see `Model`
    [recipe.pruned]
    steps = [{ method = "magnitude", sparsity = 0.9 }]
    precision = "int8"

The fields of the dataclasses are the schema.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from paretomark.suites.spec import (
    _gate,
    _margin,
    _model_check,
    _pick,
    _plugins,
    _published,
    _scenario,
    _schema,
)
from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._gate import Gate
from paretomark.suites.spec._margin import Margin
from paretomark.suites.spec._model import AS_IS, RANDOM, Model, Recipe
from paretomark.suites.spec._pick import Pick
from paretomark.suites.spec._published import Published
from paretomark.suites.spec._scenario import COLD, SERVER, SINGLE, Scenario, Server, Sustained

T = TypeVar("T")
FOLDER = Path(__file__).parents[1]
BOUNDARIES = ("call", "inference")  # of a latency, see `suites/records/_record.py`
STORAGES = ("dense", "sparse")
TABLES = ("model", "recipe", "device")  # written as [model.NAME]
NAMED = ("name",)  # by this NAME, or by the file; it is no key


@dataclass(frozen=True)
class Sizes:
    """What a device has instead of the suite's: `[device."pytorch:cuda"]`, `batch = [1, 64]`."""

    batch: tuple[int, ...] = ()  # by default the suite's
    threads: tuple[int, ...] = ()  # by default the suite's
    length: tuple[int, ...] = ()  # by default the suite's


@dataclass(frozen=True)
class Suite:
    """What to run and how long; every field but the last nine is a key at the top of the file."""

    title: str = ""  # of the page
    devices: tuple[str, ...] = ()  # as `bench.py devices` lists them
    batch: tuple[int, ...] = (1,)  # pictures of a call; each number gives cells of its own
    threads: tuple[int, ...] = (1,)  # of a runtime; each number gives cells of its own
    length: tuple[int, ...] = ()  # "length" in `inputs`; each number gives cells of its own
    scenario: tuple[Scenario, ...] = (SINGLE,)  # how cells are called; each gives cells of its own
    blocks: int = 3  # how often each cell is visited
    precision: float = 0.02  # half width of the intervals to reach; wider cells get more visits
    boundary: str = "call"  # what a latency is of: "call", or "inference" alone
    seed: int = 0  # of the order of visits, of training, and of random weights
    examples: int = 1000  # test pictures that are scored
    weights: str = ""  # of the nets that name none themselves
    data: str = ""  # of the nets that name none themselves
    recipes: tuple[str, ...] = ()  # of the nets that name none themselves
    seconds: float = 0.5  # how long a visit samples latency
    max_samples: int = 2000  # after so many a visit stops earlier
    deadline_s: float = 120.0  # of one visit, which is killed then
    build_deadline_s: float = 900.0  # of one artifact, whose building is killed then
    foreign_load_cores: float = 0.5  # a visit is flagged if others keep more cores busy
    published: tuple[Published, ...] = ()  # figures to put beside ours
    plugins: str = ""  # a folder with plug-ins of the user's own, see `_plugins.py`
    name: str = ""
    server: Server = field(default_factory=Server)
    sustained: Sustained = field(default_factory=Sustained)
    gate: Gate = field(default_factory=Gate)  # how much worse a commit may be: `[gate]`
    margin: Margin = field(default_factory=Margin)  # what is too little to matter: `[margin]`
    pick: Pick = field(default_factory=Pick)  # what a net has to keep to, to be shipped: `[pick]`
    model: Mapping[str, Model] = field(default_factory=dict)
    recipe: Mapping[str, Recipe] = field(default_factory=dict)
    device: Mapping[str, Sizes] = field(default_factory=dict)


def names() -> list[str]:
    """Return the names of the suites that come with the project."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def locate(suite: str) -> Path:
    """Return the file of a suite given by name or by path. Raises UserError if there is none."""
    if "/" not in suite and not suite.endswith(".toml"):
        if suite not in names():
            raise unknown("suite", suite, names())
        return FOLDER / f"{suite}.toml"
    return Path(suite)


def text(path: Path) -> str:
    """Return the text of a suite. Raises UserError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the suite: {error}") from None


def parse(toml: str, name: str, folder: Path) -> Suite:
    """Read a suite from its text; relative paths in it start at `folder`. Raises UserError."""
    where = f"suite '{name}'"
    table = _schema.load(toml, where)
    raw = {k: v for k, v in table.items() if k not in TABLES}
    suite = _schema.read(Suite, raw, where, NAMED)
    if suite.plugins:
        _plugins.add(_schema.located(suite.plugins, folder, where))
    recipes = {
        key: _expanded(recipe, key, folder, where)
        for key, recipe in _tables(Recipe, table, "recipe", where).items()
    }
    models = {
        key: _located(_with_defaults(model, suite), key, folder, where)
        for key, model in _tables(Model, table, "model", where).items()
    }
    sizes = _tables(Sizes, table, "device", where)
    suite = dataclasses.replace(suite, name=name, model=models, recipe=recipes, device=sizes)
    _check(suite, where)
    return suite


def _tables(cls: type[T], table: Mapping[str, Any], key: str, where: str) -> dict[str, T]:
    """What is written as [key.NAME], by name."""
    return {
        name: _schema.read(cls, value, f"{where}, [{key}.{name}]", NAMED)
        for name, value in _schema.tables(table, key, where).items()
    }


def published(toml: str) -> tuple[Published, ...]:
    """Return only what a suite quotes, from its text. Raises UserError where that is not as it must
    be."""
    table = _schema.load(toml, "suite")
    entries = _schema.read(tuple[Published, ...], table.get("published", []), "published")
    for entry in entries:
        if entry.quantity not in _published.QUANTITIES:
            raise unknown("quantity", entry.quantity, _published.QUANTITIES)
    return entries


def gate(toml: str) -> Gate:
    """Return only the limits of a suite, from its text. Raises UserError where they are none."""
    limits = _schema.read(Gate, _schema.load(toml, "suite").get("gate", {}), "suite, [gate]")
    _gate.check(limits, {*limits.model}, {*limits.device}, "suite")
    return limits


def margin(toml: str) -> Margin:
    """Return only the margin of a suite, from its text. Raises UserError where it is none."""
    found = _schema.read(Margin, _schema.load(toml, "suite").get("margin", {}), "suite, [margin]")
    _margin.check(found)
    return found


def pick(toml: str) -> Pick:
    """Return only what a suite asks of a net to be shipped, from its text. Raises UserError where
    that is no limit."""
    found = _schema.read(Pick, _schema.load(toml, "suite").get("pick", {}), "suite, [pick]")
    _pick.limits(found)
    return found


def nets(toml: str) -> dict[str, str]:
    """Return only the net of each model of a suite, from its text. Raises UserError if it is no
    suite."""
    models = _schema.tables(_schema.load(toml, "suite"), "model", "suite")
    return {name: str(model.get("net", name)) for name, model in models.items()}


def _check(suite: Suite, where: str) -> None:
    devices = {*suite.devices, *(d for m in suite.model.values() for d in m.devices)}
    _published.check(suite.published, suite.model, {*suite.recipe, AS_IS}, devices, where)
    if not suite.model:
        raise UserError(f"{where} has no [model.NAME]")
    if not suite.devices:
        raise UserError(f'{where} names no devices: devices = ["onnxruntime:cpu"]')
    if not suite.recipe and any(not m.file for m in suite.model.values()):
        raise UserError(f"{where} has no [recipe.NAME]; an empty one, [recipe.fp32], will do")
    for model in suite.model.values():
        _model_check.check(model, f"{where}, [model.{model.name}]")
    for recipe in suite.recipe.values():
        if recipe.storage not in STORAGES:
            at = f"{where}, [recipe.{recipe.name}]"
            raise unknown("storage", recipe.storage, STORAGES, at)
    positive = (
        *("blocks", "precision", "examples", "seconds", "max_samples", "deadline_s"),
        "build_deadline_s",
    )
    for key in positive:
        if getattr(suite, key) <= 0:
            raise UserError(f"{where}: {key} must be positive, got {getattr(suite, key)}")
    for key in ("seed", "foreign_load_cores"):
        if getattr(suite, key) < 0:
            raise UserError(f"{where}: {key} must be at least 0, got {getattr(suite, key)}")
    _check_sizes(suite, devices, where)
    _gate.check(suite.gate, suite.model, devices, where)
    _margin.check(suite.margin)
    _pick.limits(suite.pick, f"{where}, [pick] ")
    _check_situations(suite, where)


def _check_situations(suite: Suite, where: str) -> None:
    """Raise UserError for scenarios and a boundary that are none, or not for each other."""
    situations = suite.scenario, suite.server, suite.sustained, where
    _scenario.check(*situations)
    _scenario.check_used(*situations)
    if suite.boundary not in BOUNDARIES:
        raise unknown("boundary", suite.boundary, BOUNDARIES, where)
    whole = sorted({SERVER, COLD}.intersection(suite.scenario))
    if suite.boundary != BOUNDARIES[0] and whole:
        raise UserError(
            f"{where}: boundary is {suite.boundary}, but what the scenario {whole[0]} tells is of "
            'whole calls: set boundary = "call", or make a suite of its own'
        )


def _check_sizes(suite: Suite, devices: Collection[str], where: str) -> None:
    for name in suite.device:
        if name not in devices:
            raise unknown("device", name, devices, f"{where}, [device.{name}]")
    for key in ("batch", "threads"):
        numbers = [getattr(sizes, key) for sizes in (suite, *suite.device.values())]
        if not numbers[0] or any(min(n, default=1) < 1 for n in numbers):
            raise UserError(f"{where}: {key} must be a list of numbers of at least 1")
    _check_lengths(suite, where)


def _check_lengths(suite: Suite, where: str) -> None:
    """Raise UserError for lengths that are none, that no model has, or that a model lacks."""
    lengths = [*suite.length, *(n for sizes in suite.device.values() for n in sizes.length)]
    if any(n < 1 for n in lengths):
        raise UserError(f"{where}: length must be a list of numbers of at least 1")
    having = [model for model in suite.model.values() if model.has_length]
    if lengths and not having:
        raise UserError(
            f"{where} has a length, but no model that takes one: leave it out, or name it in the "
            'shape of an input, as in inputs = { tokens = { shape = [-1, "length"] } }'
        )
    for model in having:
        for device in model.devices or suite.devices:
            if not (suite.length or (device in suite.device and suite.device[device].length)):
                raise UserError(
                    f'{where}, [model.{model.name}]: an input has a "length", and the suite says '
                    f"none for {device}: add length = [32, 128] at the top of the suite"
                )


def _with_defaults(model: Model, suite: Suite) -> Model:
    """A net with what the suite has for all; a file has its own."""
    if model.file:
        return model
    return dataclasses.replace(
        model,
        weights=model.weights or suite.weights,
        data=model.data or ("" if model.declared else suite.data),
        recipes=model.recipes or suite.recipes,
    )


def _located(model: Model, name: str, folder: Path, where: str) -> Model:
    """The model with its name, and with paths made absolute."""
    in_a_file = model.weights not in ("", RANDOM)
    return dataclasses.replace(
        model,
        name=name,
        net=_placed(model.net or name, folder, where),
        weights=str(_schema.located(model.weights, folder, where)) if in_a_file else model.weights,
        data=_placed(model.data, folder, where),
        calibration=_placed(model.calibration, folder, where),
    )


def _placed(text: str, folder: Path, where: str) -> str:
    """KIND:PATH with its path made absolute."""
    kind, _, path = text.partition(":")
    if not path or kind in ("timm", "torchvision"):
        return text
    return f"{kind}:{_schema.located(path, folder, where)}"


def _expanded(recipe: Recipe, name: str, folder: Path, where: str) -> Recipe:
    """The recipe with its name, and with the paths among its parameters made absolute."""

    def expanded(key: str, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return value
        if key == "teacher":
            return _placed(value, folder, where)
        located = key == "teacher_weights" or "${" in value
        return str(_schema.located(value, folder, where)) if located else value

    steps = tuple({key: expanded(key, value) for key, value in s.items()} for s in recipe.steps)
    return dataclasses.replace(recipe, name=name, steps=steps)
