"""What the readers of others' results have in common.

A reader is a file of this folder without a leading underscore, and the name of a format. It has

    def reads(source: Source) -> bool            tells by the content whether it is such a file
    def read(source: Source) -> Imported         takes what the file holds

Every file is taken for hostile: its size is bounded, its numbers are finite, and what does not fit
is told by file and field. Host and user names and paths are left out; nothing is made up: what a
tool gives as one figure of many calls is one figure, and no sample.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.spec import _errors, _schema
from paretomark.suites.spec._errors import UserError

T = TypeVar("T")
MAX_FILE_BYTES = 64 * 2**20
MAX_RECORDS = 100_000
MAX_NAME = 200  # characters
# A record holds whole nanoseconds, and some tools tell few digits. What is known worse is none.
MAX_ROUNDING = 0.05
WORTH_TELLING = 0.005
LONGEST_NS = 2**62
AS_GIVEN = "as given"  # the recipe of what says nothing of one
_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|~?/|\\\\)[^\s'\"<>|:;,()]*")


@dataclass(frozen=True)
class Source:
    """A file to import, as text."""

    path: Path
    text: str

    @functools.cached_property
    def table(self) -> Mapping[str, Any]:
        """What it holds as JSON; an empty table for what is none."""
        try:
            table = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return table if isinstance(table, dict) else {}

    def sibling(self, name: str) -> Source | None:
        """The file of that name beside it; None if there is none."""
        path = self.path.with_name(name)
        return opened(path) if path.is_file() else None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a file says of the machine that it is from; 0 and "" are `not told`."""

    chip: str = ""
    cores: int = 0
    memory_bytes: int = 0
    system: str = ""
    python: str = ""
    more: tuple[str, ...] = ()  # further facts that tell machines apart, such as sizes of caches


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a file holds: one record a visit, without its block and start."""

    tool: str  # with its version, where that is told
    records: tuple[Record, ...]
    machine: Machine = Machine()
    versions: Mapping[str, str] = field(default_factory=dict)
    started: str = ""  # UTC; "" where it is not told
    left_out: tuple[str, ...] = ()  # what the file holds and a record cannot


def opened(path: Path) -> Source:
    """Read a file. Raises UserError if that is not possible, or it is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UserError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB: no file of results")
        return Source(path, content.decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text, so no file of results") from None


def typed(kind: type[T], table: object, where: str) -> T:
    """Take the fields of a dataclass from a table that may have more, named as in the metadata
    `key` of each. Raises UserError with the place of what does not fit."""
    if not isinstance(table, Mapping):
        raise UserError(f"{where} must be a table")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    given = {f.name: table[key] for f in fields if (key := f.metadata.get("key", f.name)) in table}
    return _schema.read(kind, given, where)


def name(text: str, otherwise: str = "") -> str:
    """Make one part of a cell's key of foreign text: one line, without a slash."""
    plain = _errors.line(text).replace("/", " ").strip()[:MAX_NAME]
    return plain or otherwise


def last(path: str) -> str:
    """Return the last part of a path or of `owner/name`, which tells nobody's folders."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def without_paths(text: str, *names: str) -> str:
    """Return a message with the last part of each path only, and without these names."""
    plain = _PATH.sub(lambda found: last(found[0]), _errors.line(text))
    for each in filter(None, names):
        plain = plain.replace(each, "…")
    return _errors.shortened(plain, _errors.LONGEST)


def whole_ns(value_s: float, where: str) -> int:
    """Return a time in nanoseconds. Raises UserError for what is no time of a call."""
    nanoseconds = value_s * 1e9
    if not 0 < nanoseconds < LONGEST_NS:
        raise UserError(f"{where} must be a time above 0, got {value_s:g} s")
    return max(1, round(nanoseconds))


def visit(
    tool: str,
    *,
    model: str,
    values_s: Sequence[float],
    where: str,
    recipe: str = AS_GIVEN,
    device: str,
    threads: int = 0,
    batch: int = 1,
    length: int = 0,
    rounding_s: float = 0.0,
    **facts: Any,
) -> Record:
    """Make a record of a visit, from each call that it was timed with, or from one figure of many.

    `rounding_s` is by how much the file's digits leave a time open. A visit that has no time takes
    `status` and `reason` among the `facts`, and one that is not known to MAX_ROUNDING gets them.
    Raises UserError for values that no record can have.
    """
    place = f"{model}/{recipe}/{device}/b{batch}/t{threads}" + (f"/l{length}" if length else "")
    samples = tuple(whole_ns(value, where) for value in values_s)
    values: dict[str, Any] = {"status": "ok", "slices_ns": (samples,) if samples else ()}
    share = max(rounding_s, 0.5e-9) / min(values_s) if values_s else 0.0
    warnings = tuple(facts.pop("warnings", ()))
    if share > MAX_ROUNDING:
        values = {
            "status": "unsupported",
            "stage": "import",
            "reason": f"its time is told to ±{100 * share:.0f} % only",
        }
    elif share > WORTH_TELLING:
        warnings += (f"told in so few digits that it is known to ±{100 * share:.1f} % only",)
    try:
        return Record(
            cell=place,
            model=model,
            recipe=recipe,
            steps="",
            precision=facts.pop("precision", ""),
            device=device,
            batch=batch,
            threads=threads,
            length=length,
            block=0,
            started="",
            imported=tool,
            warnings=warnings,
            **values | facts,
        )
    except Malformed as error:
        raise UserError(f"{where}: {error}") from None


def utc(text: str) -> str:
    """Return a date as records have it; "" for what is none."""
    from datetime import UTC, datetime

    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ""
