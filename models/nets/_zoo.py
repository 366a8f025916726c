"""The zoo: one net per file in this folder, named by its file, and the names of all other nets.

Width is part of a name (`mobilenet_v1_0_25`, `timm:mobilenetv2_050`), and so is the size of the
input, if it is not the net's own: `scenes_resnet@64`, `timm:resnet50@160`, `NAME@128x256` (height
x width). A net's file has

    DATA = "scenes"                 the data set it was trained on
    PREPROCESS = Preprocess(...)    how it wants to see a picture
    TRAIN = Training(...)           optional: the recipe of `bench.py train NAME`
    TASK = "segmentation"           optional: its task, a file of `suites/tasks/`
    def net() -> nn.Module          the float net, untrained: float32 (N, C, H, W) to logits, of
                                    a picture (N, classes), or of every pixel (N, classes, H, W),
                                    a single one being that of the figure; or to x and y of
                                    keypoints (N, 2K), in widths and heights

and its trained weights, if the project ships them, in `weights/NAME.safetensors`, else where
`bench.py train NAME` writes them, in the cache.
Only child processes import these files: they import torch.
"""

from __future__ import annotations

import ast
import json
import re
import symtable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from paretomark.models import _cache, _sources
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, nearest, unknown
from paretomark.suites.spec._model import KINDS
from paretomark.suites.tasks._task import CLASSIFICATION

NEEDS = ("DATA", "PREPROCESS", "net()")


@dataclass(frozen=True)
class Training:
    """SGD with momentum, one linear warm-up epoch, then a cosine to zero, of the task's loss.

    Weight decay acts on convolution and linear weights only, not on biases and normalisation.
    """

    epochs: int
    count: int  # training pictures
    batch: int = 64
    lr: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    shift: int = 0  # pictures are moved by up to this many pixels, edges repeated
    flip: bool = False  # half of the pictures are mirrored left to right
    seed: int = 0
    colour: float = 0.0  # brightness and contrast by up to this share
    cutout: int = 0  # side of a square that is blanked
    mixup: float = 0.0  # alpha of the Beta distribution that shares are drawn from; 0: not at all
    cutmix: float = 0.0  # likewise, of pasted rectangles
    frozen_norm: bool = False  # batch normalisation keeps the statistics that it has
    teacher: str = ""  # a net of the zoo to learn from besides the labels
    patience: int = 0  # stop after so many epochs without a loss 1 % below the least; 0: never


@dataclass(frozen=True)
class Name:
    """A net's name in parts: `kind` is one of KINDS, or "" for a file of this folder."""

    kind: str
    name: str
    size: tuple[int, int] | None  # height and width; None: its own


def split(net: str) -> Name:
    """Return the parts of a name. Raises UserError for a size that is none."""
    kind, colon, rest = net.partition(":")
    kind, rest = (kind, rest) if colon and kind in KINDS else ("", net)
    name, at, size = rest.rpartition("@")
    if not at or kind == "file" or "/" in size:  # of a path, an @ may be part
        return Name(kind, rest, None)
    sides = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", size)
    if not sides:
        raise UserError(f"{net}: after @ comes the size of the input, as in @160 or @128x256")
    return Name(kind, name, (int(sides[1]), int(sides[2] or sides[1])))


def python(spec: str) -> tuple[Path, str]:
    """Return file and function of `PATH.py:FUNCTION`. The file is read, and not imported.

    Raises UserError if there is no such file, or no such name in it.
    """
    path, _, function = spec.rpartition(":")
    file = Path(path)
    if not path.endswith(".py") or not function.isidentifier():
        raise UserError(f"python:{spec}: write python:PATH.py:FUNCTION")
    if not file.is_file():
        raise UserError(f"python:{spec}: there is no file {path}{nearest(file)}")
    try:
        text = file.read_text(encoding="utf-8")
        symbols = symtable.symtable(text, path, "exec").get_symbols()
    except (SyntaxError, ValueError) as error:
        raise UserError(f"python:{spec}: {path} is not valid Python: {error}") from None
    names = [s.get_name() for s in symbols if s.is_assigned() or s.is_imported()]
    if function not in names and "import *" not in text:
        raise unknown("function", function, names, path)
    return file, function


def code(net: str) -> str:
    """Return a digest of the code of a net, of the user's own with what it imports from its folder.

    "" for a library's net, whose code is known by the library's version.
    """
    parts = split(net)
    if parts.kind == "python":
        file, _ = python(parts.name)
        return _sources.digest(file.stem, folder=file.parent)
    return "" if parts.kind else _sources.digest(_plugins.module_name("nets", parts.name))


def names() -> list[str]:
    """Return the names of the project's nets, and of the user's."""
    return _plugins.names("nets")


def check(name: str) -> None:
    """Raise UserError if there is no such net, or its file lacks what it must have."""
    _plugins.check("nets", name, NEEDS)


def module(name: str) -> ModuleType:
    """Return the file of a net, imported, and torch with it. Raises UserError as `check` does."""
    return _plugins.module("nets", name, NEEDS)


def data(net: str) -> str:
    """Return the data set that a net was trained on: DATA in its file, which is not imported for
    that.

    "" for a net that is no file of this folder.
    """
    parts = split(net)
    if parts.kind:
        return ""
    check(parts.name)
    return str(_plugins.literal("nets", parts.name, "DATA"))


def task(net: str) -> str:
    """Return the task of a net: TASK in its file, which is not imported for that; else
    classification."""
    parts = split(net)
    own = None if parts.kind else _plugins.literal("nets", parts.name, "TASK")
    return str(own or CLASSIFICATION)


def size(net: str) -> tuple[int, int] | None:
    """Return height and width of the input: those after the @, else of PREPROCESS in the net's
    file.

    None for a net that is no file of this folder, and has no @.
    """
    parts = split(net)
    if parts.size or parts.kind:
        return parts.size
    preprocess = _plugins.definition("nets", parts.name, "PREPROCESS")
    keywords = preprocess.keywords if isinstance(preprocess, ast.Call) else []
    sizes = [ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg == "size"]
    return tuple(sizes[0]) if sizes else None


def layers(file: Path) -> set[str]:
    """Return the layers with weights, and weights of other names (`attn.in_proj_weight`), from the
    head of a safetensors file.

    Raises UserError for a file that is none, or cannot be read.
    """
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(min(size, 100_000_000)))
        return {
            name.removesuffix(".weight")
            for name, tensor in head.items()
            if name != "__metadata__" and len(tensor["shape"]) > 1
        }
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, AttributeError, TypeError, KeyError):
        raise UserError(f"{file} is not a readable safetensors file") from None


def weights(name: str) -> Path:
    """Return the trained weights of a net: those beside its file, else those trained here.

    The file need not exist. Raises UserError for a net that is none.
    """
    shipped = _plugins.file("nets", name).parent / "weights" / f"{name}.safetensors"
    return shipped if shipped.exists() else trained(name)


def trained(name: str) -> Path:
    """Say where `bench.py train` writes the weights of a net, unless told otherwise."""
    return _cache.folder() / "weights" / f"{name}.safetensors"
