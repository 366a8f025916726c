"""The first pictures as a device is given them, and what it tells of them: kept for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Placement
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.suites.tasks._task import Scorer

SHOWN = 8  # pictures
MOST = 1024  # numbers of an answer without classes
ENOUGH = 32 * 2**20  # bytes of answers, that show what a single one means


@dataclass
class Keeper:
    """Writes `spec.kept`, an .npz; does nothing where that is "".

    It holds `inputs`, float32 (N, ...), in the layout of the input and as the numbers that it
    means, `dtype` and `shape` of the input, the `least` and `most` number that it was given, and,
    once all is answered, `classes`, as a `Scorer` tells them, or the `answers` themselves.
    """

    spec: VisitSpec
    placement: Placement
    inputs: list[NDArray[np.float32]] = field(default_factory=list)
    answers: list[NDArray[np.float32]] = field(default_factory=list)
    numbers: list[NDArray[Any]] = field(default_factory=list)

    def given(self, encoded: Arrays, count: int) -> None:
        """Take in a batch of inputs, of which the first `count` are pictures."""
        if not self.spec.kept or sum(map(len, self.inputs)) >= SHOWN:
            return
        at, port = next(
            (i, port)
            for i, port in enumerate(self.placement.inputs)
            if port.name not in self.spec.inputs
        )
        self.numbers.append(encoded[at][:count])
        self.inputs.append(port.decode(encoded[at][:count]))
        self._write()

    def told(self, answers: NDArray[np.float32]) -> None:
        """Take in a batch of answers, as a scorer reads them."""
        held = sum(part.nbytes for part in self.answers)
        if self.spec.kept and (held < ENOUGH or sum(map(len, self.answers)) < SHOWN):
            self.answers.append(answers)

    def done(self, scorer: Scorer) -> None:
        """Ask the scorer what all the answers are, for one alone may not show what it means."""
        if not self.spec.kept:
            return
        every = np.concatenate(self.answers)
        classes = scorer.classes(every)
        if classes is not None:
            self._write(classes=classes[:SHOWN])
        elif every[0].size <= MOST:
            self._write(answers=every[:SHOWN])

    def _write(self, **told: NDArray[Any]) -> None:
        port = next(p for p in self.placement.inputs if p.name not in self.spec.inputs)
        np.savez(
            Path(self.spec.kept),
            inputs=np.concatenate(self.inputs)[:SHOWN],
            dtype=port.dtype,
            shape=np.array(port.shape),
            least=float(min(part.min() for part in self.numbers)),
            most=float(max(part.max() for part in self.numbers)),
            **told,  # type: ignore[arg-type]  # NumPy's stubs take the rest for allow_pickle
        )
