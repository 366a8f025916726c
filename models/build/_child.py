"""The child that builds: reads orders from stdin, one JSON line each, answers on a private pipe.

It alone imports torch and the tool chains. It lives on for the next order, for the imports
take longer than most exports; what it crashes on costs that order only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import torch

from paretomark.models import _cache
from paretomark.models.build import _artifact, _float_net, _identity
from paretomark.models.build._artifact import Artifact, Order, Refused
from paretomark.models.data import _data
from paretomark.models.data._data import Preprocess
from paretomark.models.export import _export, _fold
from paretomark.models.nets import _load
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import AS_IS, RANDOM, Model, Pixels, Recipe
from paretomark.suites.spec._tasks import CLASSIFICATION

ROTATING = 8  # batches, see `paretomark.devices.measure._visit`
FEWEST_UNSCORED = 16  # pictures of noise


def make(order: Order) -> Artifact:
    """Build an artifact, and put it into the cache as a whole or not at all."""
    torch.manual_seed(order.seed)
    target = _artifact.folder(order)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix="part-"))
    try:
        artifact = _adopt(order) if order.model.file else _export_net(order, part, target)
        (part / _artifact.ARTIFACT).write_text(json.dumps(dataclasses.asdict(artifact), indent=1))
        try:
            part.rename(target)
        except OSError:  # another process built the same in the meantime
            if not (target / _artifact.ARTIFACT).exists():
                raise
        return artifact
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _adopt(order: Order) -> Artifact:
    """A file that the user brings, as it is."""
    model = order.model
    file = Path(model.file)
    pixels = model.preprocess
    if model.data and pixels is None:
        raise UserError(f"{model.name}: to be scored on data, a file needs a declared preprocess")
    preprocess = _data.declared(pixels) if pixels else Preprocess((0, 0))
    task = model.task or CLASSIFICATION
    images, labels = (
        _float_net.prepare(model.data, preprocess, order.examples, task) if model.data else ("", "")
    )
    digest = _cache.sha256(file)
    facts = _identity.of_file(order, digest, preprocess, task)
    parent = {"file": file.name, "sha256": digest}
    return Artifact(
        file=str(file),
        format=order.format,
        identity=_identity.digest(facts),
        sha256=digest,
        bytes=file.stat().st_size,
        lineage=json.dumps({"parent": parent, "steps": [], "identity": facts}),
        data=model.data,
        images=str(images),
        labels=str(labels),
        reference="",
        preprocess=dataclasses.asdict(preprocess),
        label_offset=model.label_offset,
        task=task,
    )


def _export_net(order: Order, part: Path, target: Path) -> Artifact:
    model, precision = order.model, order.recipe.precision
    exporter = _export.module(order.format)
    asked = json.dumps(dataclasses.asdict(model)), json.dumps(order.recipe.steps), order.seed
    known = _float_net.compressed(*asked)
    count = order.examples if known.scored else max(FEWEST_UNSCORED, ROTATING * order.batch)
    task = CLASSIFICATION if known.data == _data.NOISE else known.task
    images, labels = _float_net.prepare(known.data, known.preprocess, count, task)
    np.save(part / "reference.npy", _float_net.answers(*asked, images))
    name, sparse_path = f"model.{order.format}", ""
    if order.recipe.storage == "sparse":
        recipe = dataclasses.replace(order.recipe, storage="dense")
        dense = dataclasses.replace(order, recipe=recipe)
        parent = _artifact.lookup(dense) or make(dense)
        sparse_path = exporter.sparsify(Path(parent.file), part / name)
    elif precision == "fp32":
        sample = _load.inputs(known.preprocess, np.load(images, mmap_mode="r")[: order.batch])
        sample = torch.cat([sample] * order.batch)[: order.batch]
        exporter.export(_fold.folded(known.net), sample, part / name)
    else:
        recipe = dataclasses.replace(order.recipe, precision="fp32", quantization={})
        exact = dataclasses.replace(order, recipe=recipe)
        parent = _artifact.lookup(exact) or make(exact)
        static = precision == "int8"
        calibration = _float_net.calibration(order, known) if static else np.empty(0, np.float32)
        options = order.recipe.quantization
        exporter.quantize(Path(parent.file), part / name, precision, calibration, **options)
    # Some formats are more than one file, some a folder.
    files = sorted(f for f in part.glob("model.*/**/*") if f.is_file()) or sorted(
        part.glob("model.*")
    )
    counts = exporter.zeros(part / name) if hasattr(exporter, "zeros") else (None, None)
    weights = _artifact.weights(model)
    digest = _cache.sha256(weights) if weights else known.digest
    facts = _identity.of_net(order, known)
    lineage = {
        "parent": {"net": _public(model), "weights": known.weights, "sha256": digest},
        "steps": order.recipe.steps,
        "precision": precision,
        "quantization": order.recipe.quantization,
        "storage": order.recipe.storage,
        "seed": order.seed,
        "data": _data.public(known.data),
        "calibration": _data.public(model.calibration) or "calibration split",
        "versions": _export.versions(order.format),
        "identity": facts,
    }
    return Artifact(
        file=str(target / name),
        format=order.format,
        identity=_identity.digest(facts),
        sha256=_cache.sha256(*files),
        bytes=sum(file.stat().st_size for file in files),
        lineage=json.dumps(lineage),
        data=_scores_on(model, known),
        images=str(images),
        labels=str(labels) if known.scored else "",
        reference=str(target / "reference.npy"),
        preprocess=dataclasses.asdict(known.preprocess),
        label_offset=model.label_offset,
        task=known.task,
        parameters=known.parameters,
        nonzeros=known.nonzeros,
        macs=known.macs,
        encoded_bytes=known.encoded_bytes,
        steps_s=known.steps_s,
        file_weights=counts[0],
        file_zeros=counts[1],
        sparse_path=sparse_path,
    )


def _public(model: Model) -> str:
    """The name of a net, without the path that it has on this machine."""
    return f"python:{Path(model.net).name}" if model.kind == "python" else model.net


def _scores_on(model: Model, known: _float_net.Float) -> str:
    if known.scored:
        return known.data
    return _artifact.UNTRAINED if model.weights == RANDOM else ""


def _order(line: str) -> Order:
    table = json.loads(line)
    model = table.pop("model")
    pixels = model.pop("preprocess")
    recipe = table.pop("recipe")
    return Order(
        model=Model(**model, preprocess=Pixels(**pixels) if pixels else None),
        recipe=Recipe(
            recipe["name"],
            tuple(recipe["steps"]),
            recipe["precision"],
            recipe["quantization"],
            recipe["storage"],
        ),
        **table,
    )


def _answer(line: str) -> Artifact | Refused:
    try:
        order = _order(line)
        exporter = _export.module(order.format)
        wanted, precisions = order.recipe.precision, exporter.PRECISIONS
        if wanted not in (AS_IS, *precisions):
            can = " and ".join(precisions)
            return Refused("unsupported", f".{order.format} is written as {can}, not as {wanted}")
        for option, value in order.recipe.quantization.items():
            if value not in getattr(exporter, "OPTIONS", {}).get(option, ()):
                reason = f".{order.format}'s quantizer has no {option} = '{value}'"
                return Refused("unsupported", reason)
        if order.recipe.storage == "sparse" and not hasattr(exporter, "sparsify"):
            return Refused("unsupported", f".{order.format} cannot leave zeros out of its files")
        return _artifact.lookup(order) or make(order)
    except UserError as error:
        return Refused("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        return Refused("failed", f"{type(error).__name__}: {error}".splitlines()[0][:500])


def main() -> None:
    # Tool chains print to stdout as they like, so the answers go through a descriptor of their own.
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for line in sys.stdin:
            result = _answer(line)
            table = {"kind": type(result).__name__, **dataclasses.asdict(result)}
            answers.write(json.dumps(table) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
