"""The child that builds: reads orders from stdin, one JSON line each, answers on a private pipe.

It alone imports torch and the tool chains. It lives on for the next order, for the imports
take longer than most exports; what it crashes on costs that order only.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.utils.flop_counter import FlopCounterMode

from paretomark.models import _artifact, _data
from paretomark.models._artifact import CALIBRATION_EXAMPLES, Artifact, Order, Refused
from paretomark.models._data import Examples, Preprocess
from paretomark.models.compress import _step
from paretomark.models.export import _export
from paretomark.suites._errors import UserError
from paretomark.suites._suite import AS_IS, Model, Pixels, Recipe


@dataclasses.dataclass(frozen=True)
class Float:
    """The float net after the steps of a recipe, and what is known of it."""

    net: nn.Module
    data: str
    preprocess: Preprocess
    parameters: int
    nonzeros: int
    macs: int


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
    preprocess = _preprocess(pixels) if pixels else Preprocess((0, 0))
    images, labels = _prepare(model.data, preprocess, order.examples) if model.data else ("", "")
    return Artifact(
        file=str(file),
        format=order.format,
        sha256=(digest := _artifact.sha256(file)),
        bytes=file.stat().st_size,
        lineage=json.dumps({"parent": {"file": file.name, "sha256": digest}, "steps": []}),
        data=model.data,
        images=str(images),
        labels=str(labels),
        reference="",
        preprocess=dataclasses.asdict(preprocess),
        label_offset=model.label_offset,
    )


def _export_net(order: Order, part: Path, target: Path) -> Artifact:
    model, precision = order.model, order.recipe.precision
    exporter = _export.module(order.format)
    asked = json.dumps(dataclasses.asdict(model)), json.dumps(order.recipe.steps), order.seed
    known = _float(*asked)
    images, labels = _prepare(known.data, known.preprocess, order.examples)
    np.save(part / "reference.npy", _answers(*asked, images))
    name = f"model.{order.format}"
    if precision == "fp32":
        sample = _inputs(known.preprocess, np.load(images, mmap_mode="r")[: order.batch])
        sample = torch.cat([sample] * order.batch)[: order.batch]
        exporter.export(fuse(known.net), sample, part / name)
    else:
        recipe = dataclasses.replace(order.recipe, precision="fp32")
        exact = dataclasses.replace(order, recipe=recipe)
        parent = _artifact.lookup(exact) or make(exact)
        calibration = _calibration(order, known) if precision == "int8" else np.empty(0, np.float32)
        exporter.quantize(Path(parent.file), part / name, precision, calibration)
    # Some formats are more than one file, some a folder.
    files = sorted(f for f in part.glob("model.*/**/*") if f.is_file()) or sorted(
        part.glob("model.*")
    )
    weights = _artifact.weights(model)
    lineage = {
        "parent": {"net": model.net, "weights": weights.name, "sha256": _artifact.sha256(weights)},
        "steps": order.recipe.steps,
        "precision": precision,
        "seed": order.seed,
        "data": _data.public(known.data),
        "calibration": _data.public(model.calibration) or "calibration split",
        "versions": _export.versions(order.format),
    }
    return Artifact(
        file=str(target / name),
        format=order.format,
        sha256=_artifact.sha256(*files),
        bytes=sum(file.stat().st_size for file in files),
        lineage=json.dumps(lineage),
        data=known.data,
        images=str(images),
        labels=str(labels),
        reference=str(target / "reference.npy"),
        preprocess=dataclasses.asdict(known.preprocess),
        label_offset=model.label_offset,
        parameters=known.parameters,
        nonzeros=known.nonzeros,
        macs=known.macs,
    )


@lru_cache(maxsize=1)  # the formats and precisions of one net are ordered one after the other
def _float(model_json: str, steps_json: str, seed: int) -> Float:
    """The trained net after the steps. Arguments are JSON so that they can be remembered."""
    table = json.loads(model_json)
    weights = Path(table["weights"]) if table["weights"] else None
    plugin = importlib.import_module(f"paretomark.models.{table['net']}")
    net: nn.Module = plugin.net().eval()
    _load(net, weights or _artifact.weights(Model(net=table["net"])))
    pixels = table["preprocess"]
    preprocess = _preprocess(Pixels(**pixels)) if pixels else plugin.PREPROCESS
    data = table["data"] or plugin.DATA
    ctx = _step.Context(data, preprocess, seed)
    for step in json.loads(steps_json):
        net = _step.apply(net, step, ctx).eval()
    # litert-torch writes weights in their order in memory: from channels-last ones, which training
    # prefers, it makes a file with wrong answers and no error.
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    channels = len(preprocess.mean)
    sample = torch.zeros(1, channels, *preprocess.size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(sample)
    parameters = list(net.parameters())
    return Float(
        net=net,
        data=data,
        preprocess=preprocess,
        parameters=sum(p.numel() for p in parameters),
        nonzeros=sum(int(p.count_nonzero()) for p in parameters),
        macs=counter.get_total_flops() // 2,
    )


def _load(net: nn.Module, weights: Path) -> None:
    try:
        net.load_state_dict(load_file(weights))
    except FileNotFoundError:
        raise UserError(
            f"{weights} is missing: name trained weights with 'weights = \"...\"' in the suite, "
            "or train the net with `bench.py train`"
        ) from None
    except SafetensorError as error:
        raise UserError(f"{weights} is not a readable safetensors file: {error}") from None
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise UserError(f"{weights} does not fit the net: {' '.join(lines[1:3]).strip()}") from None


def _prepare(spec: str, preprocess: Preprocess, count: int) -> tuple[Path, Path]:
    """Test pictures at the net's size, as .npy files that a visit streams."""
    folder = _artifact.prepared(spec, preprocess, count)
    if not folder.exists():
        examples = _data.load(spec, "test", count, preprocess)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
        np.save(part / "images.npy", examples.images)
        np.save(part / "labels.npy", examples.labels)
        try:
            part.rename(folder)
        except OSError:  # another process prepared the same in the meantime
            shutil.rmtree(part)
    return folder / "images.npy", folder / "labels.npy"


