"""A device made of NumPy, which needs no hardware, with variants that misbehave on purpose.

`fake:ok` really computes the model. The others are what adapters and runtimes do wrong; the
suite must give each the right reason.
"""

from __future__ import annotations

import itertools
import os
import re
import resource
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Chip, Operator, Placement, Port, Unavailable

FORMAT = "npz"
VARIANTS = (
    "ok",
    "slow",  # two milliseconds more
    "absent",  # not attached
    "load-crash",  # raises while loading
    "memory",  # runs out of memory while loading
    "crash",  # raises in the middle of timing
    "abort",  # the process dies in the middle of timing
    "hang",  # never returns, and holds the interpreter's lock
    "nan",  # answers with NaN
    "batch",  # answers for another number of pictures than it was given
    "wrong",  # answers with wrong numbers
    "fallback",  # runs, but not where its name says
    "drift",  # becomes slower and slower
    "bimodal",  # every third call is slow
    "early",  # returns before the work is done
    "cached",  # remembers the answer of an array that it has seen
    "overwrites",  # gives out the same memory for every answer
    "lazy",  # prepares itself over the first few calls
    "threads",  # uses more threads than it was given
    "leak",  # keeps memory at each load
)

SLOW_CALLS = {"bimodal": range(0, 10**9, 3), "lazy": range(6)}


class _Fake:
    _leaked: ClassVar[list[bytearray]] = []

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._calls = itertools.count()
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        # By id, which no other array gets as long as the array is kept.
        self._seen: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._shared: NDArray[np.float32] | None = None
        self._clock_ns: list[int] = []  # before the first and after each layer
        self._pool = ThreadPoolExecutor(max_workers=3)

    def probe(self) -> Chip:
        if self._variant == "absent":
            raise Unavailable("it is never there", "use fake:ok")
        return Chip("NumPy", {"numpy": np.__version__})

    def load(self, model: Path, threads: int) -> Placement:
        self._misload()
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
        if id(inputs[0]) in self._seen:
            return [self._seen[id(inputs[0])][1]]
        answer = self._answer(inputs[0])
        if self._variant == "cached":
            self._seen[id(inputs[0])] = inputs[0], answer
        self._delay(next(self._calls))
        return [self._spoil(answer)]

    def _answer(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        x, self._clock_ns = x.reshape(len(x), -1), [time.perf_counter_ns()]
        for i, (weight, bias) in enumerate(self._layers):
            x = np.asarray(x @ weight.T + bias, np.float32)
            x = np.maximum(x, 0) if i < len(self._layers) - 1 else x
            self._clock_ns.append(time.perf_counter_ns())
        return x

    def _misload(self) -> None:
        if self._variant == "load-crash":
            raise RuntimeError("this device fails to load")
        if self._variant == "memory":
            limit = 2**32
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            bytearray(2 * limit)
        if self._variant == "leak":
            self._leaked.append(bytearray(os.urandom(1) * 30_000_000))

    def _delay(self, call: int) -> None:
        if self._variant == "slow":
            time.sleep(0.002)
        elif self._variant == "drift":
            time.sleep(call * 1e-5)
        elif call in SLOW_CALLS.get(self._variant, ()):
            time.sleep(0.002)
        elif self._variant == "crash" and call == 5:
            raise RuntimeError("this device fails in the middle")
        elif self._variant == "abort" and call == 5:
            os.abort()
        elif self._variant == "hang" and call == 5:
            re.match(r"(a+)+$", "a" * 60 + "b")  # exponential, in C, without letting go of the lock
        elif self._variant == "threads":
            list(self._pool.map(_spin, range(3)))

    def _spoil(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._variant == "nan":
            answer[:] = np.nan
        elif self._variant == "batch":
            answer = np.concatenate([answer, answer])
        elif self._variant == "wrong":
            answer = -answer
        elif self._variant == "early":
            later = np.zeros_like(answer)
            threading.Timer(0.002, later.__setitem__, (slice(None), answer)).start()
            return later
        elif self._variant == "overwrites":
            if self._shared is None:
                self._shared = np.empty_like(answer)
            self._shared[:] = answer
            return self._shared
        return answer


class _Telling(_Fake):
    """Tells the time of its layers as well, and of all of them."""

    again = False

    def inference_ns(self) -> int:
        return self._clock_ns[-1] - self._clock_ns[0]

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        rows, spans_ns = self.load(model, threads).inputs[0].shape[0], []
        for [x] in itertools.islice(itertools.cycle(inputs), runs + 1):
            self._answer(x)
            spans_ns.append(np.diff(self._clock_ns))
        mean_ns = np.mean(spans_ns[1:], axis=0).tolist()
        return [
            Operator(f"layer{i}", "linear", "numpy", mean_ns[i], rows * weight.size,
                     4 * (rows * sum(weight.shape) + weight.size + bias.size))
            for i, (weight, bias) in enumerate(self._layers)
        ]  # fmt: skip


def _spin(_: int) -> None:
    """Keep a processor busy outside the interpreter's lock."""
    matrix = np.ones((300, 300), np.float32)
    for _ in range(20):
        np.sort(matrix.ravel())


def device(variant: str) -> _Fake:
    """Open one of VARIANTS."""
    return _Telling(variant) if variant == "ok" else _Fake(variant)
