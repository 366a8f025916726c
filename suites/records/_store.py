"""Where runs live: `runs/<id>/run.json` (the header) and `records.jsonl`, append-only.

A line is a checksum, a space, and the record as JSON. It is on the disk before `append`
returns. A torn last line (power cut, kill) is skipped; a bad line anywhere else is an error
with file and line, for then something else is wrong.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from paretomark.suites.records._record import SCHEMA, Header, Malformed, Record, upgraded
from paretomark.suites.spec._errors import UserError

MAX_LINE_BYTES = 16 * 2**20
HEADER, RECORDS = "run.json", "records.jsonl"


@dataclass(frozen=True)
class Run:
    """A run as read from disk."""

    folder: Path
    header: Header
    records: tuple[Record, ...]


class Writer:
    """Appends records to a run; one writer per run, which a lock enforces. Use it in `with`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORDS
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        file = self._path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise UserError(f"{self._path}: another process is writing to this run") from None
        _cut_torn_line(file)
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, record: Record) -> None:
        """Write one record; it is durable when this returns."""
        if self._file is None:
            raise ValueError("the writer is not open: use it in a with statement")
        self._file.write(line(record))
        self._file.flush()
        os.fsync(self._file.fileno())


def line(record: Record) -> bytes:
    """Return the line of a record. Raises ValueError if it is too long to be read back."""
    text = json.dumps(record.to_json(), separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_LINE_BYTES // 2:
        raise ValueError(f"a record of {len(text)} bytes is too large: take fewer samples")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def create(folder: Path, header: Header) -> None:
    """Make the folder of a new run and write its header. Raises UserError if it cannot."""
    try:
        folder.mkdir(parents=True)
        part = folder / (HEADER + ".part")
        with part.open("w") as file:
            json.dump(header.to_json(), file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / HEADER)
    except FileExistsError:
        raise UserError(
            f"{folder}: there is a run here already; continue it with --resume"
        ) from None
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write here ({error.strerror}); choose another folder with --out"
        ) from None


def read(folder: Path) -> Run:
    """Read a run back. Raises UserError that names file and line of what is missing or damaged."""
    head = header(folder)
    return Run(folder, head, tuple(_records(folder / RECORDS, head.schema)))


def header(folder: Path) -> Header:
    """Read the header of a run alone. Raises UserError as `read` does."""
    path = folder / HEADER
    try:
        table = json.loads(path.read_text())
        if newer := _newer(table):
            raise UserError(f"{path}: {newer}")
        return Header.from_json(table)
    except FileNotFoundError:
        if (folder / "profile.json").exists():
            raise UserError(f"{folder}: a profile, not a run: its times enter no report") from None
        raise UserError(f"{folder}: not a run (no {HEADER}); `bench.py run` makes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable header: {error}") from None


def _newer(table: object) -> str:
    """What to do about a header that a newer version wrote; "" if this version can read it."""
    schema = table.get("schema") if isinstance(table, dict) else None
    if not isinstance(schema, int) or schema <= SCHEMA:
        return ""
    return (
        f"written by a newer version of paretomark (schema {schema}; this one reads up to "
        f"{SCHEMA}): update paretomark to read it"
    )


def _records(path: Path, schema: int) -> list[Record]:
    if not path.exists():
        return []
    records = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start=1):
            try:
                records.append(_parse(line, schema))
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n") and not file.read(1):
                    break  # torn: the writer was killed inside this line
                raise UserError(f"{path}, line {number}: {error}") from None
    return records


def _parse(line: bytes, schema: int) -> Record:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n"):
        raise Malformed("the line does not end")
    if checksum != b"%08x" % zlib.crc32(text):
        raise Malformed("the checksum does not fit: the line was changed or damaged")
    return Record.from_json(upgraded(json.loads(text), schema))


def _cut_torn_line(file: BinaryIO) -> None:
    """Drop an unfinished last line, lest the next record be glued to it."""
    file.seek(0)
    whole = 0
    for line in file:
        if line.endswith(b"\n"):
            whole += len(line)
    file.truncate(whole)
    file.seek(0, os.SEEK_END)
