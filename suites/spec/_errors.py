"""The one exception that means "the user can fix this", and how near misses are named.

Everything raised as `UserError` reaches the terminal as one line and exit code 2;
any other exception is a fault of this program and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST = 100  # valid names that are all told


class UserError(Exception):
    """What is wrong, where, and what to do next, in one sentence."""


def unknown(kind: str, name: str, valid: Iterable[str], where: str = "") -> UserError:
    """Return an error for `name`, which is none of `valid`, that names the nearest valid one."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=10, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    place = f"{where}: " if where else ""
    if len(names) > MOST:
        return UserError(f"{place}unknown {kind} '{name}'; {hint}like it: {', '.join(near) or '-'}")
    return UserError(f"{place}unknown {kind} '{name}'; {hint}valid: {', '.join(names) or 'none'}")


def nearest(path: Path, *others: str) -> str:
    """Return what to add to an error for a path that is not there: the name beside it, or of
    `others`, that is most like it; "" if none is."""
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, [*others, *beside], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


@contextlib.contextmanager
def at(where: str) -> Iterator[None]:
    """Put in front of every UserError that is raised inside where it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
