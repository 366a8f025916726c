"""What all methods that train have in common: pictures, settings, and a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from paretomark.models.compress._step import Context
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._errors import UserError, unknown

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
MIXING = ("mixup", "cutmix")  # classes as well, which other tasks than classification have not


class Tuning(TypedDict, total=False):
    """How to train. A method takes them as `**tuning: Unpack[Tuning]`; DEFAULTS fill the rest."""

    epochs: int  # times that all pictures are seen
    lr: float  # at its highest: it warms up, then falls along a cosine
    count: int  # pictures of the train split
    batch: int  # pictures of a step
    augment: Sequence[str]  # what is done to pictures, of AUGMENT
    frozen_norm: bool  # batch normalisation keeps its statistics: few pictures make poor ones
    teacher: str  # a net of the zoo, on the same data, to learn from as well
    teacher_weights: str  # instead of those that the project ships
    temperature: float  # of the soft targets, see `paretomark.models.training._teacher`
    weight: float  # of what the teacher says in the loss, 0 to 1; the rest is of the labels


DEFAULTS = Tuning(
    epochs=1,
    lr=0.01,
    count=4000,
    batch=64,
    augment=(),
    frozen_norm=False,
    teacher="",
    teacher_weights="",
    temperature=4.0,
    weight=0.7,
)


def check(**tuning: Unpack[Tuning]) -> None:
    """Raise UserError for a value that cannot be."""
    t: Tuning = {**DEFAULTS, **tuning}
    for name in ("epochs", "lr", "count", "batch"):
        if t[name] <= 0:
            raise UserError(f"{name} must be positive, got {t[name]}")
    for name in t["augment"]:
        if name not in AUGMENT:
            raise unknown("augmentation", name, AUGMENT)
    if t["temperature"] <= 0 or not 0 <= t["weight"] <= 1:
        values = f"{t['temperature']}, {t['weight']}"
        raise UserError(f"temperature must be above 0, weight 0 to 1, got {values}")


def tune(
    net: nn.Module,
    ctx: Context,
    *,
    masks: dict[str, Tensor] | None = None,
    remask: Callable[[int, int], None] | None = None,
    **tuning: Unpack[Tuning],
) -> None:
    """Train `net` in place, by `training._train.fit`; by default its zeros stay zero."""
    from paretomark.models.data import _data
    from paretomark.models.training import _teacher, _train

    t: Tuning = {**DEFAULTS, **tuning}
    guide = None
    if t["teacher"]:
        teacher = _teacher.load(t["teacher"], t["teacher_weights"], ctx.preprocess, ctx.task)
        guide = _teacher.Teacher(teacher, t["temperature"], t["weight"])
    examples = _data.load(ctx.data, "train", t["count"], ctx.preprocess, ctx.task)
    changes: dict[str, Any] = {}
    for name in t["augment"]:
        changes |= AUGMENT[name]
    training = Training(
        epochs=t["epochs"],
        count=t["count"],
        batch=t["batch"],
        lr=t["lr"],
        seed=ctx.seed,
        frozen_norm=t["frozen_norm"],
        **changes,
    )
    _train.fit(
        net,
        examples.images,
        examples.labels,
        ctx.preprocess,
        training,
        task=ctx.task,
        mirrored=examples.mirrored,
        masks=zeros(net) if masks is None else masks,
        remask=remask,
        teacher=guide,
    )


def zeros(net: nn.Module) -> dict[str, Tensor]:
    """Return masks by name, 0 where a weight is zero, else 1, of parameters that have zeros."""
    return {
        name: (weight != 0).to(weight.dtype)
        for name, weight in net.named_parameters()
        if weight.ndim > 1 and not weight.all()
    }
