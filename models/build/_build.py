"""The parent's side of building: which artifacts are missing, and children that make them.

Nothing is timed while artifacts are built, so as many children run as there are cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from paretomark.models.build import _artifact, _returned
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import LONGEST, UserError, last_line
from paretomark.suites.spec._model import Recipe

MEMORY_PER_CHILD_BYTES = 3 * 2**30  # a converter of a small net takes about half of that
TAIL_BYTES = 2000


def build(
    specs: Sequence[BuildSpec],
    deadline_s: float,
    report: Callable[[BuildSpec, Artifact | Refused], None],
) -> dict[str, Artifact | Refused]:
    """Make what is not in the cache. The result is keyed by `key(spec)`; no spec is left out.

    `report` is called, from any thread, as each is done. A build that takes longer than
    `deadline_s` is refused.
    """
    _returned.learn(_functions(specs))
    done: dict[str, Artifact | Refused] = {}
    groups: dict[str, list[BuildSpec]] = defaultdict(list)
    for spec in specs:
        hit: Artifact | Refused | None
        try:
            hit = _artifact.lookup(spec)
        except UserError as error:  # the file that the user brings is damaged, or a package missing
            hit = Refused("failed", str(error))
        if hit is not None:
            done[key(spec)] = hit
            report(spec, hit)
        else:
            groups[_group(spec)].append(spec)
    waiting: queue.SimpleQueue[list[BuildSpec]] = queue.SimpleQueue()
    # The largest group first, so that no child is left with it at the end.
    for group in sorted(groups.values(), key=len, reverse=True):
        waiting.put(sorted(group, key=lambda s: (s.format, s.recipe.precision != "fp32")))

    children: list[Child] = []
    stopped = threading.Event()

    def lane() -> None:
        with Child(deadline_s) as child:
            children.append(child)
            while not stopped.is_set():
                try:
                    group = waiting.get_nowait()
                except queue.Empty:
                    return
                for spec in group:
                    if stopped.is_set():
                        return
                    done[key(spec)] = result = child.make(spec)
                    report(spec, result)

    count = min(_lanes(), len(groups))
    with ThreadPoolExecutor(max_workers=max(1, count)) as lanes, _stopping(stopped, children):
        for future in [lanes.submit(lane) for _ in range(count)]:
            future.result()
    return done


@contextlib.contextmanager
def _stopping(stopped: threading.Event, children: Sequence[Child]) -> Iterator[None]:
    """After Ctrl-C let no lane go on with what nobody waits for."""
    try:
        yield
    except BaseException:
        stopped.set()
        for child in children:
            child.kill()
        raise


def key(spec: BuildSpec) -> str:
    """Return a text that tells artifacts apart within one run."""
    return json.dumps(dataclasses.asdict(spec), sort_keys=True)


class Child:
    """A building process, restarted when it dies or hangs. Use it in `with`."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[str] | None = None
        self._answers: IO[str] | None = None
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._log.close()

    def make(self, spec: BuildSpec) -> Artifact | Refused:
        """Build one artifact; a child that dies or takes too long is an answer too."""
        process, answers = self._started()
        late = threading.Event()

        def expire() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._deadline_s, expire)
        timer.start()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(dataclasses.asdict(spec)) + "\n")
            process.stdin.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            return self._died(late.is_set())
        made, table = json.loads(line)
        return _schema.typed(Artifact, table) if made else _schema.typed(Refused, table)

    def kill(self) -> None:
        """End what it is doing, from any thread."""
        if self._process is not None:
            self._process.kill()

    def _died(self, late: bool) -> Refused:
        assert self._process is not None
        code = self._process.wait()
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - TAIL_BYTES))
        said = last_line(self._log.read().decode(errors="replace"))
        self._stop()
        what = f"took over {self._deadline_s:g} s" if late else f"exited with {code}"
        return Refused("failed", f"the build {what}: {said or 'no output'}"[:LONGEST])

    def _started(self) -> tuple[subprocess.Popen[str], IO[str]]:
        if self._process is None or self._answers is None:
            reader, writer = os.pipe()
            cores = max(1, (os.cpu_count() or 1) // _lanes())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "paretomark.models.build._child", str(writer)],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(writer,),
                env={**os.environ, "OMP_NUM_THREADS": str(cores), "PYTHONWARNINGS": "ignore"},
                text=True,
            )
            os.close(writer)
            self._answers = os.fdopen(reader)
        return self._process, self._answers

    def _stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._answers is not None:
            self._answers.close()
        self._process = self._answers = None


def _functions(specs: Sequence[BuildSpec]) -> Iterator[str]:
    """The functions of the user's that make nets, where they can be read."""
    for spec in specs:
        with contextlib.suppress(UserError):  # which the look into the cache meets as well
            yield from _artifact.functions(spec.model, spec.recipe.steps)


def _group(spec: BuildSpec) -> str:
    """The same for those that share the float net, and so the work of its steps."""
    steps = Recipe(steps=spec.recipe.steps)
    return key(dataclasses.replace(spec, recipe=steps, format="", batch=0))


def _lanes() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // MEMORY_PER_CHILD_BYTES))
