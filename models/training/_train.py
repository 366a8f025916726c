"""Training: the recipe in a net's file to the weights that the project ships."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.models.nets import _zoo
from paretomark.models.nets._zoo import Training
from paretomark.models.training import _augment, _checkpoint, _teacher
from paretomark.models.training._teacher import Teacher
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks import _task
from paretomark.suites.tasks._task import CLASSIFICATION

Report = Callable[[int, int, float, float], None]


def silent(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    """Report nothing. `epoch` counts from 1, `accuracy` is that of training."""


def train(
    name: str,
    out: Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    report: Report = silent,
) -> float:
    """Train a net of the zoo by its TRAIN, write its weights to `out`, return its test accuracy,
    by the measure of its task.

    `epochs` and `seed` replace those of the recipe. `out` becomes a safetensors file, whole or not
    at all, whose metadata say how it was made. A training that was stopped goes on from its last
    whole epoch, and ends in the same weights as if it had not been (`_checkpoint.py`). Raises
    UserError for an unknown net or one without a recipe.
    """
    file = _zoo.module(name)
    if not hasattr(file, "TRAIN"):
        raise UserError(f"net '{name}' has no recipe; add a TRAIN to {_plugins.file('nets', name)}")
    recipe: Training = file.TRAIN
    recipe = replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        seed=recipe.seed if seed is None else seed,
    )
    task = _zoo.task(name)
    pictures = _data.load(file.DATA, "train", recipe.count, file.PREPROCESS, task)
    guide = None
    if recipe.teacher:
        guide = Teacher(_teacher.load(recipe.teacher, "", file.PREPROCESS, task))
    checkpoint = _checkpoint.checkpoint_file(name, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net: nn.Module = file.net()
        fit(
            net,
            pictures.images,
            pictures.labels,
            file.PREPROCESS,
            recipe,
            task=task,
            mirrored=pictures.mirrored,
            teacher=guide,
            report=report,
            checkpoint=checkpoint,
        )
    test = _data.load(file.DATA, "test", None, file.PREPROCESS, task)
    reached = accuracy(net, test.images, test.labels, file.PREPROCESS, task)
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
    checkpoint.unlink(missing_ok=True)
    return reached


def fit(
    net: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    preprocess: Preprocess,
    training: Training,
    *,
    task: str = CLASSIFICATION,
    mirrored: tuple[int, ...] = (),
    masks: dict[str, Tensor] | None = None,
    remask: Callable[[int, int], None] | None = None,
    teacher: Teacher | None = None,
    report: Report = silent,
    checkpoint: Path | None = None,
) -> None:
    """Train `net` in place on pictures uint8 (N, H, W, C), and leave it ready for evaluation.

    `labels` and `mirrored` are those of `Examples`; all pictures are used, whatever
    `training.count` says, and `training.teacher` is not read. `masks` gives, by parameter name, 0/1
    tensors of the parameter's shape: where they are 0, weights are and stay exactly 0.
    `remask(step, steps)` is called in every step before the weights move, while `.grad` is that of
    the dense net, and may change the masks in place. A `checkpoint` is gone on from if it is there,
    and written after every epoch. Raises ValueError for a mask that fits no parameter, and
    UserError for an augmentation that the task cannot have.
    """
    parameters = dict(net.named_parameters())
    _check(masks, parameters, training, task)
    optimiser = _optimiser(parameters, training)
    rng = np.random.default_rng(training.seed)
    examples = Examples(images, labels, mirrored)
    batches = max(1, len(images) // training.batch)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    if training.frozen_norm:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    _apply(masks, parameters)
    told = _checkpoint.restore(checkpoint, net, optimiser, rng) if checkpoint else {}
    losses: list[float] = told.get("losses", [])
    for epoch in range(len(losses), training.epochs):
        if _flat(losses, training.patience):
            break
        loss_sum = right = 0.0
        for step, chosen in enumerate(np.array_split(rng.permutation(len(images)), batches)):
            for group in optimiser.param_groups:
                group["lr"] = _rate(training, epoch * batches + step, batches)
            loss, good = _loss_of(net, examples, chosen, preprocess, training, task, teacher, rng)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if remask:
                remask(epoch * batches + step, training.epochs * batches)
            _mask_gradients(masks, parameters)
            optimiser.step()
            _apply(masks, parameters)
            loss_sum += loss.item() * len(chosen)
            right += good
        losses.append(loss_sum / len(images))
        if checkpoint:
            _checkpoint.save(checkpoint, net, optimiser, rng, {"losses": losses})
        report(epoch + 1, training.epochs, losses[-1], right / len(images))
    net.eval()


def _loss_of(
    net: nn.Module,
    examples: Examples,
    chosen: NDArray[np.int64],
    preprocess: Preprocess,
    training: Training,
    task: str,
    teacher: Teacher | None,
    rng: np.random.Generator,
) -> tuple[Tensor, float]:
    """The loss of a batch, and the sum of its scores."""
    images, labels = examples.images[chosen], examples.labels[chosen]
    images, labels = _augment.augment(images, labels, training, rng, examples.mirrored)
    images, partners, share = _augment.mix(images, training, rng)
    x, truth, size = _tensor(images, preprocess), torch.from_numpy(labels), images.shape[1:3]
    answers = net(x)
    measure = _task.module(task)
    loss = share * measure.loss(answers, truth, size)
    if share < 1:
        loss += (1 - share) * measure.loss(answers, truth[partners], size)
    if teacher:
        with torch.no_grad():
            taught = teacher.net(x)
        if taught.shape != answers.shape and taught.shape[1] != 1 != answers.shape[1]:
            its, own = tuple(taught.shape[1:]), tuple(answers.shape[1:])
            raise UserError(
                f"the teacher answers with {its} for a picture, and its pupil with {own}: name a "
                "teacher of the same classes"
            )
        far = measure.distance(answers, taught, teacher.temperature)
        loss = (1 - teacher.weight) * loss + teacher.weight * far
    return loss, _scores(task, answers, truth, size)


def _scores(task: str, answers: Tensor, truth: Tensor, size: tuple[int, int]) -> float:
    """The sum over the pictures of the measure of the task, each 0..1; 0 of one without a label."""
    scores = _task.module(task).scores(answers.detach().numpy(), truth.numpy(), size)
    return float(np.nansum(scores))


def accuracy(
    net: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    preprocess: Preprocess,
    task: str = CLASSIFICATION,
) -> float:
    """Return the mean over the pictures, 0..1, of the measure of the task."""
    net.eval()
    total, size = 0.0, images.shape[1:3]
    with torch.inference_mode():
        for at in range(0, len(images), 250):
            answers = net(_tensor(images[at : at + 250], preprocess))
            truth = torch.from_numpy(labels[at : at + 250])
            total += _scores(task, answers, truth, size)
    return total / len(images)


def _check(
    masks: dict[str, Tensor] | None,
    parameters: dict[str, nn.Parameter],
    training: Training,
    task: str,
) -> None:
    for name, mask in (masks or {}).items():
        if name not in parameters or parameters[name].shape != mask.shape:
            raise ValueError(f"mask '{name}' {tuple(mask.shape)} fits no parameter of the net")
    mixed = training.mixup or training.cutmix
    if mixed and not getattr(_task.module(task), "MIXES", False):
        raise UserError(f"mixup and cutmix mix the classes of pictures; {task} has none")


def _optimiser(parameters: dict[str, nn.Parameter], training: Training) -> torch.optim.SGD:
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    return torch.optim.SGD(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.lr,
        momentum=training.momentum,
    )


def _flat(losses: list[float], patience: int) -> bool:
    """Whether none of the last `patience` epochs got 1 % below the least loss before them."""
    if not patience or len(losses) <= patience:
        return False
    return min(losses[-patience:]) > 0.99 * min(losses[:-patience])


def _rate(training: Training, step: int, batches: int) -> float:
    """The learning rate of a step; a run of a few epochs warms up for a fifth of its steps."""
    steps = training.epochs * batches
    warm = min(batches, max(1, steps // 5))
    if step < warm:
        return training.lr * (step + 1) / warm
    return training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def _tensor(images: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    """The net's input (N, C, H, W), channels last in memory."""
    return torch.from_numpy(_data.normalise(preprocess, images)).permute(0, 3, 1, 2)


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
