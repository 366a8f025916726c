"""The parent's side of a child: start it, wait for it and a deadline at once, and believe little.

A child that crashes, hangs, or leaves nothing is a result with a stage and a reason. What it is
told and what it leaves is said in `_worker`.

The parent waits on the process itself and on a deadline, never on the end of a pipe alone: a
process that the child has started may hold that open for as long as it likes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from paretomark.devices import _host
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import LONGEST, last_line

POLL_S = 0.05  # where the system does not tell of the end of a process
GRACE_S = 5.0  # to end by itself
TAIL_BYTES = 2000


@dataclass(frozen=True)
class Answer:
    """What came of a child: `table`, or, if that is None, its last stage and what went wrong."""

    table: dict[str, Any] | None
    stage: str
    error: str
    cpu_s: float = 0.0  # of its whole life; 0 as long as it lives
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Ends:
    """The child's ends, descriptors: it reads words, says that it is done, and logs."""

    words: int
    done: int
    log: int


Start = Callable[[list[str], Ends, int], int]  # a module with its arguments, on so many threads


class Interpreter(NamedTuple):
    """A Python that children are started in, and where it finds modules and plug-ins; "" is as this
    process does."""

    python: str = sys.executable
    path: str = ""
    plugins: str = ""

    def environment(self) -> dict[str, str]:
        """Return the variables of a child."""
        own = {"PYTHONPATH": self.path, _plugins.VARIABLE: self.plugins}
        return {**os.environ, **{name: value for name, value in own.items() if value}}


HERE = Interpreter()


