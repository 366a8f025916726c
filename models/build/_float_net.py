"""The float net of an order after the steps of its recipe, and the data that goes with it."""

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
from torch import nn

from paretomark.models.build import _artifact, _encode
from paretomark.models.build._artifact import CALIBRATION_EXAMPLES, Order
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.data._data import NOISE, Preprocess
from paretomark.models.nets import _load, _macs, _structure
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import RANDOM, Model, Pixels

REFERENCE_BYTES = 8 * 2**20  # of answers for every pixel; those for a picture always fit


@dataclasses.dataclass(frozen=True)
class Float:
    """The float net after the steps of a recipe, and what is known of it."""

    net: nn.Module
    task: str
    data: str
    scored: bool  # whether the data has classes that the net was trained for
    weights: str  # which they are
    digest: str  # of them all, before the steps
    structure: str  # digest of what it computes, before the steps
    preprocess: Preprocess
    parameters: int
    nonzeros: int
    macs: int
    encoded_bytes: int | None  # of the parameters, losslessly encoded; None if all are random
    steps_s: float  # processor time that the steps took, training included


@lru_cache(maxsize=1)  # the formats and precisions of one net are ordered one after the other
def compressed(model_json: str, steps_json: str, seed: int) -> Float:
    """The trained net after the steps. Arguments are JSON so that they can be remembered."""
    model = _model(json.loads(model_json))
    loaded = _load.load(model, seed)
    digest, structure = _load.digest(loaded.module), _structure.structure(loaded.module)
    net, task, preprocess = loaded.module, loaded.task, loaded.preprocess
    data = loaded.data or NOISE
    steps_s = 0.0
    if steps := json.loads(steps_json):
        ctx = _step.Context(data, preprocess, seed, task)
        kept = _artifact.net(model, steps, seed) / "net.pt"
        net, steps_s = _kept(kept) or _keep(_step.compress(net, steps, ctx), kept)
    # litert-torch writes weights in their order in memory: from channels-last ones, which training
    # prefers, it makes a file with wrong answers and no error.
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    named = {name: p.detach() for name, p in net.named_parameters()}
    parameters = named.values()
    return Float(
        net=net,
        task=task,
        data=data,
        scored=data != NOISE and model.weights != RANDOM,
        weights=loaded.weights,
        digest=digest,
        structure=structure,
        preprocess=preprocess,
        parameters=sum(p.numel() for p in parameters),
        nonzeros=sum(int(p.count_nonzero()) for p in parameters),
        macs=_macs.macs(net, preprocess),
        encoded_bytes=_encoded_bytes(named) if steps or model.weights != RANDOM else None,
        steps_s=steps_s,
    )


def _encoded_bytes(named: Mapping[str, torch.Tensor]) -> int:
    # Pruning by a product leaves -0.0, which the encoder keeps as another number.
    return len(_encode.encode({name: (p + 0.0).numpy() for name, p in named.items()}))


def _model(table: dict[str, Any]) -> Model:
    pixels = table.pop("preprocess")
    return Model(**table, preprocess=Pixels(**pixels) if pixels else None)


def _keep(made: tuple[nn.Module, float], file: Path) -> tuple[nn.Module, float]:
    """Keep a net for the formats that are asked for later: training it again may take long."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.stem}.{os.getpid()}.part")
    torch.save(made, part)
    part.replace(file)
    return made


def _kept(file: Path) -> tuple[nn.Module, float] | None:
    """What `_keep` kept. It is a pickle, and trusted as far as the cache itself is."""
    if not file.exists():
        return None
    made: tuple[nn.Module, float] = torch.load(file, weights_only=False)
    return made


def prepare(spec: str, preprocess: Preprocess, count: int, task: str) -> tuple[Path, Path]:
    """Test pictures at the net's size, as .npy files that a visit streams."""
    folder = _artifact.prepared(spec, preprocess, count, task)
    if not folder.exists():
        examples = _data.load(spec, "test", count, preprocess, task)
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
def answers(
    model_json: str, steps_json: str, seed: int, pictures: Path
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What the float net says of every test picture, or of as many as REFERENCE_BYTES hold."""
    known = compressed(model_json, steps_json, seed)
    images = np.load(pictures, mmap_mode="r")
    batches: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    with torch.no_grad():
        for i in range(0, len(images), 64):
            answer = known.net(_load.inputs(known.preprocess, images[i : i + 64])).numpy()
            batches.append(answer.astype(np.float32))
            if (i + 64) * answer[0].nbytes >= REFERENCE_BYTES:
                break
    return np.concatenate(batches)


def calibration(order: Order, known: Float) -> np.ndarray[Any, np.dtype[np.float32]]:
    spec = order.model.calibration
    split: _data.Split = "test" if spec == "test" else "calibration"
    source = known.data if spec in ("", "test") else spec
    images = _data.pictures(source, split, CALIBRATION_EXAMPLES, known.preprocess)
    whole = len(images) // order.batch * order.batch
    if not whole:
        raise UserError(f"{source}: {len(images)} pictures to calibrate on are fewer than a batch")
    return _load.inputs(known.preprocess, images[:whole]).numpy()
