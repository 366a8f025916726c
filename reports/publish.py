"""Copy a run so that it can be published: without paths, user and host of this machine.

A path becomes its last part. All else stays as it is: samples, answers, versions, the suite. The
copy is a run like any other, to report, to compare and to put on a leaderboard; it cannot be
resumed, for it no longer says where its files lay.
"""

from __future__ import annotations

import argparse
import getpass
import re
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paretomark.reports._command import ALL_WELL
from paretomark.suites.records import _store
from paretomark.suites.records._record import Header, Record
from paretomark.suites.spec._errors import UserError

# An absolute path of two parts or more, which no word and no address of the web goes before.
_END = r"\s/\\\"'<>|:;,(){}\[\]"
_PATH = re.compile(rf"(?<![\w./-])(?:~|[A-Za-z]:)?[/\\](?:[^{_END}]+[/\\])+([^{_END}]*)")
SHORTEST = 4  # letters of a name that is taken out: shorter ones are parts of other words
COMMON = ("root", "user", "admin", "runner", "localhost", "ubuntu", "debian")
NOBODY = "someone"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the copy, a new one")


def command(arguments: argparse.Namespace) -> int:
    """Write the copy, and say what was taken out. Raises UserError for what is no run, and for a
    folder that is there already."""
    taken: dict[str, str] = {}
    write(arguments.run, arguments.out, taken)
    for before, after in taken.items():
        print(f"{before} → {after or 'nothing'}")
    print(f"{arguments.out}: {len(taken)} texts taken out; `bench.py report` writes its page")
    return ALL_WELL


def write(source: Path, out: Path, taken: dict[str, str] | None = None) -> None:
    """Write a copy of the run `source` into the new folder `out`; `taken` gets what was taken out,
    and what stands there instead. Raises UserError."""
    run = _store.read(source)
    if out.exists():
        raise UserError(f"{out}: is there already; choose a new folder for the copy")
    clean = cleaner(run.header, {} if taken is None else taken)
    header = run.header.to_json()
    header["request"] = {k: v for k, v in header["request"].items() if k != "folder"}
    records = [Record.from_json(_each(record.to_json(), clean)) for record in run.records]
    _store.create(out, Header.from_json(_each(header, clean)))
    try:
        with (out / _store.RECORDS).open("xb") as file:
            file.writelines(map(_store.line, records))
    except OSError as error:
        raise UserError(f"{out}: cannot write ({error.strerror}); choose another folder") from None


def cleaner(header: Header, taken: dict[str, str]) -> Callable[[str], str]:
    """Return what takes paths and names out of a text."""
    known = _folders(header)
    names = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE) for name in _names()]

    def last(found: re.Match[str]) -> str:
        return taken.setdefault(found[0], found[1])

    def clean(text: str) -> str:
        for folder in known:
            if f"{folder}/" in text:
                taken[folder] = ""
                text = text.replace(f"{folder}/", "")
        text = _PATH.sub(last, text)
        for name in names:
            text = name.sub(lambda found: taken.setdefault(found[0], NOBODY), text)
        return text

    return clean


def _folders(header: Header) -> list[str]:
    """Folders whose names may have spaces in them, the deepest first."""
    told = header.request.get("folder")
    places = [told if isinstance(told, str) else "", str(Path.home()), tempfile.gettempdir()]
    return sorted({place.rstrip("/") for place in places if len(place) > 1}, key=len, reverse=True)


def _names() -> Sequence[str]:
    try:
        names = {getpass.getuser(), socket.gethostname()}
    except (OSError, KeyError):  # a user without a name
        names = {socket.gethostname()}
    names |= {name.partition(".")[0] for name in names}
    return sorted(n for n in names if len(n) >= SHORTEST and n.lower() not in COMMON)


def _each(value: Any, clean: Callable[[str], str]) -> Any:
    """The same value, with every text in it cleaned; keys too."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _each(item, clean) for key, item in value.items()}
    return [_each(item, clean) for item in value] if isinstance(value, list | tuple) else value
