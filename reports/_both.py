"""Two runs, read and summarised; large ones at once, where the system can fork."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from paretomark.suites.records import _store
from paretomark.suites.records._summary import Summary, summarise

LARGE_BYTES = 5_000_000  # of records, that are worth a process


def summaries(a: Path, b: Path) -> tuple[Summary, Summary]:
    """Read two runs, and summarise them. Raises UserError for what is no run."""
    with _no_collections():
        if sys.platform != "linux" or min(map(_size, (a, b))) < LARGE_BYTES:
            return _of(a), _of(b)
        other = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
        try:
            second = other.submit(_of, b)
            return _of(a), second.result()
        finally:
            other.shutdown(wait=False)  # it has much to free, which nothing here waits for


def _of(folder: Path) -> Summary:
    summary = summarise(_store.read(folder))
    for visits in summary.visits.values():
        _ = visits.tails  # kept with them: that is half of what a verdict takes
    return summary


def _size(folder: Path) -> int:
    records = folder / _store.RECORDS
    return records.stat().st_size if records.exists() else 0


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Millions of samples come to be and none goes: looking for garbage is a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
