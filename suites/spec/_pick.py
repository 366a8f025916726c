"""What a net has to keep to, to be shipped: `[pick]` of a suite, and `bench.py pick`.

    [pick]
    max_drop = "0.5 points"             # of accuracy, less than the best float net here
    under = "5ms"                       # latency
    max_size = "2MB"                    # of the file
    max_memory = "200MB"                # peak memory of the process
    sure = "80%"                        # with which probability it keeps to all of them

What is "" is no limit.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from paretomark.suites.spec._errors import UserError

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0}
BYTES = {
    **{"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
}
POINTS = {"": 0.01, "points": 0.01, "point": 0.01}  # of 100
SHARE = {"%": 0.01}
_UNITS = {
    "max_drop": (POINTS, "0.5 points"),
    "under": (SECONDS, "5ms"),
    "max_size": (BYTES, "2MB"),
    "max_memory": (BYTES, "200MB"),
    "sure": (SHARE, "80%"),
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(\D*)")


@dataclass(frozen=True)
class Pick:
    """The limits as they are written; see the top of this file."""

    max_drop: str = "0.5 points"
    under: str = ""
    max_size: str = ""
    max_memory: str = ""
    sure: str = "80%"


@dataclass(frozen=True)
class Limits:
    """The same as numbers: a share of one, seconds, bytes, a probability; None is no limit."""

    drop: float | None
    latency_s: float | None
    size_bytes: float | None
    memory_bytes: float | None
    sure: float


def limits(pick: Pick, where: str = "[pick] ") -> Limits:
    """Read them. Raises UserError for what is none, with `where` it was written before the key."""
    values = {
        field.name: _value(field.name, getattr(pick, field.name), where)
        for field in dataclasses.fields(pick)
    }
    sure = values["sure"]
    if sure is None or not 0.5 <= sure < 1:
        raise UserError(f'{where}sure = "{pick.sure}": must lie between 50% and 100%')
    return Limits(
        values["max_drop"], values["under"], values["max_size"], values["max_memory"], sure
    )


def _value(key: str, text: str, where: str) -> float | None:
    if not text:
        return None
    units, example = _UNITS[key]
    found = _NUMBER.fullmatch(text.strip())
    factor = units.get(found[2].strip()) if found else None
    value = float(found[1]) * factor if found and factor is not None else math.nan
    if not 0 <= value < math.inf or (value == 0 and key != "max_drop"):
        raise UserError(f'{where}{key} = "{text}": must be written as "{example}"')
    return value
