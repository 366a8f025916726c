"""The parent: starts one child per visit, waits in one blocking system call, and believes little.

A child that crashes, hangs, or answers nonsense is a result with a stage and a reason.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import re
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

from paretomark.devices import _host
from paretomark.devices.measure import _profile_child, _timing
from paretomark.devices.measure._visit import Spec

PROBE_DEADLINE_S = 120.0
# How far answers may be off the float net's, in spreads of those; int8 may be off, and is shown.
PARITY_LIMITS = {"fp32": 0.05, "tf32": 0.05, "fp16": 0.05, "bf16": 0.05}
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
    peak_bytes: int | None
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
        if answer.pop("throttled", ()):
            flags.append("throttled")
        if _timing.drifted(answer.get("samples_ns", ())):
            flags.append("drift")
        if _timing.unsteady(answer.get("samples_ns", ())):
            flags.append("unsteady")
        home, units = answer.pop("home"), answer["placement"]
        if answer.pop("fell_back"):
            reason = (
                f"runs on {', '.join(f'{u} ({n})' for u, n in units.items() if n)}, not on {home}"
            )
            return Visit("fallback", "load", reason, tuple(flags), answer)
        return Visit("ok", "", "", tuple(flags), answer)


def verify(spec: Spec, deadline_s: float) -> list[tuple[str, str, bool, str]]:
    """The conformance checks of a device: name, what is asked, whether it held, detail."""
    answer, stage, error = _asked("_verify", [], spec, deadline_s)
    if answer is None:
        return [(stage, "It survives the checks.", False, error)]
    return [(name, asked, held, detail) for name, asked, held, detail in answer["checks"]]


def profile(spec: Spec, runs: int, deadline_s: float, foreign_load_cores: float) -> Visit:
    """Latency, `operators` (of Operator) under the profiler, and the machine's `peaks` or None.

    Peaks are those of the host, so only a target that runs there has them. The latency is
    unprofiled (`samples_ns`) or, of an absent chip, predicted. Never raises for what a child does.
    """
    busy, start = _host.busy_s(), time.monotonic()
    own_s = -sum(os.times()[:4])
    answer, stage, error = _asked("_profile_child", [str(runs)], spec, deadline_s)
    own_s += sum(os.times()[:4])
    others_s = (_host.busy_s() or 0) - (busy or 0) - own_s
    if answer is None:
        return Visit("failed", stage, error)
    flags = ["foreign load"] * (others_s > foreign_load_cores * (time.monotonic() - start))
    operators = _profile_child.operators(answer)
    wrong = _nonsense(answer, spec) or ("" if operators else "no operators, or not such")
    if wrong:
        return Visit("failed", "answer", wrong)
    answer |= {"operators": operators, "peaks": None}
    if answer["on_host"]:
        answer["peaks"], _, answer["no_peaks"] = _asked("_peak", [], spec, deadline_s)
    samples = answer.get("samples_ns", ())
    flags += ["drift"] * _timing.drifted(samples) + ["unsteady"] * _timing.unsteady(samples)
    return Visit("fallback" if answer["fell_back"] else "ok", "", "", tuple(flags), answer)


def _asked(
    module: str, arguments: Sequence[str], spec: Spec, deadline_s: float
) -> tuple[dict[str, Any] | None, str, str]:
    """What a child answers; if it has none to give, its last stage, and why."""
    with tempfile.TemporaryDirectory(prefix="paretomark-") as name:
        folder = Path(name)
        out, source = folder / "answer.json", folder / "spec.json"
        source.write_text(json.dumps(dataclasses.asdict(spec)))
        ended = _child(
            [*arguments, str(source), str(out)], folder, deadline_s, spec.threads, module
        )
        answer = _read(out)
        if answer is not None and "error" not in answer:
            return answer, "", ""
        stage = out.with_name(out.name + ".stage")
        where = stage.read_text() if stage.exists() else "start"
        return None, where, str((answer or {}).get("error") or _death(ended, folder, deadline_s))


def _child(
    arguments: Sequence[str],
    folder: Path,
    deadline_s: float,
    threads: int,
    module: str = "_visit",
) -> _Ended:
    """Run a child to its end; a timer kills its group if it is late.

    The child says by a byte that it is done, and stays until its stdin is closed, so that its peak
    memory can be read from outside. This process uses no processor time while it waits.
    """
    reader, writer = os.pipe()
    late = threading.Event()
    # numpy and some runtimes size their pools by these when they are imported.
    pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                f"paretomark.devices.measure.{module}",
                *arguments,
                str(writer),
            ],
            stdin=subprocess.PIPE,
            pass_fds=(writer,),
            stdout=log,
            stderr=log,
            env={**os.environ, **pools},
            start_new_session=True,
        )
    os.close(writer)

    def kill() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(deadline_s, kill)
    timer.start()
    try:
        os.read(reader, 1)  # a byte: done; nothing: dead
        peak = _peak_bytes(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        timer.cancel()
        os.close(reader)
    process.returncode = os.waitstatus_to_exitcode(status)
    if peak is None and sys.platform == "darwin":
        peak = usage.ru_maxrss
    return _Ended(process.returncode, peak, usage.ru_utime + usage.ru_stime, late.is_set())


def _peak_bytes(pid: int) -> int | None:
    """The largest resident memory of a live process, as the kernel saw it.

    Not `ru_maxrss`: on Linux that starts from what the parent had when it started the child.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


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
    if answer.get("simulated") == "predicted":
        predicted = answer.get("predicted_s")
        if not isinstance(predicted, float) or not 0 < predicted < 1e4 or "samples_ns" in answer:
            return "a predicted latency is not a duration, or comes with samples"
        return _misses(answer, spec)
    samples = answer.get("samples_ns")
    if not isinstance(samples, list) or len(samples) < _timing.MIN_SAMPLES:
        return "fewer latency samples than a median needs"
    if not all(isinstance(s, int) and 0 < s < 10**13 for s in samples):
        return "a latency sample is not a positive number of nanoseconds"
    return _misses(answer, spec)


def _misses(answer: dict[str, Any], spec: Spec) -> str:
    for name in ("load_s", "first_s"):
        value = answer.get(name)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            return f"{name} is not a duration"
    if spec.score and spec.labels and not (answer.get("outcomes") or answer.get("scores")):
        return "no scores, though it was asked to score"
    return ""
