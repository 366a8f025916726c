"""What a device loads, how it came to be, and where it is cached.

A `BuildSpec` says which one; its key is a digest of everything that shapes the file: the trained
weights, the data, all parameters, the code that makes it, as far as its imports reach, and the
versions of the tool chain. The same artifact is never built twice.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.models import _cache, _sources
from paretomark.models.build import _model_files, _returned
from paretomark.models.data import _data
from paretomark.models.data._data import Split
from paretomark.models.export import _export
from paretomark.models.nets import _libraries, _zoo
from paretomark.suites.spec import _plugins, _schema
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import RANDOM, Input, Model, Preprocess, Reading, Recipe
from paretomark.suites.tasks._task import CLASSIFICATION

ARTIFACT = "artifact.json"
REFERENCE = "reference.npy"
REFERENCE_TO_INPUTS = "reference.npz"  # of a net with declared inputs
OWN = "own"  # the folder, within its own, of an artifact that is a file of the user's
CALIBRATION_EXAMPLES = 256
UNTRAINED = "random weights"  # in place of a data set: there is no accuracy
NO_DATA = ("", "test")  # what `calibration` says besides data sets
PLUGIN_DIGITS = 12
# What makes every artifact, and what makes every float net of one. Plug-ins are named where they
# are chosen.
MAKER = "paretomark.models.build._child"
NET_MAKERS = ("paretomark.models.nets._load", "paretomark.models.compress._step")


@dataclass(frozen=True)
class BuildSpec:
    """One artifact: a model, a recipe, a file format, a batch size, and how much data to score."""

    model: Model
    recipe: Recipe
    format: str
    batch: int
    examples: int
    seed: int


@dataclass(frozen=True)
class Artifact:
    """A file that a device loads, with the data to score it. Counts are None where unknown."""

    file: str
    format: str
    identity: str  # digest of what it is, whatever its name, place, and tools: `_identity.py`
    sha256: str
    bytes: int
    lineage: str  # JSON: parent, steps, seeds, data, versions, and the facts of its identity
    data: str  # the data set; "" when the file is only timed, or UNTRAINED
    images: str  # .npy, uint8 (N, H, W, C)
    labels: str  # .npy, the labels of `Examples`; "" when no accuracy can be stated
    reference: str  # .npy, (M, ...): what the float net says of the first M; "" if there is none.
    # Where inputs of a net are declared, .npz: what it answers to them, see `answers_to_inputs`.
    preprocess: Preprocess
    label_offset: int
    task: str = CLASSIFICATION
    reading: Reading = dataclasses.field(default_factory=Reading)
    inputs: dict[str, Input] = dataclasses.field(default_factory=dict)  # in the order of a net
    parameters: int | None = None
    nonzeros: int | None = None
    macs: int | None = None
    encoded_bytes: int | None = None
    steps_s: float | None = None  # processor time that compression took, training included
    file_weights: int | None = None  # that the file holds; of them,
    file_zeros: int | None = None
    sparse_path: str = (
        ""  # of a file stored sparse: whether its runtime can skip the zeros, and why
    )
    classes: tuple[str, ...] = ()  # of the data, see `Examples`
    warnings: tuple[str, ...] = ()  # what a reader of its figures has to know
    asked: dict[str, float] = dataclasses.field(default_factory=dict)  # see `_step.Reached`
    reached: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """Why there is no artifact: `status` is "failed" or "unsupported"."""

    status: str
    reason: str


def folder(spec: BuildSpec) -> Path:
    """Say where an artifact is, or will be. Raises UserError if a package that writes it is
    missing."""
    model, recipe = spec.model, spec.recipe
    anonymous = dataclasses.replace(
        spec,
        model=dataclasses.replace(
            model, net=_placed(model), name="", weights="", recipes=(), devices=()
        ),
        recipe=dataclasses.replace(recipe, name="", devices=()),
    )
    parts = [json.dumps(dataclasses.asdict(anonymous), sort_keys=True)]
    if model.file:
        parts += [_cache.sha256(*_model_files.parts(Path(model.file))), _sources.digest(MAKER)]
    else:
        exporter = _plugins.module_name("formats", spec.format)
        parts += [json.dumps(_export.versions(spec.format)), _sources.digest(MAKER, exporter)]
        parts += _of_net(model, recipe.steps)
    parts += [*_of_data(data(model)), *_of_data(model.calibration), json.dumps(own_plugins(spec))]
    return _cache.folder() / "artifacts" / _cache.key(parts)


def net(model: Model, steps: Sequence[Mapping[str, Any]], seed: int) -> Path:
    """Return the folder where the float net after these steps is, or will be kept."""
    used = {"net": _placed(model), "data": model.data, "preprocess": model.preprocess}
    used["output"] = model.output
    parts = [json.dumps([used, steps, seed], sort_keys=True, default=str)]
    parts += [*_of_net(model, steps), *_of_data(data(model))]
    return _cache.folder() / "nets" / _cache.key(parts)


def functions(model: Model, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the functions of the user's that make a net, and those that steps learn from."""
    nets = [each.net for each in (model, *filter(None, map(teacher, steps)))]
    return [_zoo.split(net).name for net in nets if _zoo.split(net).kind == "python"]


def _placed(model: Model) -> str:
    """The net as it counts in keys: of one in a work tree of a revision without its place. Its code
    and what it returns are in the key by themselves."""
    if model.kind != "python":
        return model.net
    file, function = _zoo.python(_zoo.split(model.net).name)
    size = model.net.rpartition("@")[2] if _zoo.split(model.net).size else ""
    in_tree = _cache.trees() in file.parents
    return f"python:{file.name}:{function}@{size}" if in_tree else model.net


