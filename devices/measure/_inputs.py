"""What a visit is to do, and what its inputs and outputs must be: shared by visits, conformance
checks and profiles, which must not differ in them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Device, Fixing, Placement, Port
from paretomark.devices.measure import _pixels
from paretomark.devices.measure._wrong import Wrong
from paretomark.models.data import _data, _full_masks
from paretomark.models.data import _declared as _declared_inputs
from paretomark.suites.spec._model import Input, Preprocess, Reading
from paretomark.suites.spec._scenario import SINGLE
from paretomark.suites.tasks._task import CLASSIFICATION

if TYPE_CHECKING:  # a visit need not import what builds
    from paretomark.models.build._artifact import Artifact


@dataclass(frozen=True)
class VisitSpec:
    """What a visit is to do, as a child is told it in JSON.

    `parity_limit` is in standard deviations of the float net's answers; None lets everything pass.
    """

    device: str
    file: str
    threads: int
    batch: int
    seconds: float
    max_samples: int
    images: str
    labels: str
    reference: str
    preprocess: Preprocess
    label_offset: int
    score: bool
    parity_limit: float | None
    seed: int
    task: str = CLASSIFICATION
    reading: Reading = dataclasses.field(default_factory=Reading)
    inputs: dict[str, Input] = dataclasses.field(default_factory=dict)
    classes: int = 0  # of the data; 0 where it does not say
    full: str = ""  # masks at their own sizes, see `_full_masks`; "" if there are none
    scenario: str = SINGLE
    kept: str = ""  # .npz to write of the first pictures, see `_kept`; "" for none

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        device: str,
        *,
        seconds: float,
        max_samples: int,
        score: bool,
        threads: int = 1,
        batch: int = 1,
        parity_limit: float | None = None,
        seed: int = 0,
        scenario: str = SINGLE,
    ) -> Self:
        """Make the spec of a visit to an artifact, which was built for this batch."""
        full = Path(artifact.images).parent / _full_masks.FILE
        return cls(
            device=device,
            file=artifact.file,
            threads=threads,
            batch=batch,
            seconds=seconds,
            max_samples=max_samples,
            images=artifact.images,
            labels=artifact.labels,
            reference=artifact.reference,
            preprocess=artifact.preprocess,
            label_offset=artifact.label_offset,
            score=score,
            parity_limit=parity_limit,
            seed=seed,
            task=artifact.task,
            reading=artifact.reading,
            inputs=artifact.inputs,
            classes=len(artifact.classes),
            scenario=scenario,
            full=str(full) if artifact.labels and full.exists() else "",
        )


def ready(spec: VisitSpec, device: Device) -> Placement:
    """Load the model, and settle the sizes that it leaves open. Raise Wrong where none is known."""
    placement = _named(spec, device.load(Path(spec.file), spec.threads))
    names = [port.name for port in placement.inputs]
    if unknown := [name for name in spec.inputs if name not in names]:
        raise Wrong(f"the model has no input '{unknown[0]}' that is declared; it has {names}")
    if not any(-1 in port.shape for port in placement.inputs):
        return placement
    shapes = [_settled(spec, port) for port in placement.inputs]
    if isinstance(device, Fixing):
        placement = device.fix(shapes)
    ports = zip(placement.inputs, shapes, strict=True)
    inputs = [dataclasses.replace(port, shape=shape) for port, shape in ports]
    return dataclasses.replace(placement, inputs=inputs)


def _named(spec: VisitSpec, placement: Placement) -> Placement:
    """The placement, with the inputs of a net that was exported called as they were declared: some
    formats have numbers for names, and keep the order."""
    if not of_net(spec) or {port.name for port in placement.inputs} == set(spec.inputs):
        return placement
    if len(placement.inputs) != len(spec.inputs):
        raise Wrong(
            f"the file has {len(placement.inputs)} inputs, and {len(spec.inputs)} are declared "
            f"({', '.join(spec.inputs)}): leave out what the net does not use"
        )
    pairs = zip(placement.inputs, spec.inputs, strict=True)
    inputs = [dataclasses.replace(port, name=name) for port, name in pairs]
    return dataclasses.replace(placement, inputs=inputs)


def of_net(spec: VisitSpec) -> bool:
    """Tell whether the file was exported of a net whose inputs are declared."""
    return bool(spec.inputs and spec.reference)


def _settled(spec: VisitSpec, port: Port) -> tuple[int, ...]:
    """The shape of an input: as declared, or as its pictures have it."""
    shapes = [_declared(spec, port.name)] if port.name in spec.inputs else _layouts(spec)
    for shape in shapes:
        if _matches(shape, port.shape):
            return shape
    axes = _shape(port)
    if port.name in spec.inputs:
        raise Wrong(f"input {port.name} is {axes}; declared for it is {shapes[0]}")
    if not spec.images:
        raise Wrong(
            f"input {port.name} is {axes}: say what to run it with, as in preprocess = "
            f"{{ size = [224, 224] }} or inputs = {{ {port.name} = {{ shape = [...] }} }}"
        )
    raise _unfit(spec, port)


def _layouts(spec: VisitSpec) -> list[tuple[int, ...]]:
    """The shapes that pictures may have: channels last or first, in colour or grey."""
    height, width = spec.preprocess.size
    if not height or not width:
        return []
    channels = dict.fromkeys((len(spec.preprocess.mean), 1))
    sizes = [((height, width, c), (c, height, width)) for c in channels]
    return [(spec.batch, *shape) for shapes in sizes for shape in shapes]


def _matches(shape: tuple[int, ...], port: tuple[int, ...]) -> bool:
    pairs = zip(shape, port, strict=False)
    return len(shape) == len(port) and all(b in (-1, a) for a, b in pairs)


def _declared(spec: VisitSpec, name: str) -> tuple[int, ...]:
    return spec.inputs[name].sizes(spec.batch)


def _shape(port: Port) -> str:
    return "(" + ", ".join("open" if n == -1 else str(n) for n in port.shape) + ")"


def _unfit(spec: VisitSpec, port: Port) -> Wrong:
    size = (spec.batch, *spec.preprocess.size, len(spec.preprocess.mean))
    return Wrong(
        f"the model wants an input of shape {_shape(port)}, the data gives pictures {size} "
        "(N, H, W, C): declare preprocess.size and batch as the model has them"
    )


def rotating(spec: VisitSpec, placement: Placement) -> list[Arrays]:
    """Make a few real inputs to rotate through; seeded noise where the model has no data.

    Pictures that are fewer than a batch are repeated. Raise Wrong for a model that does not take
    such pictures.
    """
    if of_net(spec):
        calls = _declared_inputs.calls(spec.inputs, spec.batch, spec.seed)
        return [[_given(port, call[port.name]) for port in placement.inputs] for call in calls]
    if not spec.images:
        rng = np.random.default_rng(spec.seed)
        count = range(_data.ROTATING_BATCHES)
        return [[_noise(spec, port, rng) for port in placement.inputs] for _ in count]
    batches = list(itertools.islice(rows(spec.images, spec.batch), _data.ROTATING_BATCHES))
    whole = [images for images in batches if len(images) == spec.batch]
    return [encode(spec, placement, images) for images in whole or [filled(batches[0], spec.batch)]]


def filled(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    """Repeat pictures until they fill a batch."""
    return images[np.arange(batch) % len(images)]


def _given(port: Port, values: NDArray[Any]) -> NDArray[Any]:
    """What the float net was given, in the numbers of the file."""
    if not _matches(values.shape, port.shape):
        raise Wrong(f"input {port.name} is {_shape(port)}; declared for it is {values.shape}")
    exact = values.dtype.kind == "i" and not port.scale
    return np.ascontiguousarray(values.astype(port.dtype)) if exact else port.encode(values)


def _noise(spec: VisitSpec, port: Port, rng: np.random.Generator) -> NDArray[Any]:
    """Numbers for an input: as declared; else normal ones, or of integers all that there are."""
    dtype = np.dtype(port.dtype)
    if declared := spec.inputs.get(port.name):
        shape = _declared(spec, port.name)
        if not _matches(shape, port.shape):
            raise Wrong(
                f"input {port.name} is {_shape(port)}; declared for it is {shape}: what the file "
                "does not leave open must be declared as it has it"
            )
        if dtype.kind in "iub" and not port.scale:
            low, high = (round(end) for end in declared.range)
            return np.ascontiguousarray(rng.integers(low, high + 1, shape).astype(dtype))
        return port.encode(rng.uniform(*declared.range, shape).astype(np.float32))
    if dtype.kind in "iub" and not port.scale and dtype.itemsize > 1:
        raise Wrong(
            f"input {port.name} takes whole numbers ({port.dtype}), which may be indices: declare "
            f"inputs = {{ {port.name} = {{ shape = {list(port.shape)}, range = [0, 99] }} }}"
        )
    if dtype.kind in "iub" and not port.scale:
        high = 2 if dtype.kind == "b" else 256
        return np.ascontiguousarray(rng.integers(0, high, port.shape).astype(dtype))
    return port.encode(rng.standard_normal(port.shape, np.float32))


def encode(spec: VisitSpec, placement: Placement, images: NDArray[np.uint8]) -> Arrays:
    """Turn pictures (N, H, W, C) into what the model wants: normalised, in its layout and numbers,
    grey if it has one channel; with noise for further inputs that are declared.

    Raise Wrong for a model that does not take such pictures.
    """
    of_pictures = [port for port in placement.inputs if port.name not in spec.inputs]
    if len(of_pictures) != 1:
        names = ", ".join(f"{port.name} {_shape(port)}" for port in of_pictures)
        raise Wrong(
            f"the model has {len(placement.inputs)} inputs, and pictures fill exactly one: declare "
            f"the others of {names} by inputs = {{ NAME = {{ shape = [...] }} }}"
        )
    picture = _encoded(spec, of_pictures[0], images)
    rng = np.random.default_rng(spec.seed)
    return [
        picture if port is of_pictures[0] else _noise(spec, port, rng) for port in placement.inputs
    ]


def _encoded(spec: VisitSpec, port: Port, images: NDArray[np.uint8]) -> NDArray[Any]:
    preprocess = _pixels.of_port(spec.preprocess, port)
    for pixels, taken in _pixels.alternatives(images, preprocess):
        values = _data.normalise(taken, pixels)
        for layout in (values, values.transpose(0, 3, 1, 2)):
            if layout.shape == port.shape:
                return port.encode(layout)
    raise _unfit(spec, port)


def check_outputs(outputs: Arrays, placement: Placement) -> None:
    """Raise Wrong if outputs are not of the shapes that were declared, or not finite."""
    for array, port in zip(outputs, placement.outputs, strict=True):
        if not _matches(array.shape, port.shape):
            raise Wrong(f"output {port.name} has shape {array.shape}, declared is {_shape(port)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Wrong(f"output {port.name} is not finite")


def count(path: str) -> int:
    """Return how many rows an .npy file has."""
    with Path(path).open("rb") as file:
        return _head(file)[0][0]


def rows(path: str, count: int) -> Iterator[NDArray[Any]]:
    """Read the rows of an .npy file, `count` at a time, without mapping the file into memory."""
    with Path(path).open("rb") as file:
        shape, dtype = _head(file)
        size = int(np.prod(shape[1:]))
        for start in range(0, shape[0], count):
            part = min(count, shape[0] - start)
            yield np.fromfile(file, dtype, part * size).reshape(part, *shape[1:])


def _head(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype
