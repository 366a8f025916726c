"""The float net of an order after the steps of its recipe, and the data that goes with it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from paretomark.models import _artifact, _data, _encode, _zoo
from paretomark.models._artifact import CALIBRATION_EXAMPLES, Order
from paretomark.models._data import Preprocess
from paretomark.models.compress import _step
from paretomark.suites._errors import UserError
from paretomark.suites._suite import Model, Pixels

REFERENCE_BYTES = 8 * 2**20  # of answers for every pixel; those for a picture always fit


@dataclasses.dataclass(frozen=True)
class Float:
    """The float net after the steps of a recipe, and what is known of it."""

    net: nn.Module
    task: str
    data: str
    preprocess: Preprocess
    parameters: int
    nonzeros: int
    macs: int
    encoded_bytes: int  # of the parameters, losslessly encoded by `_encode`
    steps_s: float  # processor time that the steps took, training included


@lru_cache(maxsize=1)  # the formats and precisions of one net are ordered one after the other
def compressed(model_json: str, steps_json: str, seed: int) -> Float:
    """The trained net after the steps. Arguments are JSON so that they can be remembered."""
    table = json.loads(model_json)
    weights = Path(table["weights"]) if table["weights"] else None
    plugin = importlib.import_module(f"paretomark.models.{table['net']}")
    net: nn.Module = plugin.net().eval()
    _load(net, weights or _artifact.weights(Model(net=table["net"])))
    pixels = table["preprocess"]
    preprocess = declared(Pixels(**pixels)) if pixels else plugin.PREPROCESS
    data, task = table["data"] or plugin.DATA, _zoo.task(table["net"])
    steps_s = 0.0
    if steps := json.loads(steps_json):
        ctx = _step.Context(data, preprocess, seed, task)
        kept = _artifact.net(Model(**table), steps, seed) / "net.pt"
        net, steps_s = _kept(kept) or _keep(_stepped(net, steps, ctx), kept)
    # litert-torch writes weights in their order in memory: from channels-last ones, which training
    # prefers, it makes a file with wrong answers and no error.
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    channels = len(preprocess.mean)
    sample = torch.zeros(1, channels, *preprocess.size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(sample)
    named = {name: p.detach() for name, p in net.named_parameters()}
    parameters = named.values()
    return Float(
        net=net,
        task=task,
        data=data,
        preprocess=preprocess,
        parameters=sum(p.numel() for p in parameters),
        nonzeros=sum(int(p.count_nonzero()) for p in parameters),
        macs=counter.get_total_flops() // 2,
        # Pruning by a product leaves -0.0, which the encoder keeps as another number.
        encoded_bytes=len(_encode.encode({name: (p + 0.0).numpy() for name, p in named.items()})),
        steps_s=steps_s,
    )


def _stepped(
    net: nn.Module, steps: list[dict[str, Any]], ctx: _step.Context
) -> tuple[nn.Module, float]:
    start = time.process_time()
    for step in steps:
        net = _step.apply(net, step, ctx).eval()
    return net.requires_grad_(False), time.process_time() - start


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
            answer = known.net(inputs(known.preprocess, images[i : i + 64])).numpy()
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
    return inputs(known.preprocess, images[:whole]).numpy()


def inputs(preprocess: Preprocess, images: Any) -> torch.Tensor:
    """Pictures as the net wants them: float32 (N, C, H, W)."""
    pixels = torch.from_numpy(preprocess.normalise(np.asarray(images)))
    return pixels.permute(0, 3, 1, 2).contiguous()


def declared(pixels: Pixels) -> Preprocess:
    if len(pixels.size) != 2 or pixels.order not in ("rgb", "bgr"):
        raise UserError(
            f"preprocess needs size = [height, width] and order rgb or bgr, got {pixels}"
        )
    size = (pixels.size[0], pixels.size[1])
    order: Any = pixels.order
    return Preprocess(size, tuple(pixels.mean), tuple(pixels.std), order, pixels.crop)
