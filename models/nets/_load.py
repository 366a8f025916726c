"""From the name of a net to the net itself, with its weights: the one place that does that.

NAME                        a file of this folder, see `_zoo.py`
timm:NAME, torchvision:NAME of a library, see `_libraries.py`
python:PATH.py:FUNCTION     a function of the user's own, which returns an nn.Module
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from paretomark.models.data import _data
from paretomark.models.nets import _answer, _libraries, _random, _sound, _zoo
from paretomark.suites.spec._errors import UserError, at, explained
from paretomark.suites.spec._model import RANDOM, Model, Preprocess

PICTURES = 16  # to draw random weights for


@dataclasses.dataclass(frozen=True)
class Net:
    """A net in evaluation mode, float32 (N, C, H, W) to logits, and how it wants to see pictures.

    `data` is "" where neither suite nor net name a data set; `weights` says which they are;
    `warnings` what a reader must know of the net.
    """

    module: nn.Module
    preprocess: Preprocess
    data: str
    task: str
    weights: str
    warnings: tuple[str, ...] = ()


def load(model: Model, seed: int, several: str = _answer.DECLARE) -> Net:
    """Return the net of a model with its weights; `several` says what to do about several outputs.

    Raises UserError if there is no such, if none fit, or if its answers would mean nothing, see
    `_sound.py`.
    """
    torch.manual_seed(seed)
    what = _zoo.split(model.net)
    trained = not model.weights
    if what.kind in _libraries.NAMES:
        entry = _libraries.entry(what.kind, what.name, what.size)
        net, preprocess, data = _of_library(model.net, entry, trained), entry.preprocess, ""
        weights = f"{what.kind}'s {entry.weights}" if trained else ""
    elif what.kind == "python":
        net, weights = _of_function(what.name), "the function's own" if trained else ""
        preprocess, data = Preprocess((0, 0)), ""
    else:
        plugin = _zoo.module(what.name)
        net, preprocess, data = plugin.net(), plugin.PREPROCESS, plugin.DATA
        weights = ""
    if model.preprocess:
        preprocess = model.preprocess
    if what.size:
        preprocess = dataclasses.replace(preprocess, size=what.size)
    if not all(preprocess.size):
        raise UserError(
            f"{model.name or model.net}: declare how pictures are prepared, as in "
            "preprocess = { size = [224, 224] }"
        )
    warnings = () if what.kind in _libraries.NAMES else _sound.floats(net)
    if model.weights not in ("", RANDOM) or (trained and not what.kind):
        file = Path(model.weights) if model.weights else _zoo.weights(what.name)
        _fill(net, file)
        weights = file.name
    if what.kind in _libraries.NAMES:
        net = _libraries.plain(net)
    net.eval()
    known = what.kind in _libraries.NAMES and not model.output
    with at(model.name or model.net):
        sample, other = pictures(preprocess, 4).chunk(2)
        if what.size or not known:
            _try(net, sample)
        if not known:
            net, more = _answer.single(net, sample, model.output, several)
            warnings += more
        warnings += _sound.plain(net, sample)
        if model.weights == RANDOM:
            _random.initialise(net, pictures(preprocess, PICTURES), seed)
            weights, data = f"random, seed {seed}", ""
        _sound.finite(net)
        if not known and (why := _sound.unsteady(net, sample, other)):
            raise UserError(f"the net's answers in evaluation are {why}")
    task = model.task or _zoo.task(model.net)
    return Net(net, preprocess, model.data or data, task, weights, warnings)


def _try(net: nn.Module, sample: torch.Tensor) -> None:
    """Raise UserError if a net cannot have its input."""
    try:
        with torch.no_grad():
            net(sample)
    except Exception as error:
        why = explained(error, 200)
        shape = f"float32 {tuple(sample.shape)}"
        raise UserError(f"the net does not take an input of this size, {shape} ({why})") from None


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


def _of_function(spec: str) -> nn.Module:
    """Call a function of a Python file. Its folder is on the path, as if it were run from there."""
    path, function = _zoo.python(spec)
    name = f"paretomark_user_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    _enter(path.parent)
    if name not in sys.modules:
        source = importlib.util.spec_from_file_location(name, path)
        assert source is not None
        assert source.loader is not None
        sys.path.insert(0, str(path.parent))
        sys.modules[name] = importlib.util.module_from_spec(source)
        try:
            source.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(str(path.parent))
    if not callable(make := getattr(sys.modules[name], function, None)):
        raise UserError(f"python:{spec}: {path.name} has no function '{function}'")
    net = make()
    if not isinstance(net, nn.Module):
        raise UserError(f"{spec} must return an nn.Module, not {type(net).__name__}")
    return net


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


def _fill(net: nn.Module, weights: Path) -> None:
    try:
        state = load_file(weights)
        for name, twin in _twins(net):  # of tensors that are one, a file may hold one
            if name not in state and twin in state:
                state[name] = state[twin]
        net.load_state_dict(state)
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
    for name, twin in _twins(net):
        if not torch.equal(state[name].nan_to_num(), state[twin].nan_to_num()):
            raise UserError(
                f"{weights} does not fit the net: {name} and {twin} are one tensor in the net, and "
                "two that differ in the file"
            )


def _twins(net: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of tensors of a net that are one in memory, both ways."""
    names: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in net.state_dict().items():
        if tensor.numel():
            place = tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
            names.setdefault(place, []).append(name)
    yield from (pair for same in names.values() for pair in itertools.permutations(same, 2))
