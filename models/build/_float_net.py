"""The float net of an artifact after the steps of its recipe, and the data that goes with it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paretomark.models.build import _artifact, _encode
from paretomark.models.build._artifact import CALIBRATION_EXAMPLES, BuildSpec
from paretomark.models.compress import _step
from paretomark.models.compress._step import Compressed
from paretomark.models.data import _data, _full_masks
from paretomark.models.data._data import NOISE
from paretomark.models.nets import _inputs, _load, _macs, _structure
from paretomark.suites.spec._model import RANDOM, Input, Model, Preprocess
from paretomark.suites.tasks._task import CLASSIFICATION

ABOUT = "about.json"  # the classes and notes of prepared pictures
FEWEST_UNSCORED = 16  # pictures of noise
REFERENCE_BYTES = 8 * 2**20  # of answers for every pixel; those for a picture always fit


@dataclasses.dataclass(frozen=True)
class FloatNet:
    """The float net after the steps of a recipe, and what is known of it."""

    module: nn.Module
    task: str
    data: str
    scored: bool  # whether the data has classes that the net was trained for
    weights: str  # which they are
    digest: str  # of them all, before the steps
    structure: str  # digest of what it computes, before the steps
    preprocess: Preprocess
    parameters: int
    nonzeros: int
    macs: int | None  # None if that cannot be counted, see `_macs`
    encoded_bytes: int | None  # of the parameters, losslessly encoded; None if all are random
    steps_s: float  # processor time that the steps took, training included
    asked: dict[str, float]  # what the steps were to reach, see `_step.Reached`
    reached: dict[str, float]
    warnings: tuple[str, ...]
    inputs: dict[str, Input] = dataclasses.field(default_factory=dict)  # in place of pictures


@lru_cache(maxsize=1)  # the formats and precisions of one net are ordered one after the other
def compressed(model: Model, steps_json: str, seed: int) -> FloatNet:
    """Return the trained net after the steps, which are JSON so that they can be remembered.

    Raises UserError for a net, weights or step that cannot be.
    """
    loaded = _load.load(model, seed)
    digest, structure = _load.digest(loaded.module), _structure.structure(loaded.module)
    net, task, preprocess = loaded.module, loaded.task, loaded.preprocess
    data = loaded.data or NOISE
    after = Compressed(net, 0.0)
    if steps := json.loads(steps_json):
        ctx = _step.Context(data, preprocess, seed, task)
        kept = _artifact.net(model, steps, seed) / "net.pt"
        after = _kept(kept) or _keep(_step.compress(net, steps, ctx), kept)
    # litert-torch writes weights in their order in memory: from channels-last ones, which training
    # prefers, it makes a file with wrong answers and no error.
    net = after.net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    named = {name: p.detach() for name, p in net.named_parameters()}
    parameters = named.values()
    return FloatNet(
        module=net,
        task=task,
        data=data,
        scored=data != NOISE and model.weights != RANDOM,
        weights=loaded.weights,
        digest=digest,
        structure=structure,
        preprocess=preprocess,
        parameters=sum(p.numel() for p in parameters),
        nonzeros=sum(int(p.count_nonzero()) for p in parameters),
        macs=_macs_of(net, loaded.inputs, preprocess),
        encoded_bytes=_encoded_bytes(named) if steps or model.weights != RANDOM else None,
        steps_s=after.seconds,
        asked=after.asked,
        reached=after.reached,
        warnings=(*loaded.warnings, *after.warnings),
        inputs=loaded.inputs,
    )


def _macs_of(net: nn.Module, inputs: dict[str, Input], preprocess: Preprocess) -> int | None:
    """What one picture, or one call with declared inputs at batch 1, computes."""
    if not inputs:
        return _macs.macs(net, preprocess)
    return _macs.of_call(net, _inputs.samples(inputs, 1, 0, 1)[0])


def _encoded_bytes(named: Mapping[str, torch.Tensor]) -> int:
    # Pruning by a product leaves -0.0, which the encoder keeps as another number.
    return encoded({name: (p + 0.0).numpy() for name, p in named.items()})


def encoded(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return how many bytes arrays take in `_encode`'s container; a type that it lacks is taken for
    one of its size, but four bits, which NumPy keeps in eight, for int8."""
    alike = {1: "|u1", 2: "<f2", 4: "<i4", 8: "<i8"}
    plain = {}
    for name, array in arrays.items():
        array = array.astype(np.int8) if array.dtype.name.endswith("int4") else array
        lacks = array.dtype.newbyteorder("<").str not in _encode.DTYPES
        whole = np.ascontiguousarray(array).reshape(array.shape)
        plain[name] = whole.view(alike[array.dtype.itemsize]) if lacks else whole
    return len(_encode.encode(plain))


