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

from paretomark.models import _data, _zoo
from paretomark.models.export import _export
from paretomark.suites._suite import Model, Recipe
from paretomark.suites._tasks import CLASSIFICATION

CALIBRATION_EXAMPLES = 256
ARTIFACT = "artifact.json"


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
    data: str  # the data set; "" when the file is only timed
    images: str  # .npy, uint8 (N, H, W, C)
    labels: str  # .npy, the labels of `Examples`
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
        parts += [sha256(path) for path in sources(order.model, order.recipe.steps)]
        exporters = _zoo.FOLDER / "export"
        parts += [sha256(exporters / f"{order.format}.py", *sorted(exporters.glob("_*.py")))]
    parts += [stamp(spec) for spec in (order.model.data, order.model.calibration)]
    return cache() / "artifacts" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def net(model: Model, steps: Sequence[Mapping[str, Any]], seed: int) -> Path:
    """The folder where the float net after these steps is, or will be kept."""
    used = {"net": model.net, "data": model.data, "preprocess": model.preprocess}
    parts = [json.dumps([used, steps, seed], sort_keys=True, default=str)]
    parts += [metadata.version("torch"), stamp(model.data)]
    parts += [sha256(path) for path in sources(model, steps)]
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


def weights(model: Model) -> Path:
    """The trained weights of a net: the suite's, or those the project ships."""
    return Path(model.weights) if model.weights else _zoo.weights(model.net)


def sources(model: Model, steps: Sequence[Mapping[str, Any]]) -> Iterable[Path]:
    """Every file of this project that can change a float net. Rather too many than too few."""
    models = _zoo.FOLDER
    yield weights(model)
    yield models / f"{model.net}.py"
    for step in steps:
        yield models / "compress" / f"{step['method']}.py"
        if teacher := step.get("teacher"):
            yield models / f"{teacher}.py"
            yield Path(step.get("teacher_weights") or _zoo.weights(teacher))
    yield from sorted((models / "data").glob("*.py"))
    for engine in ("*_*.py", "compress/_*.py"):
        yield from sorted(p for p in models.glob(engine) if p.name.startswith("_"))


def prepared(spec: str, preprocess: _data.Preprocess, count: int, task: str) -> Path:
    """Where test pictures are kept at a net's size, so that a visit need only stream them."""
    name = spec.partition(":")[0]
    sources = [_zoo.FOLDER / "data" / f"{name}.py", _zoo.FOLDER / "data" / "_files.py"]
    size = [repr(preprocess.size), repr(preprocess.crop), str(count)]
    parts = [stamp(spec), sha256(*sources), *size, task]
    return cache() / "data" / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"
