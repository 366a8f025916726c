"""The parent: starts one child per visit, waits in one blocking system call, and believes little.

A child that crashes, hangs, or answers nonsense is a result with a stage and a reason.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from paretomark.devices import _host, _timing
from paretomark.devices._visit import Spec

PROBE_DEADLINE_S = 120.0
# How far answers may be off the float net's, in spreads of those; int8 may be off, and is shown.
PARITY_LIMITS = {"fp32": 0.05, "fp16": 0.05}
T = TypeVar("T")


@dataclass(frozen=True)
class Visit:
    """What came of one visit: `status` ok, fallback or failed, and what was measured."""

    status: str
    stage: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Ended:
    """How a child ended: exit code (negative: signal), peak memory, whether it was late."""

    code: int
    peak_bytes: int
    cpu_s: float
    late: bool


def blocks(items: Sequence[T], count: int, seed: int) -> Iterator[tuple[int, T]]:
    """(block, item): in each of `count` blocks every item once, in seeded random order."""
    for block in range(count):
        order = list(items)
        random.Random(f"{seed}/{block}").shuffle(order)
        for item in order:
            yield block, item


def probe(targets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Ask every target, each in a process of its own, whether it is here."""

    def ask(target: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "answer.json"
            ended = _child(["--probe", target, str(out)], Path(folder), PROBE_DEADLINE_S, 1)
            answer = _read(out)
            if answer is None or "error" in answer:
                error = (answer or {}).get("error") or _death(ended, Path(folder), PROBE_DEADLINE_S)
                answer = {"available": False, "reason": f"the probe failed: {error}", "remedy": ""}
            return answer

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return dict(zip(targets, threads.map(ask, targets), strict=True))


def visit(spec: Spec, deadline_s: float, foreign_load_cores: float) -> Visit:
    """One visit in a fresh process. Never raises for what the child does."""
    with tempfile.TemporaryDirectory(prefix="paretomark-") as name:
        folder = Path(name)
        out = folder / "answer.json"
        (folder / "spec.json").write_text(json.dumps(dataclasses.asdict(spec)))
        busy, quota, start = _host.busy_s(), _host.throttled_s(), time.monotonic()
        ended = _child([str(folder / "spec.json"), str(out)], folder, deadline_s, spec.threads)
        wall = time.monotonic() - start
        answer = _read(out)
        stage_file = out.with_name(out.name + ".stage")
        stage = stage_file.read_text() if stage_file.exists() else "start"
        if answer is None:
            return Visit("failed", stage, _death(ended, folder, deadline_s))
        if "error" in answer:
            return Visit("failed", stage, str(answer["error"]))
        if wrong := _nonsense(answer, spec):
            return Visit("failed", "answer", wrong)
        flags = []
        answer["peak_memory_bytes"] = ended.peak_bytes
        if busy is not None:
            others = max(0.0, ((_host.busy_s() or busy) - busy - ended.cpu_s) / wall)
            answer["foreign_load_cores"] = others
            if others > foreign_load_cores:
                flags.append("foreign load")
        if _host.throttled_s() > quota:
            flags.append("quota")
        if _timing.drifted(answer["samples_ns"]):
            flags.append("drift")
        home, units = answer.pop("home"), answer["placement"]
        if answer.pop("fell_back"):
            reason = (
                f"runs on {', '.join(f'{u} ({n})' for u, n in units.items() if n)}, not on {home}"
            )
            return Visit("fallback", "load", reason, tuple(flags), answer)
        return Visit("ok", "", "", tuple(flags), answer)


def _child(arguments: Sequence[str], folder: Path, deadline_s: float, threads: int) -> _Ended:
    """Run a child to its end. Blocks in one wait; a timer kills the child's group if it is late."""
    late = threading.Event()
    # numpy and some runtimes size their pools by these when they are imported.
    pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "paretomark.devices._visit", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **pools},
            start_new_session=True,
        )

    def kill() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(deadline_s, kill)
    timer.start()
    try:
        # wait4 tells the peak memory of this child as the kernel saw it. It starts from what the
        # parent had when it forked, so the parent must stay small: no torch, no pandas.
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    cpu_s = usage.ru_utime + usage.ru_stime
    return _Ended(process.returncode, usage.ru_maxrss * unit, cpu_s, late.is_set())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _death(ended: _Ended, folder: Path, deadline_s: float) -> str:
    """Why a child left no answer."""
    if ended.late:
        return f"did not finish within {deadline_s:g} s and was killed"
    if ended.code < 0:
        what = f"killed by {signal.Signals(-ended.code).name}"
        if ended.code == -signal.SIGKILL:
            what += " (often: out of memory)"
    else:
        what = f"exited with {ended.code} and no answer"
    log = (folder / "log.txt").read_bytes()[-2000:].decode(errors="replace").strip()
    return f"{what}: {log.splitlines()[-1]}"[:500] if log else what


def _nonsense(answer: dict[str, Any], spec: Spec) -> str:
    """What is wrong with an answer; "" if nothing is."""
    samples = answer.get("samples_ns")
    if not isinstance(samples, list) or len(samples) < _timing.MIN_SAMPLES:
        return "fewer latency samples than a median needs"
    if not all(isinstance(s, int) and 0 < s < 10**13 for s in samples):
        return "a latency sample is not a positive number of nanoseconds"
    for name in ("load_s", "first_s"):
        value = answer.get(name)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            return f"{name} is not a duration"
    if spec.score and spec.images and not answer.get("outcomes"):
        return "no outcomes, though it was asked to score"
    return ""
