"""Revisions side by side: each is planned and built in its own work tree, and the visits of all are
made in the same crews, slice by slice.

Whatever slows the machine slows all sides alike, so this tells more than runs of other hours can.
What is the same file, by the same runtime and code, is timed once, and recorded for all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from paretomark.devices.measure import _collect, _crew, _trees, _work
from paretomark.devices.measure._side import Asked, Planned
from paretomark.devices.measure._trees import Tree, Unbuilt
from paretomark.models.build._artifact import Artifact, Refused
from paretomark.suites.records import _commits, _store, _summary
from paretomark.suites.records._store import Run
from paretomark.suites.spec import _plugins, _schema
from paretomark.suites.spec._errors import UserError, last_line
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import ALONE

NAMES = ("base", "head")
# How cells are measured is said by the suite of the last revision, for all.
MEASURING = (
    *("blocks", "seconds", "max_samples", "seed", "precision", "boundary", "deadline_s"),
    "foreign_load_cores",
)


@dataclasses.dataclass(frozen=True)
class Side:
    """A revision, what its suite comes to, and where its run is kept."""

    tree: Tree
    planned: Planned
    folder: Path

    @property
    def suite(self) -> str:
        """The name of its suite."""
        return self.planned.suite.name


def measure(
    revisions: Sequence[str],
    asked: Asked,
    out: Path,
    progress: _work.Progress,
    *,
    setup: str = "",
    told: Callable[[str], None] = lambda line: None,
    names: Sequence[str] = NAMES,
) -> list[Run]:
    """Build revisions and time them side by side; return a run of each, in folders below `out`.

    `names` are those of the folders; `told` hears what goes on. Raises UserError for revisions that
    there are not, and Unbuilt for one whose suite cannot be run.
    """
    folders = [out / name for name in names[: len(revisions)]]
    with built(revisions, asked, folders, progress, setup=setup, told=told) as sides:
        return timed(sides, progress)


@contextlib.contextmanager
def built(
    revisions: Sequence[str],
    asked: Asked,
    folders: Sequence[Path],
    progress: _work.Progress,
    *,
    setup: str = "",
    told: Callable[[str], None] = lambda line: None,
) -> Iterator[list[Side]]:
    """Check revisions out, and build them, as long as this is open; `folders` are of their runs.

    Raises UserError as `measure` does.
    """
    for folder in folders:
        if folder.exists():
            raise UserError(f"{folder}: there is something here already; choose another --out")
    with _trees.opened(revisions, setup, told) as trees:
        sides = []
        for tree, folder in zip(trees, folders, strict=True):
            short = tree.commit[: _commits.SHORT]
            told(f"{tree.revision} ({short}): building")
            sides.append(Side(tree, _planned(tree, asked, progress), folder))
        yield sides


def timed(sides: Sequence[Side], progress: _work.Progress) -> list[Run]:
    """Time revisions that are built side by side; return a run of each."""
    _check(sides)
    # Their devices, as this process has to know them.
    folders = [Path(place) for place in sides[-1].planned.plugins.split(os.pathsep) if place]
    with _plugins.added(folders):
        return _measured(sides, progress)


def _planned(tree: Tree, asked: Asked, progress: _work.Progress) -> Planned:
    """What a revision's suite comes to, as its child tells."""
    with tempfile.TemporaryDirectory(prefix="paretomark-") as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.json")
        request.write_text(json.dumps(dataclasses.asdict(asked)))
        command = [tree.interpreter.python, "-P", "-m", "paretomark.devices.measure._side"]
        with (
            Path(scratch, "log.txt").open("w+", errors="replace") as log,
            subprocess.Popen(
                [*command, str(request), str(answer)],
                cwd=tree.folder,
                env=tree.interpreter.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            ) as child,
            _ended(child),
        ):
            assert child.stdout is not None
            for line in child.stdout:
                with contextlib.suppress(ValueError, TypeError):
                    progress.building(*json.loads(line))
            child.wait()
            log.seek(0)
            why = last_line(log.read())
        if not answer.exists():
            if "No module named" in why and "_side" in why:
                why = "it is older than compare --run"
            raise Unbuilt(tree.commit, f"{tree.revision}: cannot be built: {why}")
        table = json.loads(answer.read_text())
    if "error" in table:
        raise Unbuilt(tree.commit, f"{tree.revision}: {table['error']}")
    try:
        return _schema.typed(Planned, table)
    except _schema.Invalid as error:
        why = f"{tree.revision}: what it plans cannot be read: {error}"
        raise Unbuilt(tree.commit, why) from None


