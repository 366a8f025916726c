"""In which facts two artifacts differ that go by one name, in words.

The facts are those that `models/build/_identity.py` wrote into the lineage. Records are foreign:
what is not as it must be there is passed over, for the identities have told already that they
differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

MOST = 4  # differences that are named
_KINDS = {
    "net": "the net is another",
    "recipe": "the recipe is another",
    "seed": "the seed is another",
    "calibration": "the calibration pictures are others",
    "data": "the data are others",
}
# Of these, values say nothing to a reader.
_DIGESTS = {"structure": "its layers or code", "weights": "its weights", "file": "the file"}


class Made(Protocol):
    """What tells what it is made of: a row."""

    @property
    def identity(self) -> str: ...
    @property
    def lineage(self) -> str: ...


def changes(a: Made, b: Made) -> str:
    """What is another in b than in a; "" if both are the same thing.

    Where one of them has no identity, as of a version that did not record any, they count as the
    same only if neither has.
    """
    if a.identity == b.identity:
        return ""
    if not (a.identity and b.identity):
        return "one of the runs does not tell what it measured: it is of an older version"
    one, other = _facts(a), _facts(b)
    found = []
    for kind, sentence in _KINDS.items() if one and other else ():
        if one.get(kind) != other.get(kind):
            what = list(dict.fromkeys(_differences(one.get(kind), other.get(kind), kind)))
            more = [f"and {len(what) - MOST} more"] if len(what) > MOST else []
            found.append(f"{sentence}: {', '.join([*what[:MOST], *more])}")
    return "; ".join(found) or "it is another artifact"


def _facts(row: Made) -> Mapping[str, Any]:
    try:
        lineage = json.loads(row.lineage)
    except (ValueError, RecursionError):
        return {}
    facts = lineage.get("identity") if isinstance(lineage, dict) else None
    return facts if isinstance(facts, dict) else {}


def _differences(a: object, b: object, name: str) -> Iterator[str]:
    """Each value that differs, as `name before → after`."""
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys((*a, *b)):
            if name == "net" and key in _DIGESTS:
                yield from [_DIGESTS[key]] * (a.get(key) != b.get(key))
            else:
                yield from _differences(a.get(key), b.get(key), str(key))
    elif name == "steps" and _methods(a) == _methods(b) != []:
        for mine, yours in zip(_listed(a), _listed(b), strict=True):
            yield from _differences(mine, yours, "step")
    else:
        yield f"{name} {_written(a)} → {_written(b)}"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _methods(steps: object) -> list[object]:
    """The methods of a list of steps."""
    return [step.get("method") for step in _listed(steps) if isinstance(step, dict)]


def _written(value: object) -> str:
    if isinstance(value, list):
        return " > ".join(map(str, _methods(value) or value)) or "none"
    return "none" if value in (None, "") else str(value)
