"""A net and what is done to it, as a suite says it.

Values only: what is made of them must not depend on how suites are read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Meaning = Literal["", "logits", "probabilities", "classes"]
KINDS = ("file", "python", "timm", "torchvision")  # of nets, before the colon
RANDOM = "random"  # instead of trained weights: drawn by the seed, and no accuracy is stated
LENGTH = "length"  # in the shape of an input
AS_IS = "as-is"  # the recipe, and the precision, of a model file that the user brings


@dataclass(frozen=True)
class Preprocess:
    """How a picture (uint8, RGB) becomes the input of a net.

    The picture is scaled so that `crop` of its shorter side covers `size`, and cut to the centre;
    `crop=None` squashes the whole picture to `size` instead. Then, per channel in the order
    `order`: (pixel - mean) / std, with pixels in 0..255.
    """

    size: tuple[int, int]  # height and width; (0, 0): not known
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # of each channel, for pixels in 0..255
    std: tuple[float, ...] = (255.0, 255.0, 255.0)  # of each channel; not 0
    order: Literal["rgb", "bgr"] = "rgb"  # of the channels
    crop: float | None = None  # share of the shorter side; by default all is squashed
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"  # when it is scaled


@dataclass(frozen=True)
class Reading:
    """What is declared of the answers that are scored, see `Model`."""

    output: str = ""
    answers: Meaning = ""
    threshold: float | None = None


@dataclass(frozen=True)
class Input:
    """An input that no picture fills: it gets numbers drawn evenly, the same in every run.

    Whole numbers from `range[0]` to `range[1]`, both included, if the input is one of integers: a
    file says so itself, and of a net it is one where both ends are written as whole numbers.
    """

    shape: tuple[int | Literal["length"], ...]  # -1 stands for the batch, "length" for the cell's
    range: tuple[int | float, int | float] = (0.0, 1.0)  # least and greatest; `[0, 9]`: integers

    @property
    def whole(self) -> bool:
        """Whether a net is given integers."""
        return all(isinstance(end, int) for end in self.range)

    def sizes(self, batch: int) -> tuple[int, ...]:
        """Return its shape at a batch. Its length must have been put in, see `Model.at`."""
        assert LENGTH not in self.shape
        return tuple(batch if size == -1 else int(size) for size in self.shape)


@dataclass(frozen=True)
class Model:
    """A net, or a file. Paths are relative to the suite; `${VAR}` is expanded.

    A net is NAME of the zoo, timm:NAME, torchvision:NAME, or python:PATH.py:FUNCTION; each may say
    its input size, as in NAME@160. A file is file:PATH.
    """

    name: str = ""  # the key in the suite
    net: str = ""  # by default the name
    weights: str = ""  # a file, or "random"; by default those that come with the net
    data: str = ""  # by default the data set of the net
    calibration: str = ""  # by default the calibration split of the data set
    recipes: tuple[str, ...] = ()  # by default all
    devices: tuple[str, ...] = ()  # by default all
    label_offset: int = 0  # outputs before class 0, as TensorFlow's "background"
    task: str = ""  # of a file or a function: classification, if it is not said
    output: str = ""  # the one that is scored, by name or number, where there are several
    answers: Meaning = ""  # what that output holds; by default told by its values
    threshold: float | None = None  # of a single output; 0 for logits, 0.5 for probabilities
    inputs: dict[str, Input] = field(default_factory=dict, hash=False)  # without pictures, by name
    preprocess: Preprocess | None = None  # by default the net's own

    @property
    def kind(self) -> str:
        """One of KINDS; "" for a net of the zoo's own."""
        kind, colon, _ = self.net.partition(":")
        return kind if colon else ""

    @property
    def declared(self) -> bool:
        """Whether it is a net, not a file, with declared inputs in place of pictures."""
        return bool(self.inputs) and not self.file

    @property
    def has_length(self) -> bool:
        """Whether a shape of its inputs has a length, which makes it a cell for each length."""
        return any(LENGTH in declared.shape for declared in self.inputs.values())

    def at(self, length: int) -> Model:
        """Return the model with a length put into the shapes of its inputs."""
        inputs = {
            name: dataclasses.replace(
                declared, shape=tuple(length if n == LENGTH else n for n in declared.shape)
            )
            for name, declared in self.inputs.items()
        }
        return dataclasses.replace(self, inputs=inputs)

    @property
    def reading(self) -> Reading:
        """What is declared of its answers."""
        return Reading(self.output, self.answers, self.threshold)

    @property
    def file(self) -> str:
        """The path of a file that the user brings; "" for a net."""
        return self.net.removeprefix("file:") if self.kind == "file" else ""


@dataclass(frozen=True)
class Recipe:
    """Compression steps, each a method with its parameters, then the precision of the export."""

    name: str = ""
    steps: tuple[dict[str, Any], ...] = ()  # each a method with its parameters, in order
    precision: str = "fp32"  # that the file is exported in
    quantization: dict[str, str] = field(default_factory=dict)  # options of precision int8
    storage: str = "dense"  # or "sparse": zeros are left out of the file, where its format can
    devices: tuple[str, ...] = ()  # by default all

    @property
    def label(self) -> str:
        """The steps as one reads them: `magnitude(sparsity=0.9) > finetune(epochs=2)`."""
        steps = [
            f"{s['method']}({', '.join(f'{k}={v}' for k, v in s.items() if k != 'method')})"
            for s in self.steps
        ]
        if self.quantization:
            steps.append(f"int8({', '.join(f'{k}={v}' for k, v in self.quantization.items())})")
        return " > ".join(steps + ["sparse storage"] * (self.storage == "sparse"))
