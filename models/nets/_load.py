"""From the name of a net to the net itself, with its weights: the one place that does that.

NAME                        a file of this folder, see `_zoo.py`
timm:NAME, torchvision:NAME of a library, see `_libraries.py`
python:PATH.py:FUNCTION     a function of the user's own, which returns an nn.Module
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from paretomark.models.data import _data
from paretomark.models.nets import _answer, _inputs, _libraries, _random, _sound, _weights, _zoo
from paretomark.suites.spec._errors import UserError, at, explained
from paretomark.suites.spec._model import RANDOM, Input, Model, Preprocess

PICTURES = 16  # to draw random weights for


@dataclasses.dataclass(frozen=True)
class Net:
    """A net in evaluation mode, float32 (N, C, H, W) to logits, and how it wants to see pictures.

    With declared `inputs`, in the order in which it takes them, it sees none, and answers with a
    tensor or a tuple of them. `data` is "" where neither suite nor net name a data set; `weights`
    says which they are; `warnings` what a reader must know of the net.
    """

    module: nn.Module
    preprocess: Preprocess
    data: str
    task: str
    weights: str
    warnings: tuple[str, ...] = ()
    inputs: dict[str, Input] = dataclasses.field(default_factory=dict)


def load(model: Model, seed: int, several: str = _answer.DECLARE) -> Net:
    """Return the net of a model with its weights; `several` says what to do about several outputs.

    Raises UserError if there is no such, if none fit, or if its answers would mean nothing, see
    `_sound.py`.
    """
    sow(seed)
    what = _zoo.split(model.net)
    net, preprocess, data, weights = _bare(model, what)
    warnings = () if what.kind in _libraries.NAMES else _sound.floats(net)
    if model.weights not in ("", RANDOM) or not (model.weights or what.kind):
        file = Path(model.weights) if model.weights else _zoo.weights(what.name)
        _weights.fill(net, file)
        weights = file.name
    if what.kind in _libraries.NAMES:
        net = _libraries.plain(net)
    net.eval()
    task = model.task or _zoo.task(model.net)
    with at(model.name or model.net):
        if model.declared:
            net, declared, more = _of_inputs(net, model, seed)
            weights = f"random, seed {seed}" if model.weights == RANDOM else weights
            return Net(net, preprocess, "", task, weights, warnings + more, declared)
        if what.kind == "python":
            preprocess = _followed(net, preprocess)
        net, more = _of_pictures(net, preprocess, model, what, seed, several)
    if model.weights == RANDOM:
        weights, data = f"random, seed {seed}", ""
    return Net(net, preprocess, model.data or data, task, weights, warnings + more)


def _bare(model: Model, what: _zoo.Name) -> tuple[nn.Module, Preprocess, str, str]:
    """The net as it is made, what it wants of pictures, its data, and what its weights are."""
    trained = not model.weights
    if what.kind in _libraries.NAMES:
        entry = _libraries.entry(what.kind, what.name, what.size)
        net, preprocess, data = _of_library(model.net, entry, trained), entry.preprocess, ""
        weights = f"{what.kind}'s {entry.weights}" if trained else ""
    elif what.kind == "python":
        net, weights = of_function(what.name), "the function's own" if trained else ""
        preprocess, data = Preprocess((0, 0)), ""
    else:
        plugin = _zoo.module(what.name)
        net, preprocess, data = plugin.net(), plugin.PREPROCESS, plugin.DATA
        weights = ""
    if model.preprocess:
        preprocess = model.preprocess
    if what.size:
        preprocess = dataclasses.replace(preprocess, size=what.size)
    if not all(preprocess.size) and not model.declared:
        raise UserError(
            f"{model.name or model.net}: declare how pictures are prepared, as in "
            "preprocess = { size = [224, 224] }, or what else it takes, by inputs"
        )
    return net, preprocess, data, weights


def _of_pictures(
    net: nn.Module,
    preprocess: Preprocess,
    model: Model,
    what: _zoo.Name,
    seed: int,
    several: str,
) -> tuple[nn.Module, tuple[str, ...]]:
    """A net that is given pictures, and warnings."""
    warnings: tuple[str, ...] = ()
    known = what.kind in _libraries.NAMES and not model.output
    sample, other = pictures(preprocess, 4).chunk(2)
    if what.size or not known:
        _try(net, sample)
    if not known:
        net, warnings = _answer.single(net, sample, model.output, several)
    warnings += _sound.plain(net, sample)
    if model.weights == RANDOM:
        _random.initialise(net, pictures(preprocess, PICTURES), seed)
    _sound.finite(net)
    if not known and (why := _sound.unsteady(net, sample, other)):
        raise UserError(f"the net's answers in evaluation are {why}")
    return net, warnings


def _of_inputs(
    net: nn.Module, model: Model, seed: int
) -> tuple[nn.Module, dict[str, Input], tuple[str, ...]]:
    """A net that is run with declared inputs, these in its order, and warnings."""
    declared = _inputs.ordered(net, model.inputs)
    sample, other = _inputs.samples(declared, 2, seed, 2)
    _inputs.check(net, declared, sample)
    net = _answer.every(net, sample, model.output)
    warnings = _sound.plain(net, *sample)
    if model.weights == RANDOM:
        _random.initialise(net, sample, seed)
    _sound.finite(net)
    if why := _sound.erratic(net, sample, other):
        raise UserError(f"the net's answers in evaluation are {why}")
    return net, declared, warnings


def _followed(net: nn.Module, preprocess: Preprocess) -> Preprocess:
    """What is declared, but of one channel where the net takes grey pictures only and nothing is
    said of channels."""
    plain = Preprocess(preprocess.size)
    if (preprocess.mean, preprocess.std) != (plain.mean, plain.std):
        return preprocess
    grey = dataclasses.replace(preprocess, mean=plain.mean[:1], std=plain.std[:1])
    return grey if not _takes(net, preprocess) and _takes(net, grey) else preprocess


def _takes(net: nn.Module, preprocess: Preprocess) -> bool:
    try:
        with torch.no_grad():
            net(pictures(preprocess, 2))
    except Exception:  # whatever the net raises
        return False
    return True


def _try(net: nn.Module, sample: torch.Tensor) -> None:
    """Raise UserError if a net cannot have its input."""
    try:
        with torch.no_grad():
            net(sample)
    except Exception as error:
        why = explained(error, 200)
        shape = f"float32 {tuple(sample.shape)}"
        raise UserError(
            f"the net does not take an input of this size, {shape} ({why}): the size is that of "
            "preprocess.size, and the channels are as many as preprocess.mean has numbers; what "
            "takes no pictures is declared by inputs"
        ) from None


def sow(seed: int) -> None:
    """Seed all that a function of the user's may draw weights from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def digest(net: nn.Module) -> str:
    """Return the sha256 of all weights of a net, with names and shapes, in the order of their
    names."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def inputs(preprocess: Preprocess, images: Any) -> torch.Tensor:
    """Return pictures as the net wants them: float32 (N, C, H, W)."""
    pixels = torch.from_numpy(_data.normalise(preprocess, np.asarray(images)))
    return pixels.permute(0, 3, 1, 2).contiguous()


def pictures(preprocess: Preprocess, count: int) -> torch.Tensor:
    """Return pictures of noise as the net wants them, the same in every run."""
    return inputs(preprocess, _data.load("noise", "calibration", count, preprocess).images)


def _of_library(net: str, entry: _libraries.Entry, trained: bool) -> nn.Module:
    if trained and not entry.weights:
        raise UserError(f"there are no trained weights of {net}: {_libraries.INSTEAD}")
    if trained and net in _unreachable:  # every attempt may take a minute, and formats are many
        raise UserError(_unreachable[net])
    try:
        return entry.build(trained)
    except UserError:
        raise
    except Exception as error:
        if not trained:
            raise
        why = " ".join(str(error).split())[:200]
        _unreachable[net] = (
            f"the weights of {net} ({entry.weights}) cannot be loaded ({why}). With a network they "
            f"are fetched once; without one, {_libraries.INSTEAD}"
        )
        raise UserError(_unreachable[net]) from None


_unreachable: dict[str, str] = {}  # weights that could not be loaded, and why


def of_function(spec: str) -> nn.Module:
    """Return what `PATH.py:FUNCTION` returns. Its folder is on the path, as if it were run from
    there. Raises UserError if it is no net, and whatever the function raises."""
    path, function = _zoo.python(spec)
    name = f"paretomark_user_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    _enter(path.parent)
    sys.path.insert(0, str(path.parent))
    try:
        if name not in sys.modules:
            _import(name, path)
        if not callable(make := getattr(sys.modules[name], function, None)):
            raise UserError(f"python:{spec}: {path.name} has no function '{function}'")
        net = make()
    finally:
        with contextlib.suppress(ValueError):  # if the user's code took it away
            sys.path.remove(str(path.parent))
    if not isinstance(net, nn.Module):
        raise UserError(f"{spec} must return an nn.Module, not {type(net).__name__}")
    return net


def _import(name: str, path: Path) -> None:
    source = importlib.util.spec_from_file_location(name, path)
    assert source is not None
    assert source.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(source)
    try:
        source.loader.exec_module(sys.modules[name])
    except BaseException:
        del sys.modules[name]
        raise


def _enter(folder: Path) -> None:
    """Let the names of modules stand for the files of this folder, not of one entered before.

    Two nets may each have a `blocks.py` beside them: that of the first is put aside for the second.
    """
    global _entered
    if folder == _entered:
        return
    mine = {n: m for n, m in sys.modules.items() if _entered and _lies_in(n, m, _entered)}
    for name in mine:
        del sys.modules[name]
    if _entered:
        _aside[_entered] = mine
    sys.modules.update(_aside.pop(folder, {}))
    _entered = folder


def _lies_in(name: str, module: ModuleType, folder: Path) -> bool:
    """Whether a module was found in this very folder, not in an environment somewhere below it."""
    place = folder.joinpath(*name.split("."))
    file = Path(getattr(module, "__file__", None) or "/")
    return file in (place.with_suffix(".py"), place / "__init__.py")


_entered: Path | None = None  # the folder whose modules are imported now
_aside: dict[Path, dict[str, ModuleType]] = {}  # those of other folders


@contextmanager
def imports_kept() -> Iterator[None]:
    """Leave what is imported from folders of the user's as it was before."""
    before = _entered
    try:
        yield
    finally:
        if before:
            _enter(before)
