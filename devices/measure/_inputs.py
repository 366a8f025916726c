"""What a visit is to do, and what its inputs and outputs must be: shared by visits, conformance
checks and profiles, which must not differ in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Placement
from paretomark.models.data import _data
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks._task import CLASSIFICATION

if TYPE_CHECKING:  # a visit need not import what builds
    from paretomark.models.build._artifact import Artifact


class Wrong(Exception):
    """The device does not do what it must; the message says what."""


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
    ) -> Self:
        """Make the spec of a visit to an artifact, which was built for this batch."""
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
        )


def rotating(spec: VisitSpec, placement: Placement) -> list[Arrays]:
    """Make a few real inputs to rotate through; seeded noise where the model has no data.

    Raise Wrong for a model that does not take such pictures.
    """
    if not spec.images:
        rng = np.random.default_rng(spec.seed)
        return [
            [port.encode(rng.standard_normal(port.shape, np.float32)) for port in placement.inputs]
            for _ in range(_data.ROTATING_BATCHES)
        ]
    batches = itertools.islice(rows(spec.images, spec.batch), _data.ROTATING_BATCHES)
    return [encode(spec, placement, images) for images in batches if len(images) == spec.batch]


def encode(spec: VisitSpec, placement: Placement, images: NDArray[np.uint8]) -> Arrays:
    """Turn pictures (N, H, W, C) into what the model wants: normalised, in its layout and numbers.

    Raise Wrong for a model that does not take such pictures.
    """
    values = _data.normalise(spec.preprocess, images)
    if len(placement.inputs) != 1:
        raise Wrong(f"the model has {len(placement.inputs)} inputs; pictures fill exactly one")
    port = placement.inputs[0]
    for layout in (values, values.transpose(0, 3, 1, 2)):
        if layout.shape == port.shape:
            return [port.encode(layout)]
    raise Wrong(
        f"the model wants an input of shape {port.shape}, the data gives pictures "
        f"{values.shape} (N, H, W, C): declare preprocess.size and batch as the model has them"
    )


def check_outputs(outputs: Arrays, placement: Placement) -> None:
    """Raise Wrong if outputs are not of the shapes that were declared, or not finite."""
    for array, port in zip(outputs, placement.outputs, strict=True):
        if array.shape != port.shape:
            raise Wrong(f"output {port.name} has shape {array.shape}, declared is {port.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Wrong(f"output {port.name} is not finite")


def rows(path: str, count: int) -> Iterator[NDArray[Any]]:
    """Read the rows of an .npy file, `count` at a time, without mapping the file into memory."""
    with Path(path).open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size = int(np.prod(shape[1:]))
        for start in range(0, shape[0], count):
            part = min(count, shape[0] - start)
            yield np.fromfile(file, dtype, part * size).reshape(part, *shape[1:])
