"""What a device loads, how it came to be, and where it is cached.

An `Order` says what is wanted; its key is a hash of everything that shapes the file: the
trained weights, the sources of net, steps and exporter, their parameters, the calibration data
and the versions of the tool chain. The same order is never built twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.models import _data, _libraries, _zoo
from paretomark.models.export import _export
from paretomark.suites._suite import RANDOM, Model, Recipe
from paretomark.suites._tasks import CLASSIFICATION

CALIBRATION_EXAMPLES = 256
ARTIFACT = "artifact.json"
UNTRAINED = "random weights"  # in place of a data set: there is no accuracy


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
    sha256: str
    bytes: int
    lineage: str  # JSON: parent, steps, seeds, data, versions
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


def cache() -> Path:
    """The folder of everything that can be made again: $PARETOMARK_CACHE or ~/.cache/paretomark."""
    folder = os.environ.get("PARETOMARK_CACHE")
    return Path(folder).absolute() if folder else Path.home() / ".cache" / "paretomark"


def folder(order: Order) -> Path:
    """Where the artifact of an order is, or will be."""
    anonymous = dataclasses.replace(
        order,
        model=dataclasses.replace(order.model, name="", weights="", recipes=(), devices=()),
        recipe=dataclasses.replace(order.recipe, name="", devices=()),
    )
    parts = [json.dumps(dataclasses.asdict(anonymous), sort_keys=True)]
    if order.model.file:
        parts.append(sha256(Path(order.model.file)))
    else:
        parts += [json.dumps(_export.versions(order.format), sort_keys=True)]
        parts += _identity(order.model, order.recipe.steps)
        exporters = _zoo.FOLDER / "export"
        parts += [sha256(exporters / f"{order.format}.py", *sorted(exporters.glob("_*.py")))]
    parts += [stamp(spec) for spec in (order.model.data, order.model.calibration)]
    return cache() / "artifacts" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def net(model: Model, steps: Sequence[Mapping[str, Any]], seed: int) -> Path:
    """The folder where the float net after these steps is, or will be kept."""
    used = {"net": model.net, "data": model.data, "preprocess": model.preprocess}
    parts = [json.dumps([used, steps, seed], sort_keys=True, default=str)]
    parts += [metadata.version("torch"), stamp(model.data), *_identity(model, steps)]
    return cache() / "nets" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def lookup(order: Order) -> Artifact | None:
    """The artifact, if it was built before."""
    path = folder(order) / ARTIFACT
    try:
        return Artifact(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def sha256(*paths: Path) -> str:
    """Of the content of a file, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp(spec: str) -> str:
    """Of a data set on disk: names, sizes and times, for its pictures may be many."""
    path = Path(spec.partition(":")[2])
    if not spec.partition(":")[2] or not path.exists():
        return spec
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    listing = [f"{f}:{s.st_size}:{s.st_mtime_ns}" for f in files if (s := f.stat())]
    return hashlib.sha256("\n".join([spec, *listing]).encode()).hexdigest()


def weights(model: Model) -> Path | None:
    """The file with the trained weights of a net: the suite's, or what the project ships.

    None where there is no file: random weights, those of a library, or of the user's function.
    """
    if model.weights:
        return None if model.weights == RANDOM else Path(model.weights)
    return None if model.kind else _zoo.weights(_zoo.split(model.net).name)


def _identity(model: Model, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of all that makes a float net: the libraries' versions, and the content of files."""
    found = []
    for each in (model, *_teachers(steps)):
        found.append(RANDOM if each.weights == RANDOM else "")
        found += [f"{p} {v}" for p, v in _libraries.versions(each.kind).items()]
    return found + [sha256(path) for path in sources(model, steps)]


def sources(model: Model, steps: Sequence[Mapping[str, Any]]) -> Iterable[Path]:
    """Every file that can change a float net. Rather too many than too few."""
    models = _zoo.FOLDER
    for each in (model, *_teachers(steps)):
        if file := weights(each):
            yield file
        yield from _zoo.sources(each.net)
    for step in steps:
        yield models / "compress" / f"{step['method']}.py"
    yield from sorted((models / "data").glob("*.py"))
    for engine in ("*_*.py", "compress/_*.py"):
        yield from sorted(p for p in models.glob(engine) if p.name.startswith("_"))


def _teachers(steps: Sequence[Mapping[str, Any]]) -> list[Model]:
    return [
        Model(net=step["teacher"], weights=step.get("teacher_weights", ""))
        for step in steps
        if step.get("teacher")
    ]


def prepared(spec: str, preprocess: _data.Preprocess, count: int, task: str) -> Path:
    """Where test pictures are kept at a net's size, so that a visit need only stream them."""
    name = spec.partition(":")[0]
    sources = [_zoo.FOLDER / "data" / f"{name}.py", _zoo.FOLDER / "data" / "_files.py"]
    shape = preprocess.size, preprocess.crop, preprocess.interpolation, len(preprocess.mean)
    parts = [stamp(spec), sha256(*sources), repr(shape), str(count), task]
    return cache() / "data" / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"
