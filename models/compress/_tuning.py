"""What all methods that train have in common: pictures, settings, and a teacher."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from paretomark.models import _zoo
from paretomark.models._zoo import Training
from paretomark.models.compress._step import Context
from paretomark.suites._errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

AUGMENT: dict[str, dict[str, Any]] = {
    "crop": {"shift": 4},
    "flip": {"flip": True},
    "colour": {"colour": 0.2},
    "cutout": {"cutout": 8},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}


class Tuning(TypedDict, total=False):
    """How to train. A method takes them as `**tuning: Unpack[Tuning]`; `tune` has the defaults."""

    epochs: int
    lr: float
    count: int  # pictures of the train split
    augment: Sequence[str]  # of AUGMENT
    frozen_norm: bool  # batch normalisation keeps its statistics: few pictures make poor ones
    teacher: str  # a net of the zoo, on the same data, to learn from as well
    teacher_weights: str  # instead of those that the project ships
    temperature: float  # of the soft targets, see `paretomark.models._train.Teacher`
    weight: float


def check(
    *,
    epochs: int = 1,
    lr: float = 0.01,
    count: int = 4000,
    augment: Sequence[str] = (),
    frozen_norm: bool = False,
    teacher: str = "",
    teacher_weights: str = "",
    temperature: float = 4.0,
    weight: float = 0.7,
) -> None:
    """Raise UserError for a value that cannot be, or a teacher that is not there."""
    if epochs < 1 or lr <= 0 or count < 1:
        raise UserError(f"epochs, lr and count must be positive, got {epochs}, {lr}, {count}")
    for name in augment:
        if name not in AUGMENT:
            raise unknown("augmentation", name, AUGMENT)
    if temperature <= 0 or not 0 <= weight <= 1:
        raise UserError(f"temperature must be above 0, weight 0 to 1, got {temperature}, {weight}")
    if not teacher:
        return
    if teacher not in _zoo.names():
        raise unknown("teacher", teacher, _zoo.names())
    if not (file := weights_of(teacher, teacher_weights)).exists():
        raise UserError(f"the teacher's weights are missing: {file}; name some by teacher_weights")


def weights_of(teacher: str, teacher_weights: str) -> Path:
    """The trained weights of a teacher."""
    return Path(teacher_weights) if teacher_weights else _zoo.weights(teacher)


def tune(
    net: nn.Module,
    ctx: Context,
    *,
    epochs: int = 1,
    lr: float = 0.01,
    count: int = 4000,
    augment: Sequence[str] = (),
    frozen_norm: bool = False,
    teacher: str = "",
    teacher_weights: str = "",
    temperature: float = 4.0,
    weight: float = 0.7,
    masks: dict[str, Tensor] | None = None,
    remask: Callable[[int, int], None] | None = None,
) -> None:
    """Train `net` in place, by `paretomark.models._train.fit`; by default its zeros stay zero."""
    from paretomark.models import _data, _train

    guide = None
    if teacher:
        guide = _train.Teacher(_teacher(teacher, teacher_weights, ctx), temperature, weight)
    examples = _data.load(ctx.data, "train", count, ctx.preprocess)
    changes: dict[str, Any] = {}
    for name in augment:
        changes |= AUGMENT[name]
    training = Training(
        epochs=epochs, count=count, lr=lr, seed=ctx.seed, frozen_norm=frozen_norm, **changes
    )
    _train.fit(
        net,
        examples.images,
        examples.labels,
        ctx.preprocess,
        training,
        masks=zeros(net) if masks is None else masks,
        remask=remask,
        teacher=guide,
    )


def zeros(net: nn.Module) -> dict[str, Tensor]:
    """By name, 0 where a weight is zero and 1 elsewhere, of the parameters that have zeros."""
    return {
        name: (weight != 0).to(weight.dtype)
        for name, weight in net.named_parameters()
        if weight.ndim > 1 and not weight.all()
    }


def _teacher(name: str, file: str, ctx: Context) -> nn.Module:
    from safetensors.torch import load_file

    plugin = importlib.import_module(f"paretomark.models.{name}")
    if ctx.preprocess != plugin.PREPROCESS:
        wants = f"{plugin.PREPROCESS}, not {ctx.preprocess}"
        raise UserError(f"teacher {name} wants its pictures as {wants}")
    net: nn.Module = plugin.net().eval()
    net.load_state_dict(load_file(weights_of(name, file)))
    return net.requires_grad_(False)