class Child:
    """A module of this folder at work, in a process and a process group of its own.

    It answers once after its start, and once to each word that it is told. While it is waited for,
    this process uses no processor. Use it in `with`: nothing of it is left behind. `start` starts
    it and gives its number: in a fresh Python, unless it is told otherwise.
    """

    def __init__(
        self,
        module: str,
        source: VisitSpec | str,
        deadline_s: float,
        *arguments: str,
        threads: int = 1,
        start: Start | None = None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="paretomark-")
        self._folder = Path(self._scratch.name)
        self._out = self._folder / "answer.json"
        if isinstance(source, VisitSpec):
            threads, spec = source.threads, self._folder / "spec.json"
            spec.write_text(json.dumps(dataclasses.asdict(source)))
            source = str(spec)
        self._words: int | None
        words, self._words = os.pipe()
        self._reader, done = os.pipe()
        command = [f"{__package__}.{module}", *arguments, source, str(self._out)]
        self.spawned_ns = time.monotonic_ns()  # by a clock that the child has too
        try:
            with (self._folder / "log.txt").open("wb") as log:
                self.pid = (start or fresh)(command, Ends(words, done, log.fileno()), threads)
        finally:
            os.close(words)
            os.close(done)
        self._end = _end_of(self.pid)
        self._usage: Any = None  # of its whole life, once it has ended
        self._code = 0
        self._allowed_s = deadline_s  # for all that it does, of which each answer may have the rest
        self._expect(deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def left_s(self) -> float:
        """How long its next answer may take; not above 0 where it is late."""
        return self._due - time.monotonic()

    @property
    def events(self) -> list[int]:
        """The descriptors that can be read when it has answered, or has ended."""
        return [self._reader, *([] if self._end is None else [self._end])]

    @property
    def blind(self) -> bool:
        """Whether nothing tells of its end, so that one has to look."""
        return self._end is None

    @property
    def done(self) -> bool:
        """Whether `answer` need not wait: it has answered, has ended, or is late."""
        return bool(select.select([self._reader], [], [], 0)[0]) or self._dead() or self.left_s <= 0

    def tell(self, word: str, deadline_s: float) -> None:
        """Tell it what to do next, in so many seconds. A child that is dead hears nothing."""
        self._out.unlink(missing_ok=True)
        self._expect(deadline_s)
        assert self._words is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(self._words, word.encode() + b"\n")

    def ask(self, word: str, deadline_s: float) -> Answer:
        """Tell it what to do next, and wait for its answer."""
        self.tell(word, deadline_s)
        return self.answer()

    def answer(self) -> Answer:
        """Wait for what is due. Never raises for what it does: if it fails, or is late, it is
        killed, and the answer says so."""
        await_one([self])
        told = bool(select.select([self._reader], [], [], 0)[0]) and os.read(self._reader, 1)
        peak = _host.peak_bytes(self.pid) if told else None
        table, stage = _read(self._out) if told else None, self._stage()
        if table is not None and "error" not in table:
            return Answer(table, stage, "", peak_bytes=peak)
        if told == b"":  # the pipe is closed: it is about to be dead
            self._await_end(GRACE_S)
        late, tail = not told and not self._dead(), self._tail()
        code = self.kill()
        if table is not None:
            return Answer(None, stage, str(table["error"]), self.cpu_s, peak)
        if told:
            cause = "left an answer that cannot be read"
        elif late:
            cause = f"did not finish within {self._allowed_s:g} s and was killed"
        else:
            cause = _cause(code)
        return Answer(None, stage, f"{cause}: {tail}"[:LONGEST] if tail else cause, self.cpu_s)

    def end(self) -> None:
        """Let it end by itself, as it does when nothing more can be told; then clean up."""
        if self._usage is None:
            self._tell_no_more()
            self._await_end(GRACE_S)
        self.kill()

    def kill(self) -> int:
        """End it, and all of its group, at once, and clean up. Return its exit code."""
        if self._usage is None:
            # It is not waited for yet, so its number is still its own, and that of its group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            _, status, self._usage = os.wait4(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
            self._tell_no_more()
            for descriptor in self.events:
                os.close(descriptor)
            self._scratch.cleanup()
        return self._code

    @property
    def cpu_s(self) -> float:
        """The processor time of its whole life, once it has ended."""
        return self._usage.ru_utime + self._usage.ru_stime if self._usage else 0.0

    @property
    def most_bytes(self) -> int | None:
        """Its peak memory, once it has ended, where only its end tells that."""
        return self._usage.ru_maxrss if self._usage and sys.platform == "darwin" else None

    def _tell_no_more(self) -> None:
        if self._words is not None:
            os.close(self._words)
            self._words = None

    def _expect(self, deadline_s: float) -> None:
        self._due = time.monotonic() + deadline_s

    def _stage(self) -> str:
        file = self._out.with_name(self._out.name + ".stage")
        return file.read_text() if file.exists() else "start"

    def _await_end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._dead() and (left := until - time.monotonic()) > 0:
            if self._end is None:
                time.sleep(min(left, POLL_S))
            else:
                select.select([self._end], [], [], left)

    def _tail(self) -> str:
        log = (self._folder / "log.txt").read_bytes()[-TAIL_BYTES:]
        return last_line(log.decode(errors="replace"))

    def _dead(self) -> bool:
        """Whether it has ended; it is not waited for."""
        if self._usage is not None:
            return True
        if self._end is not None:
            return bool(select.select([self._end], [], [], 0)[0])
        return _ended(self.pid)


def fresh(command: list[str], ends: Ends, threads: int, where: Interpreter = HERE) -> int:
    """Start a module in a Python of its own."""
    # numpy and some runtimes size their pools by these when they are imported.
    pools = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    process = subprocess.Popen(
        [where.python, "-P", "-m", *command, str(ends.done)],
        stdin=ends.words,
        pass_fds=(ends.done,),
        stdout=ends.log,
        stderr=ends.log,
        env={**where.environment(), **pools},
        start_new_session=True,
    )
    process.returncode = 0  # who has its number waits for it, and this object never
    return process.pid


def ask(module: str, source: VisitSpec | str, deadline_s: float, *arguments: str) -> Answer:
    """Let a module of this folder work on a spec, or on a word, in a fresh process.

    Never raises for what the child does; it is killed when the deadline has passed.
    """
    with Child(module, source, deadline_s, *arguments) as child:
        answer = child.answer()
        child.end()
        peak = child.most_bytes if answer.peak_bytes is None else answer.peak_bytes
        return dataclasses.replace(answer, cpu_s=child.cpu_s, peak_bytes=peak)


def await_one(children: Collection[Child]) -> list[Child]:
    """Wait until one of these children has answered, has ended, or is late; give all that have."""
    while not (ready := [child for child in children if child.done]):
        left = min(child.left_s for child in children)
        blind = any(child.blind for child in children)
        events = [event for child in children for event in child.events]
        select.select(events, [], [], max(0.0, min(left, POLL_S) if blind else left))
    return ready


def _end_of(pid: int) -> int | None:
    """A descriptor that can be read when a process has ended; None where the system has no such."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _ended(pid: int) -> bool:
    """Whether a process has ended, where nothing tells of it."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return told.stdout.strip()[:1] in ("", "Z")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(path.read_text(), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number that a record may hold")


def _cause(code: int) -> str:
    """Why a child left no answer, by its exit code."""
    if code >= 0:
        return f"exited with {code} and no answer"
    often = " (often: out of memory)" if code == -signal.SIGKILL else ""
    return f"killed by {signal.Signals(-code).name}{often}"