@lru_cache(maxsize=1)
def _answers(
    model_json: str, steps_json: str, seed: int, pictures: Path
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What the float net says of every test picture."""
    known = _float(model_json, steps_json, seed)
    images = np.load(pictures, mmap_mode="r")
    with torch.no_grad():
        batches = [
            known.net(_inputs(known.preprocess, images[i : i + 64])).numpy()
            for i in range(0, len(images), 64)
        ]
    return np.concatenate(batches).astype(np.float32)


def _calibration(order: Order, known: Float) -> np.ndarray[Any, np.dtype[np.float32]]:
    spec = order.model.calibration
    split: _data.Split = "test" if spec == "test" else "calibration"
    source = known.data if spec in ("", "test") else spec
    examples: Examples = _data.load(source, split, CALIBRATION_EXAMPLES, known.preprocess)
    whole = len(examples.labels) // order.batch * order.batch
    if not whole:
        raise UserError(
            f"{source}: {len(examples.labels)} pictures to calibrate on are fewer than a batch"
        )
    return _inputs(known.preprocess, examples.images[:whole]).numpy()


def _inputs(preprocess: Preprocess, images: Any) -> torch.Tensor:
    """Pictures as the net wants them: float32 (N, C, H, W)."""
    pixels = torch.from_numpy(preprocess.normalise(np.asarray(images)))
    return pixels.permute(0, 3, 1, 2).contiguous()


def _preprocess(pixels: Pixels) -> Preprocess:
    if len(pixels.size) != 2 or pixels.order not in ("rgb", "bgr"):
        raise UserError(
            f"preprocess needs size = [height, width] and order rgb or bgr, got {pixels}"
        )
    size = (pixels.size[0], pixels.size[1])
    order: Any = pixels.order
    return Preprocess(size, tuple(pixels.mean), tuple(pixels.std), order, pixels.crop)


def _order(line: str) -> Order:
    table = json.loads(line)
    model = table.pop("model")
    pixels = model.pop("preprocess")
    recipe = table.pop("recipe")
    return Order(
        model=Model(**model, preprocess=Pixels(**pixels) if pixels else None),
        recipe=Recipe(recipe["name"], tuple(recipe["steps"]), recipe["precision"]),
        **table,
    )


def _answer(line: str) -> Artifact | Refused:
    try:
        order = _order(line)
        precisions: Sequence[str] = _export.module(order.format).PRECISIONS
        wanted = order.recipe.precision
        if wanted not in (AS_IS, *precisions):
            can = " and ".join(precisions)
            return Refused("unsupported", f".{order.format} is written as {can}, not as {wanted}")
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