def _keep(made: Compressed, file: Path) -> Compressed:
    """Keep a net for the formats that are asked for later: training it again may take long."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.stem}.{os.getpid()}.part")
    torch.save(made, part)
    part.replace(file)
    return made


def _kept(file: Path) -> Compressed | None:
    """What `_keep` kept. It is a pickle, and trusted as far as the cache itself is."""
    if not file.exists():
        return None
    made: Compressed = torch.load(file, weights_only=False)
    return made


def prepare(source: str, preprocess: Preprocess, count: int, task: str) -> tuple[Path, Path]:
    """Return the first `count` test pictures of a data set at the net's size, and their labels:
    .npy files that a visit streams, see `Examples`. Raises UserError as `_data.load` does."""
    folder = _artifact.prepared(source, preprocess, count, task)
    if not folder.exists():
        examples = _data.load(source, "test", count, preprocess, task)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
        np.save(part / "images.npy", examples.images)
        np.save(part / "labels.npy", examples.labels)
        about = {"classes": examples.classes, "notes": examples.notes}
        (part / ABOUT).write_text(json.dumps(about))
        if full := _data.full_masks(source, count, preprocess, task):
            _full_masks.write(full, part / _full_masks.FILE)
        try:
            part.rename(folder)
        except OSError:  # another process prepared the same in the meantime
            shutil.rmtree(part)
    return folder / "images.npy", folder / "labels.npy"


def given(spec: BuildSpec, net: FloatNet, part: Path) -> tuple[str, Path | str, Path | str]:
    """Keep what the float net answers to its pictures, or to declared inputs. Return the name of
    that file, the pictures, and their labels; "" where there are none."""
    request = spec.model, json.dumps(spec.recipe.steps), spec.seed
    if net.inputs:
        kept = answers_to_inputs(*request, spec.batch)
        np.savez(part / _artifact.REFERENCE_TO_INPUTS, **kept)  # type: ignore[arg-type]
        return _artifact.REFERENCE_TO_INPUTS, "", ""
    unscored = max(FEWEST_UNSCORED, _data.ROTATING_BATCHES * spec.batch)
    count = spec.examples if net.scored else unscored
    task = CLASSIFICATION if net.data == NOISE else net.task
    images, labels = prepare(net.data, net.preprocess, count, task)
    np.save(part / _artifact.REFERENCE, answers(*request, images))
    return _artifact.REFERENCE, images, labels


def about(pictures: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes and notes of prepared pictures, see `Examples`."""
    table = json.loads(pictures.with_name(ABOUT).read_text())
    return tuple(table["classes"]), tuple(table["notes"])


@lru_cache(maxsize=1)
def answers(model: Model, steps_json: str, seed: int, pictures: Path) -> NDArray[np.float32]:
    """Return what the float net says of every test picture, (N, ...), or of as many as
    REFERENCE_BYTES hold. `pictures`: a .npy file, uint8 (N, H, W, C)."""
    net = compressed(model, steps_json, seed)
    images = np.load(pictures, mmap_mode="r")
    batches: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for i in range(0, len(images), 64):
            answer = net.module(_load.inputs(net.preprocess, images[i : i + 64])).numpy()
            batches.append(answer.astype(np.float32))
            if (i + 64) * answer[0].nbytes >= REFERENCE_BYTES:
                break
    return np.concatenate(batches)


def answers_to_inputs(
    model: Model, steps_json: str, seed: int, batch: int
) -> dict[str, NDArray[Any]]:
    """Return what the float net says when it is called with its declared inputs, as often as a
    device is or as REFERENCE_BYTES hold: arrays by `CALL_OUTPUT`, their numbers."""
    net = compressed(model, steps_json, seed)
    kept: dict[str, NDArray[Any]] = {}
    for call, sample in enumerate(_inputs.samples(net.inputs, batch, seed, _data.ROTATING_BATCHES)):
        with torch.no_grad():
            answer = net.module(*sample)
        parts = answer if isinstance(answer, tuple) else (answer,)
        kept |= {f"{call}_{i}": part.numpy() for i, part in enumerate(parts)}
        if sum(array.nbytes for array in kept.values()) >= REFERENCE_BYTES:
            break
    return kept


def calibration(
    spec: BuildSpec, net: FloatNet, known: tuple[str, ...] = ()
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the pictures to calibrate on, (M, C, H, W), M a multiple of the batch, and what is to
    be known of them besides what is `known`.

    Raises UserError if there are fewer than a batch.
    """
    split, source = _artifact.calibration(spec.model, net.data)
    read = _data.unlabelled(source, split, CALIBRATION_EXAMPLES, net.preprocess)
    _artifact.check_calibration(source, len(read.images), spec.batch)
    whole = len(read.images) // spec.batch * spec.batch
    notes = (f"of calibration: {note}" for note in read.notes if note not in known)
    return _load.inputs(net.preprocess, read.images[:whole]).numpy(), tuple(notes)
