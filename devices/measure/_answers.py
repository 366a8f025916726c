"""Which output of a model is scored, as what, and whether it answers the same question alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Device, Placement, Port
from paretomark.devices.measure import _inputs, _pixels
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._wrong import Wrong
from paretomark.suites.tasks import _task
from paretomark.suites.tasks._task import Question, Scorer

TIMES = 3  # that an input is run again: with few outputs, dropout may leave one out twice
STEADY = 1e-3  # of the range of an answer, by which it may change when it is asked for again


def chosen(spec: VisitSpec, placement: Placement) -> int:
    """Return the number of the output that is scored. Raise Wrong where none is declared of
    several, or there is none of that name or number."""
    ports, name = placement.outputs, spec.reading.output
    names = [port.name for port in ports]
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(ports):
        return int(name)
    listing = ", ".join(f"'{port.name}' {port.dtype} {port.shape}" for port in ports)
    if name and not spec.reference:  # outputs of the project's own exports go by other names
        raise Wrong(f"there is no output '{name}'; there are {listing}")
    if len(ports) > 1:
        raise Wrong(f'{len(ports)} outputs: say which is scored by output = "NAME": {listing}')
    return 0


def scorer(spec: VisitSpec, port: Port, size: tuple[int, int]) -> Scorer:
    """Return the scorer of an output, for pictures of a size (height, width)."""
    question = Question(
        size=size,
        label_offset=spec.label_offset,
        reading=spec.reading,
        bare=_pixels.is_raw(port) or port.dtype == "bool",
        classes=spec.classes,
        span=_span(spec),
    )
    made: Scorer = _task.module(spec.task).scorer(question)
    return made


def _span(spec: VisitSpec) -> tuple[float, float] | None:
    """The least and the greatest answer of the float net."""
    if not spec.reference:
        return None
    ends = [(b.min(), b.max()) for b in _inputs.rows(spec.reference, 64)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def rows(raw: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Return answers with the pictures of a batch as their first axis. Raise Wrong if that cannot
    be told."""
    if raw.ndim and len(raw) == batch:
        return raw
    if batch == 1:
        return raw[None]
    raise Wrong(f"an answer of shape {raw.shape} is not one for each of {batch} pictures")


def notes(spec: VisitSpec, placement: Placement) -> list[str]:
    """Say what a reader has to know of how pictures get into the model."""
    notes: list[str] = []
    if not spec.images:
        return notes
    count = _inputs.count(spec.images)
    if count < spec.batch:
        notes.append(f"{count} pictures do not fill a batch of {spec.batch}: they were repeated")
    if not spec.reference:  # of the project's own exports, ranges come from such pictures
        port = next(p for p in placement.inputs if p.name not in spec.inputs)
        notes += _pixels.notes(spec.preprocess, port)
    return notes


def unsteady(device: Device, inputs: Arrays, before: Arrays) -> str:
    """Run an input a few times more. Say that its answers are not those of `before`, and what the
    cause may be; "" if they are."""
    for _ in range(TIMES):
        if fault := _difference(before, device.run(inputs)):
            return fault
    return ""


def _difference(before: Arrays, after: Arrays) -> str:
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape:
            return f"the same input gave answers of shape {a.shape}, then {b.shape}"
        first, second = a.astype(np.float64), b.astype(np.float64)
        reach = max(float(np.ptp(first)), float(np.abs(first).max(initial=0)))
        off = float(np.abs(first - second).max(initial=0))
        if off > STEADY * reach and (a.dtype.kind == "f" or off > 1):
            return (
                "random or stateful: the same input gave other answers before and after others "
                f"(off by {off:.3g} of {reach:.3g}): exported in training mode (dropout), or with "
                "a state?"
            )
    return ""
