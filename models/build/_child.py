"""The child that builds: reads specs from stdin, one JSON line each, answers on a private pipe.

It alone imports torch and the tool chains. It lives on for the next artifact, for the imports
take longer than most exports; what it crashes on costs that artifact only.
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
from typing import Any

import numpy as np
import torch

from paretomark.models import _cache, _parent
from paretomark.models.build import (
    _artifact,
    _float_net,
    _identity,
    _model_files,
    _onnx_training,
    _returned,
)
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.models.build._float_net import FloatNet
from paretomark.models.data import _data
from paretomark.models.export import _export, _fold
from paretomark.models.nets import _inputs, _load
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError, explained
from paretomark.suites.spec._model import RANDOM, Model, Preprocess, Recipe


def make(spec: BuildSpec) -> Artifact:
    """Build an artifact, and put it into the cache as a whole or not at all.

    Raises UserError for what the user can mend, and whatever a tool chain raises.
    """
    torch.manual_seed(spec.seed)
    target = _artifact.folder(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix="part-"))
    try:
        make = _adopt if spec.model.file else _export_net
        artifact = make(spec, part, target)
        _returned.forget()
        if not spec.model.file and _artifact.folder(spec) != target:
            raise UserError(
                f"{spec.model.net} returns another net than before: it was changed while it was "
                "built, so run again; or it draws numbers by itself, which a seed in it mends"
            )
        (part / _artifact.ARTIFACT).write_text(json.dumps(dataclasses.asdict(artifact), indent=1))
        try:
            part.rename(target)
        except OSError:  # another process built the same in the meantime
            if not (target / _artifact.ARTIFACT).exists():
                raise
        return artifact
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _adopt(spec: BuildSpec, part: Path, target: Path) -> Artifact:
    """A file that the user brings, copied with all that it refers to: what is measured is what is
    hashed, whatever becomes of the original."""
    model = spec.model
    source = Path(model.file)
    if model.data and model.preprocess is None:
        raise UserError(f"{model.name}: to be scored on data, a file needs a declared preprocess")
    copied = part / _artifact.OWN / source.name
    _copy(source, copied)
    if _artifact.folder(spec) != target:
        raise UserError(f"{source} was changed while it was read; run again")
    files = _artifact.files(copied)
    preprocess, task = model.preprocess or Preprocess((0, 0)), _artifact.task(model)
    images, labels = (
        _float_net.prepare(model.data, preprocess, spec.examples, task) if model.data else ("", "")
    )
    digest = _cache.sha256(*files)
    facts = _identity.of_file(spec, digest, preprocess, task)
    lineage = {"parent": {"file": source.name, "sha256": digest}, "steps": []}
    about = _of_data(images)
    sparse_path, (weights, zeros) = _of_zeros(spec.format, copied)
    unsafe = [f"XNNPACK on Arm: {sparse_path}"] if sparse_path.startswith("unsafe") else []
    return Artifact(
        file=str(target / _artifact.OWN / source.name),
        format=spec.format,
        identity=_identity.digest(facts),
        sha256=digest,
        bytes=sum(file.stat().st_size for file in files),
        lineage=_lineage(spec, lineage, facts),
        data=model.data,
        images=str(images),
        labels="" if model.data == _data.NOISE else str(labels),  # noise has nothing to be told
        reference="",
        preprocess=preprocess,
        label_offset=model.label_offset,
        task=task,
        reading=model.reading,
        inputs=model.inputs,
        file_weights=weights,
        file_zeros=zeros,
        sparse_path=sparse_path if zeros else "",
        classes=about["classes"],
        warnings=(*about["warnings"], *unsafe, *_onnx_training.warnings(copied)),
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file with all that it refers to. Raises UserError if it changes meanwhile: the folder
    of the artifact is named by what was there before."""
    parts = _model_files.parts(source)
    copies = [target.parent / file.relative_to(source.parent) for file in parts]
    before = _cache.sha256(*parts)
    for file, copy in zip(parts, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    if _cache.sha256(*copies) != before:
        raise UserError(f"{source} was changed while it was read; run again")


def _of_zeros(format: str, file: Path) -> tuple[str, tuple[int | None, int | None]]:
    """What a file of the user's says of its zeros; nothing where it cannot be read here."""
    try:
        exporter = _export.module(format)
        counts = exporter.zeros(file) if hasattr(exporter, "zeros") else (None, None)
        return (exporter.sparse_path(file) if hasattr(exporter, "sparse_path") else ""), counts
    except Exception:  # whatever a parser raises; the runtime says what is wrong with the file
        traceback.print_exc()
        return "", (None, None)


def _export_net(spec: BuildSpec, part: Path, target: Path) -> Artifact:
    model, recipe = spec.model, spec.recipe
    exporter = _export.module(spec.format)
    request = model, json.dumps(recipe.steps), spec.seed
    net = _float_net.compressed(*request)
    reference, images, labels = _float_net.given(spec, net, part)
    name, sparse_path = f"model.{spec.format}", ""
    told: tuple[str, ...] = ()  # of what it is made of, or was calibrated on
    if recipe.storage == "sparse":
        dense = _made(spec, dataclasses.replace(recipe, storage="dense"))
        sparse_path, told = exporter.sparsify(Path(dense.file), part / name), dense.warnings
    elif recipe.precision == "fp32":
        _export_float(spec, net, images, part / name)
    else:
        exact = _made(spec, dataclasses.replace(recipe, precision="fp32", quantization={}))
        seen = np.empty(0, np.float32)
        if recipe.precision == "int8":
            seen, told = _float_net.calibration(spec, net, known=_of_data(images)["warnings"])
        exporter.quantize(
            Path(exact.file), part / name, recipe.precision, seen, **recipe.quantization
        )
    files = _artifact.files(part / name)  # some formats are more than one, some a folder
    counts = exporter.zeros(part / name) if hasattr(exporter, "zeros") else (None, None)
    weights, about = _artifact.weights(model), _of_data(images)
    digest = _cache.sha256(weights) if weights else net.digest
    facts = _identity.of_net(spec, net)
    lineage = {
        "parent": {"net": _public(model), "weights": net.weights, "sha256": digest},
        "steps": recipe.steps,
        "precision": recipe.precision,
        "quantization": recipe.quantization,
        "storage": recipe.storage,
        "seed": spec.seed,
        "data": _data.public(net.data),
        "calibration": _data.public(model.calibration) or "calibration split",
        "versions": _export.versions(spec.format),
    }
    return Artifact(
        file=str(target / name),
        format=spec.format,
        identity=_identity.digest(facts),
        sha256=_cache.sha256(*files),
        bytes=sum(file.stat().st_size for file in files),
        lineage=_lineage(spec, lineage, facts),
        data=_scores_on(model, net),
        images=str(images),
        labels=str(labels) if net.scored else "",
        reference=str(target / reference),
        preprocess=net.preprocess,
        label_offset=model.label_offset,
        task=net.task,
        reading=model.reading,
        inputs=net.inputs,
        parameters=net.parameters,
        nonzeros=net.nonzeros,
        macs=net.macs,
        encoded_bytes=_encoded_bytes(spec, net, part / name),
        steps_s=net.steps_s,
        file_weights=counts[0],
        file_zeros=counts[1],
        sparse_path=sparse_path,
        classes=about["classes"],
        warnings=tuple(dict.fromkeys((*about["warnings"], *told, *net.warnings))),
        asked=net.asked,
        reached=net.reached,
    )


def _export_float(spec: BuildSpec, net: FloatNet, images: Path | str, out: Path) -> None:
    exporter = _export.module(spec.format)
    if net.inputs:
        (call,) = _inputs.samples(net.inputs, spec.batch, spec.seed, 1)
        named = dict(zip(net.inputs, call, strict=True))
        exporter.export_inputs(_fold.folded(net.module, *call), named, out)
        return
    sample = _load.inputs(net.preprocess, np.load(images, mmap_mode="r")[: spec.batch])
    sample = torch.cat([sample] * spec.batch)[: spec.batch]
    exporter.export(_fold.folded(net.module, sample), sample, out)


def _of_data(images: Path | str) -> dict[str, Any]:
    """What an artifact says of its pictures."""
    classes, notes = _float_net.about(Path(images)) if images else ((), ())
    return {"classes": classes, "warnings": notes}


def _encoded_bytes(spec: BuildSpec, net: FloatNet, file: Path) -> int | None:
    """Of the weights as they are in the file; None where they are random, or cannot be read."""
    exporter, recipe = _export.module(spec.format), spec.recipe
    if net.encoded_bytes is None or not recipe.precision.startswith("int"):
        return net.encoded_bytes
    if recipe.storage == "sparse":
        return _made(spec, dataclasses.replace(recipe, storage="dense")).encoded_bytes
    return _float_net.encoded(exporter.weights(file)) if hasattr(exporter, "weights") else None


def _made(spec: BuildSpec, recipe: Recipe) -> Artifact:
    """The artifact that another one is made of."""
    spec = dataclasses.replace(spec, recipe=recipe)
    return _artifact.lookup(spec) or make(spec)


def _lineage(spec: BuildSpec, lineage: dict[str, Any], facts: _identity.Facts) -> str:
    """How an artifact came to be, as JSON: with the code of others, and the facts."""
    plugins = _artifact.own_plugins(spec)
    return json.dumps(lineage | ({"plug-ins": plugins} if plugins else {}) | {"identity": facts})


def _public(model: Model) -> str:
    """The name of a net, without the path that it has on this machine."""
    return f"python:{Path(model.net).name}" if model.kind == "python" else model.net


def _scores_on(model: Model, net: FloatNet) -> str:
    if net.scored:
        return net.data
    return _artifact.UNTRAINED if model.weights == RANDOM else ""


def _answer(line: str) -> Artifact | Refused:
    try:
        spec = _schema.typed(BuildSpec, json.loads(line))
        return _refusal(spec) or _artifact.lookup(spec) or make(spec)
    except UserError as error:
        return Refused("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        return Refused("failed", explained(error))


def _refusal(spec: BuildSpec) -> Refused | None:
    """Why the format cannot be what the recipe says; None if it can."""
    if spec.model.file:
        return None
    exporter, recipe = _export.module(spec.format), spec.recipe
    if recipe.precision not in exporter.PRECISIONS:
        can = f"written as {' and '.join(exporter.PRECISIONS)}, not as {recipe.precision}"
        return Refused("unsupported", f".{spec.format} is {can}")
    if spec.model.declared and not hasattr(exporter, "export_inputs"):
        return Refused("unsupported", f".{spec.format} is not written of nets with declared inputs")
    for option, value in recipe.quantization.items():
        if value not in getattr(exporter, "OPTIONS", {}).get(option, ()):
            reason = f".{spec.format}'s quantizer has no {option} = '{value}'"
            return Refused("unsupported", reason)
    if recipe.storage == "sparse" and not hasattr(exporter, "sparsify"):
        return Refused("unsupported", f".{spec.format} cannot leave zeros out of its files")
    return None


def main() -> None:
    """Answer specs until there are no more."""
    _parent.die_with_it()
    # Tool chains print to stdout as they like, so the answers go through a descriptor of their own.
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for line in sys.stdin:
            result = _answer(line)
            table = isinstance(result, Artifact), dataclasses.asdict(result)
            answers.write(json.dumps(table) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