@contextlib.contextmanager
def _ended(child: subprocess.Popen[str]) -> Iterator[None]:
    """Leave nothing of a child, nor of those that it has started."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _check(sides: Sequence[Side]) -> None:
    """Raise UserError for what cannot be timed side by side."""
    for side in sides:
        if alone := [c.scenario for c in side.planned.cells if c.scenario in ALONE]:
            raise UserError(
                f"the scenario {alone[0]} cannot be timed side by side: run each revision, and "
                "compare the runs; or narrow this by --scenario"
            )
    cells = [{cell.key for cell in side.planned.cells} for side in sides]
    if not set.intersection(*cells):
        raise UserError("the revisions have no cell in common: nothing can be compared")


def _measured(sides: Sequence[Side], progress: _work.Progress) -> list[Run]:
    """Visit the cells of all sides, and give the runs."""
    measuring = {key: getattr(sides[-1].planned.suite, key) for key in MEASURING}
    together, kept = uuid.uuid4().hex[:16], _count(sides, progress)
    with ExitStack() as stack:
        works, cells = [], []
        for side in sides:
            planned = side.planned
            suite = dataclasses.replace(planned.suite, **measuring)
            absent = {p.device: p for p in planned.probes if not p.available}
            possible = [c for c in planned.cells if not _collect.obstacle(c, absent)]
            header = _collect.header(
                side.folder.name,
                suite,
                planned.cells,
                planned.probes,
                commit=side.tree.commit,
                dirty=False,
                version=planned.version,
                request=planned.request,
                together=together,
            )
            _store.create(side.folder, header)
            writer = stack.enter_context(_store.Writer(side.folder))
            built: dict[str, Artifact | Refused] = {**planned.built, **planned.refused}
            where = side.tree.interpreter._replace(plugins=planned.plugins)
            work = _work.Work(suite, possible, built, writer, kept, (), where)
            _collect.keep_obstacles(work, planned.cells, absent, built)
            works.append(work)
            cells.append([cell for cell in possible if cell.key in planned.built])
        own = _twinned(sides, works, cells)
        _visit(sides, works, own, progress)
    return [_store.read(side.folder) for side in sides]


def _count(sides: Sequence[Side], progress: _work.Progress) -> _work.Progress:
    """Progress of one side as a part of that of all."""
    blocks = sides[-1].planned.suite.blocks
    total = blocks * sum(len(side.planned.cells) for side in sides)
    done = 0

    def visiting(_: int, of_side: int, record: object) -> None:
        nonlocal done
        done += 1
        progress.visiting(min(done, total), total, record)  # type: ignore[arg-type]

    return dataclasses.replace(progress, visiting=visiting)


def _twinned(
    sides: Sequence[Side], works: Sequence[_work.Work], cells: Sequence[Sequence[Cell]]
) -> list[list[Cell]]:
    """The cells of each side that are to be visited, without those that an earlier side has too,
    whose visits are recorded for both."""
    own: list[list[Cell]] = []
    for i, (side, work) in enumerate(zip(sides, works, strict=True)):
        own.append([])
        for cell in cells[i]:
            earlier = (
                j
                for j in range(i)
                if cell.key in {c.key for c in own[j]} and is_same(cell.key, sides[j], side)
            )
            first = next(earlier, None)
            if first is None:
                own[i].append(cell)
            else:
                works[first].twins.setdefault(cell.key, []).append((work, cell))
    return own


def is_same(key: str, a: Side, b: Side) -> bool:
    """Tell whether a cell is the same file on both sides, by the same runtime and code."""
    one, other = a.planned.built.get(key), b.planned.built.get(key)
    if one is None or other is None:
        return False
    device = next(cell.device for cell in b.planned.cells if cell.key == key)
    probes = [next((p for p in side.planned.probes if p.device == device), None) for side in (a, b)]
    code = [side.planned.code.get(device) for side in (a, b)]
    facts = [(x.sha256, x.identity, x.preprocess, x.reading, x.data) for x in (one, other)]
    return facts[0] == facts[1] and probes[0] == probes[1] and code[0] == code[1]


def _visit(
    sides: Sequence[Side],
    works: Sequence[_work.Work],
    cells: Sequence[Sequence[Cell]],
    progress: _work.Progress,
) -> None:
    """Visit all, block after block, and then those again that are not known as well as they are to
    be: of all sides, for they are compared."""
    suite = works[-1].suite
    for block in range(suite.blocks + suite.blocks // 3):
        wanted = cells
        if block >= suite.blocks:
            wide = _wide(sides, suite.precision)
            wanted = [[cell for cell in own if cell.key in wide] for own in cells]
            if not any(wanted):
                return
        tasks, of_key = [], {}
        for i, (work, own) in enumerate(zip(works, wanted, strict=True)):
            by_key = {cell.key: cell for cell in own}
            for task in work.tasks(block, own):
                of_key[f"{i} {task.key}"] = work, by_key[task.key]
                tasks.append(dataclasses.replace(task, key=f"{i} {task.key}"))
        rules = works[-1].rules(block)
        random.Random(rules.seed).shuffle(tasks)
        for task, visit in _crew.visits(tasks, rules, progress.turn):
            work, cell = of_key[task.key]
            work.keep(cell, block, visit)


def _wide(sides: Sequence[Side], precision: float) -> set[str]:
    """The cells whose latency is not known well enough on one of the sides."""
    widths = [_summary.half_widths(_store.read(side.folder)) for side in sides]
    return {cell for side in widths for cell, width in side.items() if width > precision}
