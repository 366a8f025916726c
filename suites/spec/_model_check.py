"""What cannot be in a `[model.NAME]` of a suite, as far as its text alone tells."""

from __future__ import annotations

from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._model import Input, Model, Preprocess

_READ = ("label_offset", "answers", "threshold")  # how its answers are scored


def check(model: Model, where: str) -> None:
    """Raise UserError for a model that cannot be."""
    if model.label_offset < 0:
        raise UserError(f"{where}: label_offset must be at least 0, got {model.label_offset}")
    if model.task and model.kind not in ("file", "python"):
        raise UserError(f"{where}: a net of the zoo has its own task; leave it out")
    if model.task and model.task not in _plugins.names("tasks"):
        raise unknown("task", model.task, _plugins.names("tasks"), where)
    if model.preprocess:
        _check_preprocess(model.preprocess, where)
    if model.declared:
        _check_declared(model, where)
    for name, declared in model.inputs.items():
        _check_input(declared, f"{where}, inputs.{name}")


def _check_preprocess(preprocess: Preprocess, where: str) -> None:
    size, mean, std = (list(v) for v in (preprocess.size, preprocess.mean, preprocess.std))
    if min(size) < 1:
        raise UserError(f"{where}: preprocess needs size = [height, width], got {size}")
    if not mean or len(mean) != len(std) or 0 in std:
        what = "one number per channel each, in std none of them 0"
        raise UserError(f"{where}: mean and std of preprocess are {what}, got {mean} and {std}")
    if preprocess.crop is not None and not 0 < preprocess.crop <= 1:
        crop = f"above 0 and at most 1, got {preprocess.crop}"
        raise UserError(f"{where}: crop of preprocess is {crop}")


def _check_declared(model: Model, where: str) -> None:
    """Raise UserError for a net with inputs that cannot have them, or for what it has besides."""
    if model.kind != "python":
        forms = 'net = "file:PATH" or net = "python:PATH.py:FUNCTION"'
        raise UserError(f"{where}: inputs can be declared for files and functions only: {forms}")
    for key in ("data", "calibration", "preprocess", "task", *_READ):
        if getattr(model, key) != getattr(Model(), key):
            raise UserError(
                f"{where}: a net with inputs is timed, and not scored: leave out {key}, or the "
                "inputs where pictures fill the only one"
            )


def _check_input(declared: Input, where: str) -> None:
    if any(isinstance(n, int) and n < 1 and n != -1 for n in declared.shape):
        may = 'at least 1, or -1 for the batch, or "length"'
        raise UserError(f"{where}: sizes are {may}, got {list(declared.shape)}")
    low, high = declared.range
    if low > high:
        raise UserError(
            f"{where}: range goes from the least number to the greatest, got {low, high}"
        )
