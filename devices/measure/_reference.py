"""What a device answers to declared inputs, beside what the float net did when it was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from paretomark.devices._device import Arrays, Device, Placement
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._parity import Parity
from paretomark.devices.measure._wrong import Wrong

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretomark.suites.tasks._task import Scorer

NOISE = 1e-5  # of the largest answer: what float32 may make of one that is always the same


class _Numbers:
    """In place of a scorer: answers are numbers, of no classes."""

    def classes(self, answers: NDArray[np.float32]) -> None:
        return None


def parities(
    spec: VisitSpec, device: Device, placement: Placement, inputs: list[Arrays]
) -> list[Parity]:
    """Compare each output of real numbers with the float net's, over the calls that were kept; the
    one that is farthest off, by its own spread, comes last.

    Of whole numbers only the shape is looked at: where two scores are nearly the same, rounding
    says which is the greater. Raise Wrong for outputs that are others in number or shape.
    """
    kept = _kept(spec.reference)
    found, numbers = [Parity() for _ in kept[0]], cast("Scorer", _Numbers())
    for call, references in zip(inputs, kept, strict=False):
        outputs = device.run(call)
        if len(outputs) != len(references):
            raise Wrong(f"{len(outputs)} outputs, the float net has {len(references)}")
        for at, (raw, reference) in enumerate(zip(outputs, references, strict=True)):
            port = placement.outputs[at]
            if raw.shape != reference.shape:
                pair = f"answers of shape {raw.shape}, the float net's {reference.shape}"
                raise Wrong(f"output {port.name}: {pair}")
            if reference.dtype.kind == "f":
                answers = port.decode(raw)
                found[at].add(answers[None], reference.astype(np.float32)[None], numbers)
    compared = [parity for parity in found if parity.values and not _constant(parity)]
    return sorted(compared, key=lambda p: p.mean / p.spread if p.spread else np.inf)


def _constant(parity: Parity) -> bool:
    """Whether an answer is the same number always, of both."""
    level = abs(parity.reference_sum) / parity.values
    return parity.spread <= NOISE * level and parity.largest <= NOISE * level


def _kept(reference: str) -> list[list[NDArray[Any]]]:
    """The float net's answers, by call and output."""
    with np.load(reference, allow_pickle=False) as file:
        places = [tuple(map(int, key.split("_"))) for key in file.files]
        calls, outputs = (max(place[axis] for place in places) + 1 for axis in (0, 1))
        return [[file[f"{call}_{at}"] for at in range(outputs)] for call in range(calls)]
