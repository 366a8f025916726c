"""Training: the recipe in a net's file to the weights that the project ships."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models import _augment, _data, _zoo
from paretomark.models._data import Preprocess
from paretomark.models._zoo import Training
from paretomark.suites._errors import UserError, unknown

Report = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class Teacher:
    """A net to learn from besides the labels (Hinton et al., 2015): soft targets.

    The loss is (1 - weight) x cross-entropy + weight x temperature^2 x KL(teacher, net), the
    logits of both divided by the temperature.
    """

    net: nn.Module
    temperature: float = 4.0
    weight: float = 0.7


def silent(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    """The report that says nothing; `epoch` counts from 1, `accuracy` is that of training."""


def train(
    name: str,
    out: Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    report: Report = silent,
) -> float:
    """Train a net of the zoo by its TRAIN, write its weights to `out`, return its test accuracy.

    `epochs` and `seed` replace those of the recipe. `out` becomes a safetensors file, whole or not
    at all, whose metadata say how it was made. Raises UserError for an unknown net or one without
    a recipe.
    """
    if name not in _zoo.names():
        raise unknown("net", name, _zoo.names())
    file = importlib.import_module(f"paretomark.models.{name}")
    if not hasattr(file, "TRAIN"):
        raise UserError(f"net '{name}' has no recipe; add a TRAIN to models/{name}.py")
    recipe: Training = file.TRAIN
    recipe = replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        seed=recipe.seed if seed is None else seed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net: nn.Module = file.net()
    pictures = _data.load(file.DATA, "train", recipe.count, file.PREPROCESS)
    fit(net, pictures.images, pictures.labels, file.PREPROCESS, recipe, report=report)
    test = _data.load(file.DATA, "test", None, file.PREPROCESS)
    reached = accuracy(net, test.images, test.labels, file.PREPROCESS)
    _save(
        net,
        out,
        {
            "recipe": json.dumps(asdict(recipe), sort_keys=True),
            "seed": str(recipe.seed),
            "test_accuracy": f"{reached:.4f}",
            "torch": torch.__version__,
        },
    )
    return reached


def fit(
    net: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    preprocess: Preprocess,
    training: Training,
    *,
    masks: dict[str, Tensor] | None = None,
    remask: Callable[[int, int], None] | None = None,
    teacher: Teacher | None = None,
    report: Report = silent,
) -> None:
    """Train `net` in place on pictures uint8 (N, H, W, C), and leave it ready for evaluation.

    `training.count` is not read: all pictures are used. `masks` gives, by parameter name, 0/1
    tensors of the parameter's shape: where they are 0, weights are and stay exactly 0.
    `remask(step, steps)` is called in every step before the weights move, while `.grad` is that of
    the dense net, and may change the masks in place. Raises ValueError for a mask that fits no
    parameter.
    """
    parameters = dict(net.named_parameters())
    for name, mask in (masks or {}).items():
        if name not in parameters or parameters[name].shape != mask.shape:
            raise ValueError(f"mask '{name}' {tuple(mask.shape)} fits no parameter of the net")
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    optimiser = torch.optim.SGD(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.lr,
        momentum=training.momentum,
    )
    rng = np.random.default_rng(training.seed)
    batches = max(1, len(images) // training.batch)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    if training.frozen_norm:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    _apply(masks, parameters)
    for epoch in range(training.epochs):
        loss_sum, correct = 0.0, 0
        for step, chosen in enumerate(np.array_split(rng.permutation(len(images)), batches)):
            for group in optimiser.param_groups:
                group["lr"] = _rate(training, epoch * batches + step, batches)
            changed = _augment.augment(images[chosen], training, rng)
            mixed, partners, share = _augment.mix(changed, training, rng)
            x = _tensor(mixed, preprocess)
            target = torch.from_numpy(labels[chosen])
            logits = net(x)
            loss = share * functional.cross_entropy(logits, target, label_smoothing=0.1)
            if share < 1:
                other = torch.from_numpy(labels[chosen][partners])
                loss += (1 - share) * functional.cross_entropy(logits, other, label_smoothing=0.1)
            if teacher:
                loss = _taught(loss, logits, x, teacher)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if remask:
                remask(epoch * batches + step, training.epochs * batches)
            _mask_gradients(masks, parameters)
            optimiser.step()
            _apply(masks, parameters)
            loss_sum += loss.item() * len(chosen)
            correct += int((logits.argmax(1) == target).sum())
        report(epoch + 1, training.epochs, loss_sum / len(images), correct / len(images))
    net.eval()


def accuracy(
    net: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], preprocess: Preprocess
) -> float:
    """The share, 0..1, of pictures whose largest logit is that of their label."""
    net.eval()
    correct = 0
    with torch.inference_mode():
        for at in range(0, len(images), 250):
            logits = net(_tensor(images[at : at + 250], preprocess))
            correct += int((logits.argmax(1) == torch.from_numpy(labels[at : at + 250])).sum())
    return correct / len(images)


def _taught(loss: Tensor, logits: Tensor, x: Tensor, teacher: Teacher) -> Tensor:
    with torch.no_grad():
        soft = functional.log_softmax(teacher.net(x) / teacher.temperature, 1)
    mine = functional.log_softmax(logits / teacher.temperature, 1)
    distance = functional.kl_div(mine, soft, reduction="batchmean", log_target=True)
    return (1 - teacher.weight) * loss + teacher.weight * teacher.temperature**2 * distance


def _rate(training: Training, step: int, batches: int) -> float:
    """The learning rate of a step; a run of a few epochs warms up for a fifth of its steps."""
    steps = training.epochs * batches
    warm = min(batches, max(1, steps // 5))
    if step < warm:
        return training.lr * (step + 1) / warm
    return training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def _tensor(images: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    """The net's input (N, C, H, W), channels last in memory."""
    return torch.from_numpy(preprocess.normalise(images)).permute(0, 3, 1, 2)


def _mask_gradients(masks: dict[str, Tensor] | None, parameters: dict[str, nn.Parameter]) -> None:
    """Lest momentum gathers for a weight that is not there, and bursts when it is grown."""
    for name, mask in (masks or {}).items():
        gradient = parameters[name].grad
        if gradient is not None:
            gradient.mul_(mask)


def _apply(masks: dict[str, Tensor] | None, parameters: dict[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for name, mask in (masks or {}).items():
            parameters[name].mul_(mask)


def _save(net: nn.Module, out: Path, metadata: dict[str, str]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(save({k: v.contiguous() for k, v in net.state_dict().items()}, metadata))
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
