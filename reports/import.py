"""Import results that other tools wrote, as a run.

Its rows bear the tool's name, are on no front with rows that were measured here, and have no
lineage.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.reports._command import ALL_WELL
from paretomark.suites.records import _commits, _store
from paretomark.suites.records._record import SCHEMA, Header, Host, Probe, Record
from paretomark.suites.records._store import Run
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from paretomark.reports.readers._foreign import Imported, Machine, Source

NEEDS = ("reads(source)", "read(source)")
UNKNOWN = "a machine without a name"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="of one machine")
    parser.add_argument(
        "--format", help=f"{', '.join(formats())} (default: what the content looks like)"
    )
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/FORMAT-DATE)")
    parser.add_argument(
        "--commit", default="", metavar="REV", help="of your project, that the results are of"
    )
    parser.add_argument(
        "--machine",
        default="",
        metavar="NAME",
        help="which machine they are from: runs of one name can be compared",
    )
    parser.add_argument("--suite", default="", metavar="NAME", help="default: the format")


def command(arguments: argparse.Namespace) -> int:
    """Write the run. Raises UserError for what is no file of results, or does not fit together."""
    form, found = read(arguments.files, arguments.format)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = arguments.out or Path("runs") / f"{form}-{stamp}"
    commit = _commit(arguments.commit) if arguments.commit else ""
    run = made(folder, found, form, arguments.files, commit, arguments.machine, arguments.suite)
    written(run)
    _tell(run, found, arguments.machine)
    return ALL_WELL


def formats() -> list[str]:
    """What can be imported, as one names it."""
    return [name.replace("_", "-") for name in _plugins.names("readers")]


def read(files: Sequence[Path], form: str | None = None) -> tuple[str, list[Imported]]:
    """Read files of one format, which is found by their content unless it is named.

    Raises UserError for a file of no known format, of another than the first, or a damaged one.
    """
    from paretomark.reports.readers import _foreign

    if form is not None and form not in formats():
        raise unknown("format to import", form, formats())
    found: list[Imported] = []
    for path in files:
        source = _foreign.opened(path)
        mine = form or _recognised(source)
        if form is not None and not _reader(form).reads(source):
            raise UserError(f"{path}: not a file of {form}: leave out --format to have it found")
        form = mine
        found.append(_reader(mine).read(source))
    return form or "", found


def _recognised(source: Source) -> str:
    fits = [form for form in formats() if _reader(form).reads(source)]
    if len(fits) != 1:
        what = "several formats" if fits else "no format that is known here"
        raise UserError(
            f"{source.path}: of {what}; name it with --format: {', '.join(fits or formats())}"
        )
    return fits[0]


def _reader(form: str):  # type: ignore[no-untyped-def]  # a module, whose functions NEEDS names
    return _plugins.module("readers", form.replace("-", "_"), NEEDS)


def _commit(revision: str) -> str:
    """The commit in full; one that is given in full need not be known here."""
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else _commits.resolve(revision)


def made(
    folder: Path,
    found: Sequence[Imported],
    form: str,
    files: Sequence[Path],
    commit: str = "",
    machine: str = "",
    suite: str = "",
) -> Run:
    """Make a run of what was read: further records of a cell are further visits.

    Raises UserError if the files are of several machines or tools.
    """
    first, *others = found
    for path, other in zip(files[1:], others, strict=True):
        if other.machine != first.machine or other.tool != first.tool:
            raise UserError(
                f"{path}: of another machine or version than {files[0]}: import them one by one"
            )
    began = [each.started or _changed(path) for path, each in zip(files, found, strict=True)]
    records = _blocks(found, began)
    if not records:
        raise UserError(f"{files[0]}: holds no result")
    cells = tuple(dict.fromkeys(record.cell for record in records))
    host = _host(first.machine, form, machine, b"" if machine else _contents(files))
    versions = {name: text for each in found for name, text in each.versions.items()}
    devices = dict.fromkeys(record.device for record in records)
    probes = [Probe(device=d, available=True, chip=host.chip, versions=versions) for d in devices]
    header = Header(
        schema=SCHEMA,
        run=folder.name,
        suite=suite or form,
        title=f"Imported: {first.tool}",
        started=min(began),
        commit=commit,
        dirty=False,
        version=metadata.version("paretomark"),
        host=host,
        probes=tuple(probes),
        cells=cells,
        blocks=1 + max(record.block for record in records),
        seed=0,
        request={"imported": form},
    )
    return Run(folder, header, tuple(records))


def _blocks(found: Sequence[Imported], began: Sequence[str]) -> list[Record]:
    """The records with their block: the how manieth visit of its cell each is."""
    seen: Counter[str] = Counter()
    records = []
    for each, started in zip(found, began, strict=True):
        for record in each.records:
            block = seen[record.cell]
            records.append(dataclasses.replace(record, block=block, started=started))
            seen[record.cell] += 1
    return records


def _changed(path: Path) -> str:
    """When a file that does not tell its date was written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _contents(files: Sequence[Path]) -> bytes:
    return b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)


def _host(machine: Machine, form: str, name: str, contents: bytes) -> Host:
    """The machine as the file and the user tell it. One that neither names is like no other."""
    facts = [name, form if not name else "", *map(str, dataclasses.astuple(machine))]
    told = bool(name or machine.chip or machine.more)
    digest = hashlib.sha256("\n".join(facts).encode() + (b"" if told else contents))
    return Host(
        fingerprint=f"imported-{digest.hexdigest()[:8]}",
        chip=name
        or machine.chip
        or (UNKNOWN + f", of {machine.cores} cores" if machine.cores else UNKNOWN),
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        system=machine.system,
        python=machine.python,
    )


def written(run: Run) -> None:
    """Write a run, all of it or nothing. Raises UserError if there is something already."""
    if run.folder.exists():
        raise UserError(f"{run.folder}: there is something here already; choose another --out")
    try:
        run.folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{run.folder.name}-", dir=run.folder.parent))
    except OSError as error:
        raise UserError(f"{run.folder}: cannot write here ({error.strerror})") from None
    try:
        part = place / "run"
        _store.create(part, run.header)
        with (part / _store.RECORDS).open("wb") as file:
            file.writelines(map(_store.line, run.records))
            file.flush()
            os.fsync(file.fileno())
        part.rename(run.folder)
    except OSError as error:
        raise UserError(f"{run.folder}: cannot write here ({error.strerror})") from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _tell(run: Run, found: Sequence[Imported], machine: str) -> None:
    from paretomark.reports import _text

    header = run.header
    failed = sum(record.status != "ok" for record in run.records)
    bad = f", {failed} of them without a time" if failed else ""
    print(f"{run.folder}: {len(header.cells)} cells, {len(run.records)} visits{bad}")
    print(f"measured by {_text.clean(found[0].tool)}; no accuracy, no lineage")
    left_out = dict.fromkeys(text for each in found for text in each.left_out)
    print(f"left out: {'; '.join(left_out)}" if left_out else "nothing was left out")
    if not (machine or found[0].machine.chip or found[0].machine.more):
        print("the machine is not told: name it with --machine to compare this run with others")