def prepared(source: str, preprocess: Preprocess, count: int, task: str) -> Path:
    """Say where test pictures are kept at a net's size, so that a visit need only stream them."""
    shape = preprocess.size, preprocess.crop, preprocess.interpolation, len(preprocess.mean)
    parts = [*_of_data(source), repr(shape), str(count), task]
    return _cache.folder() / "data" / f"{source.partition(':')[0]}-{_cache.key(parts)}"


def lookup(spec: BuildSpec) -> Artifact | None:
    """Return the artifact, if it was built before and is still what was built; what was changed
    since is removed from the cache. Raises UserError as `folder` does."""
    place = folder(spec)
    artifact = _read(place)
    if artifact is None or intact(artifact):
        return artifact
    shutil.rmtree(place)
    return None


def kept(spec: BuildSpec) -> Artifact | None:
    """Return what `lookup` would, and leave the cache as it is."""
    artifact = _read(folder(spec))
    return artifact if artifact and intact(artifact) else None


def _read(place: Path) -> Artifact | None:
    try:
        return _schema.typed(Artifact, json.loads((place / ARTIFACT).read_text()))
    except FileNotFoundError:
        return None


def files(file: Path) -> list[Path]:
    """Return the files that make an artifact, of which `file` is the one that a device loads."""
    # Beside what the project writes may lie what only `quantize` needs.
    pattern = "*" if file.parent.name == OWN else "model.*"
    parts = [part for top in file.parent.glob(pattern) for part in (top, *top.rglob("*"))]
    return sorted(part for part in parts if part.is_file())


def intact(artifact: Artifact) -> bool:
    """Tell whether the files of an artifact are those that its digest is of."""
    try:
        return _cache.sha256(*files(Path(artifact.file))) == artifact.sha256
    except OSError:
        return False


def own_plugins(spec: BuildSpec) -> dict[str, str]:
    """Return the plug-ins that shape an artifact and are not the project's: KIND/NAME to the first
    PLUGIN_DIGITS digits of the digest of their code."""
    model, steps = spec.model, spec.recipe.steps
    nets = [net for net in (model, *filter(None, map(teacher, steps))) if not net.kind]
    sources = [data(model), model.calibration] if model.data or not model.file else []
    plugins = [
        *(("nets", _zoo.split(net.net).name) for net in nets),
        *(("data", source.partition(":")[0]) for source in sources if source not in NO_DATA),
        *(("methods", step["method"]) for step in steps),
        *([] if model.file else [("formats", spec.format)]),
        ("tasks", task(model)),
    ]
    return {
        f"{kind}/{name}": _sources.digest(_plugins.module_name(kind, name))[:PLUGIN_DIGITS]
        for kind, name in plugins
        if _plugins.is_own(kind, name)
    }


def weights(model: Model) -> Path | None:
    """Return the file with the trained weights of a net: the suite's, or those that the project
    has.

    None where there is no file: random weights, those of a library, or of the user's function.
    """
    if model.weights:
        return None if model.weights == RANDOM else Path(model.weights)
    return None if model.kind else _zoo.weights(_zoo.split(model.net).name)


def data(model: Model) -> str:
    """Return the data set of a net or file: the suite's, else what the net was trained on, else
    none."""
    if model.data or model.weights == RANDOM:
        return model.data or _data.NOISE
    return _zoo.data(model.net) or _data.NOISE


def calibration(model: Model, data: str) -> tuple[Split, str]:
    """Return the split, and its data set, that a net with this data is calibrated on."""
    split: Split = "test" if model.calibration == "test" else "calibration"
    return split, data if model.calibration in NO_DATA else model.calibration


def check_calibration(source: str, pictures: int, batch: int) -> None:
    """Raise UserError if there are fewer pictures to calibrate on than a batch."""
    if pictures < batch:
        raise UserError(
            f"{source}: {pictures} pictures to calibrate on are fewer than a batch of {batch}: "
            "name more, or a smaller batch"
        )


def task(model: Model) -> str:
    """Return the task of a net or file: the suite's, else the net's own."""
    return model.task or _zoo.task(model.net)


def teacher(step: Mapping[str, Any]) -> Model | None:
    """Return the net that a step learns from besides the labels; None if there is none."""
    if not step.get("teacher"):
        return None
    return Model(net=step["teacher"], weights=step.get("teacher_weights", ""))


def _of_net(model: Model, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """All that makes a float net besides its parameters and data: code, versions, weights, and what
    functions of the user's return."""
    plugins = [_plugins.module_name("methods", step["method"]) for step in steps]
    if steps:  # which may train
        plugins.append(_plugins.module_name("tasks", task(model)))
    parts = [_sources.digest(*NET_MAKERS, *plugins), metadata.version("torch")]
    for each in (model, *filter(None, map(teacher, steps))):
        file = weights(each)
        parts += [_zoo.code(each.net), json.dumps(_libraries.versions(each.kind))]
        parts += [_cache.sha256(file)] if file else [each.weights]
        parts += _of_data(_data.NOISE) if each.weights == RANDOM else []  # that they are drawn for
    return [*parts, *map(_returned.digest, functions(model, steps))]


def _of_data(source: str) -> list[str]:
    """A data set: what it reads, and the code that reads it."""
    if source in NO_DATA:
        return [source]
    reader = _plugins.module_name("data", source.partition(":")[0])
    return [_data.stamp(source), _sources.digest(reader)]
