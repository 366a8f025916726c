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
from typing import Any

from paretomark.suites import _published, _toml
from paretomark.suites._errors import UserError, unknown
from paretomark.suites._published import Published
from paretomark.suites._tasks import METRICS

FOLDER = Path(__file__).parent
STORAGES = ("dense", "sparse")
KINDS = ("file", "python", "timm", "torchvision")  # of nets, before the colon
TABLES = ("model", "recipe", "device")  # written as [model.NAME]
RANDOM = "random"  # instead of trained weights: drawn by the seed, and no accuracy is stated
AS_IS = "as-is"  # the recipe, and the precision, of a model file that the user brings


@dataclass(frozen=True)
class Pixels:
    """A declared preprocessing: the fields of `paretomark.models._data.Preprocess`."""

    size: tuple[int, ...]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (255.0, 255.0, 255.0)
    order: str = "rgb"
    crop: float | None = None
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Model:
    """A net, or a file. Paths are relative to the suite; `${VAR}` is expanded.

    A net is NAME of the zoo, timm:NAME, torchvision:NAME, or python:PATH.py:FUNCTION; each may say
    its input size, as in NAME@160. A file is file:PATH.
    """

    name: str = ""  # the key in the suite
    net: str = ""  # by default the name
    weights: str = ""  # a file, or "random"; by default those that come with the net
    data: str = ""  # by default the data set of the net
    calibration: str = ""  # by default the calibration split of the data set
    recipes: tuple[str, ...] = ()  # by default all
    devices: tuple[str, ...] = ()  # by default all
    label_offset: int = 0  # outputs before class 0, as TensorFlow's "background"
    task: str = ""  # of a file or a function: classification, if it is not said
    preprocess: Pixels | None = None  # by default the net's own

    @property
    def kind(self) -> str:
        """One of KINDS; "" for a net of the zoo's own."""
        kind, colon, _ = self.net.partition(":")
        return kind if colon else ""

    @property
    def file(self) -> str:
        """The path of a file that the user brings; "" for a net."""
        return self.net.removeprefix("file:") if self.kind == "file" else ""


@dataclass(frozen=True)
class Recipe:
    """Compression steps, each a method with its parameters, then the precision of the export."""

    name: str = ""
    steps: tuple[dict[str, Any], ...] = ()
    precision: str = "fp32"
    quantization: dict[str, str] = field(default_factory=dict)  # options of precision int8
    storage: str = "dense"  # or "sparse": zeros are left out of the file, where its format can
    devices: tuple[str, ...] = ()  # by default all

    @property
    def label(self) -> str:
        """The steps as one reads them: `magnitude(sparsity=0.9) > finetune(epochs=2)`."""
        steps = [
            f"{s['method']}({', '.join(f'{k}={v}' for k, v in s.items() if k != 'method')})"
            for s in self.steps
        ]
        if self.quantization:
            steps.append(f"int8({', '.join(f'{k}={v}' for k, v in self.quantization.items())})")
        return " > ".join(steps + ["sparse storage"] * (self.storage == "sparse"))


@dataclass(frozen=True)
class Place:
    """What a device has instead of the suite's: `[device."pytorch:cuda"]`, `batch = [1, 64]`."""

    batch: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Suite:
    """What to run and how long; every field but the last four is a key at the top of the file."""

    title: str = ""
    devices: tuple[str, ...] = ()
    batch: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    blocks: int = 3  # how often each cell is visited
    seed: int = 0
    examples: int = 1000  # test pictures that are scored
    weights: str = ""  # of the nets that say none themselves
    data: str = ""  # likewise
    recipes: tuple[str, ...] = ()  # likewise
    seconds: float = 0.5  # how long a visit samples latency
    max_samples: int = 2000
    deadline_s: float = 120.0  # of one visit
    build_deadline_s: float = 900.0  # of one artifact
    foreign_load_cores: float = 0.5  # above this a visit is flagged
    published: tuple[Published, ...] = ()  # figures to put beside ours
    name: str = ""
    model: Mapping[str, Model] = field(default_factory=dict)
    recipe: Mapping[str, Recipe] = field(default_factory=dict)
    device: Mapping[str, Place] = field(default_factory=dict)


def names() -> list[str]:
    """The suites that come with the project."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def locate(suite: str) -> Path:
    """The file of a suite given by name or by path. Raises UserError if there is none."""
    if "/" not in suite and not suite.endswith(".toml"):
        if suite not in names():
            raise unknown("suite", suite, names())
        return FOLDER / f"{suite}.toml"
    return Path(suite)


def text(path: Path) -> str:
    """The text of a suite. Raises UserError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the suite: {error}") from None


