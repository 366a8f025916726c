"""A device made of NumPy, which needs no hardware, with variants that misbehave on purpose.

`fake:ok` really computes the model. The others are what adapters and runtimes do wrong; the
suite must give each the right reason.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable

FORMAT = "npz"
VARIANTS = (
    "ok",
    "slow",  # twice the time and more
    "absent",  # not attached
    "load-crash",  # raises while loading
    "crash",  # the process dies in the middle of timing
    "hang",  # never returns
    "nan",  # answers with NaN
    "batch",  # answers for another number of pictures than it was given
    "wrong",  # answers with wrong numbers
    "fallback",  # runs, but not where its name says
    "drift",  # becomes slower and slower
)


class _Fake:
    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._calls = itertools.count()
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def probe(self) -> Chip:
        if self._variant == "absent":
            raise Unavailable("it is never there", "use fake:ok")
        return Chip("NumPy", {"numpy": np.__version__})

    def load(self, model: Path, threads: int) -> Placement:
        if self._variant == "load-crash":
            raise RuntimeError("this device fails to load")
        with np.load(model, allow_pickle=False) as arrays:
            shape = tuple(int(n) for n in arrays["shape"])
            count = sum(name.startswith("weight") for name in arrays)
            self._layers = [
                (arrays[f"weight{i}"].astype(np.float32), arrays[f"bias{i}"].astype(np.float32))
                for i in range(count)
            ]
        classes = len(self._layers[-1][1])
        return Placement(
            home="numpy",
            operators={"elsewhere" if self._variant == "fallback" else "numpy": count},
            inputs=[Port("input", shape, "float32")],
            outputs=[Port("output", (shape[0], classes), "float32")],
        )

    def run(self, inputs: Arrays) -> Arrays:
        x = inputs[0].reshape(len(inputs[0]), -1)
        for weight, bias in self._layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        weight, bias = self._layers[-1]
        return [self._misbehave(x @ weight.T + bias)]

    def _misbehave(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        call = next(self._calls)
        if self._variant == "slow":
            time.sleep(0.002)
        elif self._variant == "crash" and call == 5:
            os.abort()
        elif self._variant == "hang" and call == 5:
            while True:
                pass
        elif self._variant == "nan":
            answer[:] = np.nan
        elif self._variant == "batch":
            answer = np.concatenate([answer, answer])
        elif self._variant == "wrong":
            answer = -answer
        elif self._variant == "drift":
            time.sleep(call * 1e-5)
        return answer


def device(variant: str) -> _Fake:
    """One of VARIANTS."""
    return _Fake(variant)
