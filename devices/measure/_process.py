"""The parent's side of a child: start it, wait in one blocking system call, and believe little.

A child that crashes, hangs, or leaves nothing is a result with a stage and a reason. What it is
told and what it leaves is said in `_worker`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.suites.spec._errors import LONGEST, last_line


@dataclass(frozen=True)
class Answer:
    """What came of a child: `table`, or, if that is None, its last stage and what went wrong."""

    table: dict[str, Any] | None
    stage: str
    error: str
    cpu_s: float
    peak_bytes: int | None


@dataclass(frozen=True)
class _Exit:
    """How a child ended: exit code (negative: signal), peak memory, whether it was late."""

    code: int
    peak_bytes: int | None
    cpu_s: float
    late: bool


def ask(module: str, source: VisitSpec | str, deadline_s: float, *arguments: str) -> Answer:
    """Let a module of this folder work on a spec, or on a word, in a fresh process.

    Never raises for what the child does; it is killed when the deadline has passed.
    """
    with tempfile.TemporaryDirectory(prefix="paretomark-") as name:
        folder = Path(name)
        out, threads = folder / "answer.json", 1
        if isinstance(source, VisitSpec):
            threads, spec = source.threads, folder / "spec.json"
            spec.write_text(json.dumps(dataclasses.asdict(source)))
            source = str(spec)
        end = _run(module, [*arguments, source, str(out)], folder, deadline_s, threads)
        table = _read(out)
        stage_file = out.with_name(out.name + ".stage")
        stage = stage_file.read_text() if stage_file.exists() else "start"
        if table is None:
            return Answer(None, stage, _cause(end, folder, deadline_s), end.cpu_s, end.peak_bytes)
        if "error" in table:
            return Answer(None, stage, str(table["error"]), end.cpu_s, end.peak_bytes)
        return Answer(table, stage, "", end.cpu_s, end.peak_bytes)


def _run(
    module: str, arguments: Sequence[str], folder: Path, deadline_s: float, threads: int
) -> _Exit:
    """Run a child to its end; a timer kills its group if it is late.

    The child says by a byte that it is done, and stays until its stdin is closed, so that its peak
    memory can be read from outside. This process uses no processor time while it waits.
    """
    reader, writer = os.pipe()
    late = threading.Event()
    # numpy and some runtimes size their pools by these when they are imported.
    pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments, str(writer)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
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
        peak = _host.peak_bytes(process.pid)
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
    return _Exit(process.returncode, peak, usage.ru_utime + usage.ru_stime, late.is_set())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _cause(end: _Exit, folder: Path, deadline_s: float) -> str:
    """Why a child left no answer."""
    if end.late:
        return f"did not finish within {deadline_s:g} s and was killed"
    if end.code < 0:
        what = f"killed by {signal.Signals(-end.code).name}"
        if end.code == -signal.SIGKILL:
            what += " (often: out of memory)"
    else:
        what = f"exited with {end.code} and no answer"
    said = last_line((folder / "log.txt").read_bytes()[-2000:].decode(errors="replace"))
    return f"{what}: {said}"[:LONGEST] if said else what