def parse(toml: str, name: str, folder: Path) -> Suite:
    """A suite from its text; relative paths in it start at `folder`."""
    where = f"suite '{name}'"
    table = _toml.load(toml, where)
    raw = {k: v for k, v in table.items() if k not in TABLES}
    suite = _toml.read(Suite, raw, where, hidden=("name",))
    recipes = {
        key: _expanded(_toml.read(Recipe, t, f"{where}, [recipe.{key}]"), key, folder, where)
        for key, t in _toml.tables(table, "recipe", where).items()
    }
    models = {
        key: _located(
            _with_defaults(_toml.read(Model, t, f"{where}, [model.{key}]"), suite),
            key,
            folder,
            where,
        )
        for key, t in _toml.tables(table, "model", where).items()
    }
    places = {
        key: _toml.read(Place, t, f"{where}, [device.{key}]")
        for key, t in _toml.tables(table, "device", where).items()
    }
    suite = dataclasses.replace(suite, name=name, model=models, recipe=recipes, device=places)
    _check(suite, where)
    return suite


def published(toml: str) -> tuple[Published, ...]:
    """Only what a suite quotes, from its text. Raises UserError where that is not as it must be."""
    table = _toml.load(toml, "suite")
    found: tuple[Published, ...] = _toml.typed(
        tuple[Published, ...], table.get("published", []), "published"
    )
    for entry in found:
        if entry.quantity not in _published.QUANTITIES:
            raise unknown("quantity", entry.quantity, _published.QUANTITIES)
    return found


def nets(toml: str) -> dict[str, str]:
    """Only the net of each model of a suite, from its text. Raises UserError if it is no suite."""
    models = _toml.tables(_toml.load(toml, "suite"), "model", "suite")
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
        _check_task(model, f"{where}, [model.{model.name}]")
    for recipe in suite.recipe.values():
        if recipe.storage not in STORAGES:
            raise unknown("storage", recipe.storage, STORAGES, f"{where}, {recipe.name}")
    positive = ("blocks", "examples", "seconds", "max_samples", "deadline_s", "build_deadline_s")
    for key in positive:
        if getattr(suite, key) <= 0:
            raise UserError(f"{where}: {key} must be positive, got {getattr(suite, key)}")
    _check_sizes(suite, devices, where)


def _check_sizes(suite: Suite, devices: Collection[str], where: str) -> None:
    for name in suite.device:
        if name not in devices:
            raise unknown("device", name, devices, f"{where}, [device.{name}]")
    for key in ("batch", "threads"):
        numbers = [getattr(place, key) for place in (suite, *suite.device.values())]
        if not numbers[0] or any(min(n, default=1) < 1 for n in numbers):
            raise UserError(f"{where}: {key} must be a list of numbers of at least 1")


def _check_task(model: Model, where: str) -> None:
    if model.task and model.kind not in ("file", "python"):
        raise UserError(f"{where}: a net of the zoo has its own task; leave it out")
    if model.task and model.task not in METRICS:
        raise unknown("task", model.task, METRICS, where)


def _with_defaults(model: Model, suite: Suite) -> Model:
    """A net with what the suite has for all; a file has its own."""
    if model.file:
        return model
    return dataclasses.replace(
        model,
        weights=model.weights or suite.weights,
        data=model.data or suite.data,
        recipes=model.recipes or suite.recipes,
    )


def _located(model: Model, name: str, folder: Path, where: str) -> Model:
    """The model with its name, and with paths made absolute."""

    def place(text: str) -> str:
        kind, colon, path = text.partition(":")
        if not colon or kind in ("timm", "torchvision"):
            return text
        return f"{kind}:{_toml.located(path, folder, where)}" if path else text

    given = model.weights not in ("", RANDOM)
    return dataclasses.replace(
        model,
        name=name,
        net=place(model.net or name),
        weights=str(_toml.located(model.weights, folder, where)) if given else model.weights,
        data=place(model.data),
        calibration=place(model.calibration),
    )


def _expanded(recipe: Recipe, name: str, folder: Path, where: str) -> Recipe:
    """The recipe with its name, and with variables in its parameters expanded to paths."""
    steps = tuple(
        {
            key: str(_toml.located(value, folder, where)) if "${" in str(value) else value
            for key, value in step.items()
        }
        for step in recipe.steps
    )
    return dataclasses.replace(recipe, name=name, steps=steps)
