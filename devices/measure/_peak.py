"""What this machine does at best: float32 matrix products, and moving large arrays.

    python -P -m paretomark.devices.measure._peak SPEC ANSWER DONE

The two roofs of a roofline (Williams, Waterman, Patterson, "Roofline", CACM 2009), measured with
as many threads as the model gets. Compute is what NumPy's BLAS reaches. Bandwidth is that of
STREAM's Copy and Add (McCalpin 1995), the other two of its kernels not being one call of NumPy;
bytes are counted as there: each array that is read or written once, and not the line that a cache
may fetch before it is written. STREAM wants arrays of four times the last cache: these suffice for
caches of 32 MiB. On servers that have more, part of what is measured is the cache's bandwidth.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from paretomark.devices import _host
from paretomark.devices.measure import _worker
from paretomark.devices.measure._inputs import VisitSpec

SIDES = (512, 1024, 2048, 4096)
LONG_S = 0.06  # the next size takes eight times as long
ARRAY_BYTES = 128 * 2**20
MEMORY_SHARE = 16  # on small boards an array takes no more than this part of the memory
COMPUTE_S, MEMORY_S = 1.0, 0.6
ROUNDS = 3  # at least

Name = TypeVar("Name", int, str)


@dataclass(frozen=True)
class Peaks:
    """The best of several rounds, with `threads` threads."""

    flop_per_s: float
    byte_per_s: float
    threads: int
    blas: str
    side: int  # of the square matrices that were fastest
    kernel: str  # of STREAM, that was fastest
    array_bytes: int


def measure(threads: int) -> Peaks:
    """Measure, for two seconds. BLAS must have been told its threads before NumPy started."""
    flop_per_s, side = _matmul()
    array_bytes = min(ARRAY_BYTES, _host.machine().memory_bytes // MEMORY_SHARE)
    byte_per_s, kernel = _stream(threads, array_bytes)
    return Peaks(flop_per_s, byte_per_s, threads, _blas(), side, kernel, array_bytes)


def _matmul() -> tuple[float, int]:
    """FLOP/s, and the side of the matrices that reached it."""
    rng, works = np.random.default_rng(0), {}
    for side in SIDES:
        a, b = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        works[side] = 2.0 * side**3, partial(np.matmul, a, b, out=np.empty_like(a))
        if _spent_s(works[side][1]) > LONG_S:
            break
    return _fastest(works, COMPUTE_S)


def _stream(threads: int, array_bytes: int) -> tuple[float, str]:
    """Bytes/s, and the kernel that reached it. Every thread has a slice: NumPy uses but one."""
    length = array_bytes // threads // 4
    moved = 4.0 * length * threads
    # Not zeros: those are one and the same page until they are written.
    slices = [[np.full(length, k, np.float32) for k in range(3)] for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return _fastest(
            {
                "Copy": (2 * moved, lambda: list(pool.map(_copy, slices))),
                "Add": (3 * moved, lambda: list(pool.map(_add, slices))),
            },
            MEMORY_S,
        )


def _copy(arrays: Sequence[NDArray[np.float32]]) -> None:
    np.copyto(arrays[0], arrays[1])


def _add(arrays: Sequence[NDArray[np.float32]]) -> None:
    np.add(arrays[1], arrays[2], out=arrays[0])


def _fastest(
    works: Mapping[Name, tuple[float, Callable[[], object]]], seconds: float
) -> tuple[float, Name]:
    """The highest rate, of amounts of work and what does them, and whose it is.

    They take turns, for what disturbs them comes and goes.
    """
    best = dict.fromkeys(works, math.inf)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < ROUNDS or time.perf_counter() < end:
        for name, (_, work) in works.items():
            best[name] = min(best[name], _spent_s(work))
        rounds += 1
    return max((works[name][0] / spent_s, name) for name, spent_s in best.items())


def _spent_s(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _blas() -> str:
    """The library that NumPy multiplies with."""
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _answer(spec: VisitSpec, _: Path) -> dict[str, Any]:
    return dataclasses.asdict(measure(spec.threads))


if __name__ == "__main__":
    _worker.work_on_spec(_answer)
