"""What a device loads, how it came to be, and where it is cached.

An `Order` says what is wanted; its key is a digest of everything that shapes the file: the trained
weights, the data, all parameters, the code that makes it, as far as its imports reach, and the
versions of the tool chain. The same order is never built twice.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.models import _cache, _sources
from paretomark.models.data import _data
from paretomark.models.export import _export
from paretomark.models.nets import _libraries, _zoo
from paretomark.suites.spec._model import RANDOM, Model, Recipe
from paretomark.suites.spec._tasks import CLASSIFICATION

ARTIFACT = "artifact.json"
CALIBRATION_EXAMPLES = 256
UNTRAINED = "random weights"  # in place of a data set: there is no accuracy
# What makes every artifact, and what makes every float net of one. Plug-ins are named where they
# are chosen.
MAKER = "paretomark.models.build._child"
NET_MAKERS = ("paretomark.models.nets._load", "paretomark.models.compress._step")


@dataclass(frozen=True)
class Order:
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
    reference: str  # .npy, (M, ...): what the float net says of the first M; "" if there is none
    preprocess: dict[str, Any]
    label_offset: int
    task: str = CLASSIFICATION
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


@dataclass(frozen=True)
class Refused:
    """Why there is no artifact: `status` is 'failed' or 'unsupported'."""

    status: str
    reason: str


def folder(order: Order) -> Path:
    """Where the artifact of an order is, or will be."""
    model, recipe = order.model, order.recipe
    anonymous = dataclasses.replace(
        order,
        model=dataclasses.replace(model, name="", weights="", recipes=(), devices=()),
        recipe=dataclasses.replace(recipe, name="", devices=()),
    )
    parts = [json.dumps(dataclasses.asdict(anonymous), sort_keys=True)]
    if model.file:
        parts += [_cache.sha256(Path(model.file)), _sources.digest(MAKER)]
    else:
        exporter = f"paretomark.models.export.{order.format}"
        parts += [json.dumps(_export.versions(order.format)), _sources.digest(MAKER, exporter)]
        parts += _of_net(model, recipe.steps)
    parts += [*_of_data(data(model)), *_of_data(model.calibration)]
    return _cache.folder() / "artifacts" / _cache.key(parts)


def net(model: Model, steps: Sequence[Mapping[str, Any]], seed: int) -> Path:
    """The folder where the float net after these steps is, or will be kept."""
    used = {"net": model.net, "data": model.data, "preprocess": model.preprocess}
    parts = [json.dumps([used, steps, seed], sort_keys=True, default=str)]
    parts += [*_of_net(model, steps), *_of_data(data(model))]
    return _cache.folder() / "nets" / _cache.key(parts)


def prepared(spec: str, preprocess: _data.Preprocess, count: int, task: str) -> Path:
    """Where test pictures are kept at a net's size, so that a visit need only stream them."""
    shape = preprocess.size, preprocess.crop, preprocess.interpolation, len(preprocess.mean)
    parts = [*_of_data(spec), repr(shape), str(count), task]
    return _cache.folder() / "data" / f"{spec.partition(':')[0]}-{_cache.key(parts)}"


def lookup(order: Order) -> Artifact | None:
    """The artifact, if it was built before."""
    path = folder(order) / ARTIFACT
    try:
        return Artifact(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def weights(model: Model) -> Path | None:
    """The file with the trained weights of a net: the suite's, or those that the project has.

    None where there is no file: random weights, those of a library, or of the user's function.
    """
    if model.weights:
        return None if model.weights == RANDOM else Path(model.weights)
    return None if model.kind else _zoo.weights(_zoo.split(model.net).name)


def data(model: Model) -> str:
    """The data set of a net or file: the suite's, else what the net was trained on, else none."""
    if model.data or model.weights == RANDOM:
        return model.data or _data.NOISE
    return _zoo.data(model.net) or _data.NOISE


def teacher(step: Mapping[str, Any]) -> Model | None:
    """The net that a step learns from besides the labels; None if there is none."""
    if not step.get("teacher"):
        return None
    return Model(net=step["teacher"], weights=step.get("teacher_weights", ""))


def _of_net(model: Model, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """All that makes a float net besides its parameters and data: code, versions, weights."""
    methods = [f"paretomark.models.compress.{step['method']}" for step in steps]
    parts = [_sources.digest(*NET_MAKERS, *methods), metadata.version("torch")]
    for each in (model, *filter(None, map(teacher, steps))):
        file = weights(each)
        parts += [_zoo.code(each.net), json.dumps(_libraries.versions(each.kind))]
        parts += [_cache.sha256(file)] if file else [each.weights]
        parts += _of_data(_data.NOISE) if each.weights == RANDOM else []  # that they are drawn for
    return parts


def _of_data(spec: str) -> list[str]:
    """A data set: what it reads, and the code that reads it."""
    if spec in ("", "test"):
        return [spec]
    return [_data.stamp(spec), _sources.digest(f"paretomark.models.data.{spec.partition(':')[0]}")]
