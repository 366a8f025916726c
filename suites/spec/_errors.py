"""The one exception that means "the user can fix this", how near misses are named, and what others'
exceptions say in one line.

Everything raised as `UserError` reaches the terminal as one line and exit code 2;
any other exception is a fault of this program and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST = 100  # valid names that are all told
LONGEST = 500  # characters of what an exception says
# Escape sequences of a terminal: CSI, which colours; OSC, which links and titles; other short ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)


class UserError(Exception):
    """What is wrong, where, and what to do next, in one sentence."""


def unknown(kind: str, name: str, valid: Iterable[str], where: str = "") -> UserError:
    """Return an error for `name`, which is none of `valid`, that names the nearest valid one."""
    return _near(f"unknown {kind} '{name}'", name, valid, where)


def unmatched(kind: str, pattern: str, valid: Iterable[str], where: str = "") -> UserError:
    """Return an error for a pattern that none of `valid` matches, that names the nearest ones."""
    return _near(f"no {kind} matches '{pattern}'", pattern.replace("*", ""), valid, where)


def _near(what: str, name: str, valid: Iterable[str], where: str) -> UserError:
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=10, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    place = f"{where}: " if where else ""
    if len(names) > MOST:
        return UserError(f"{place}{what}; {hint}like it: {', '.join(near) or '-'}")
    return UserError(f"{place}{what}; {hint}valid: {', '.join(names) or 'none'}")


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


def explained(error: BaseException, limit: int = LONGEST) -> str:
    """Return what an exception says, in one line of at most `limit` characters, with its type.

    What others raise often only tells which step failed. So the cause that it was raised from comes
    first, the innermost that says something, and the exception itself behind it: "ValueError: no
    such layer; TorchExportError: the export failed". What it was raised after, while that was
    handled, comes last. Of a group each member is told. A UserError speaks for itself.
    """
    texts: list[str] = []
    for each in _chain(error):
        if (text := _said(each)) not in texts:
            texts.append(text)
    spoken = [text for text in texts if not text.isidentifier()] or texts[:1]
    whole = "; ".join(spoken)
    if len(whole) <= limit:
        return whole
    first, *rest = spoken
    behind = f"; {shortened('; '.join(rest), limit // 3)}" if rest else ""
    return shortened(first, limit - len(behind)) + behind


def line(text: str) -> str:
    """Return foreign text as one line, without escape sequences and control characters."""
    plain = _ESCAPES.sub("", text)
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())


def last_line(log: str) -> str:
    """Return the last line of a log that says something; "" if none does."""
    return next(filter(None, map(line, reversed(log.splitlines()))), "")


def shortened(text: str, limit: int) -> str:
    """Return both ends of a text that is longer than `limit`: what is wrong may stand in either."""
    if len(text) <= limit:
        return text
    tail = (limit - 3) // 3
    return f"{text[: limit - 3 - tail].rstrip()} … {text[-tail:].lstrip()}"


def _chain(error: BaseException) -> list[BaseException]:
    """An exception with its causes, the innermost first, then those that it was raised after."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    after: list[BaseException] = []
    inner = causes[-1]
    while not inner.__suppress_context__ and (context := inner.__context__) is not None:
        if context in causes or context in after:
            break
        after.append(inner := context)
    return [*reversed(causes), *after]


def _said(error: BaseException) -> str:
    """The type and the message of one exception, the type alone where it has no message."""
    if isinstance(error, BaseExceptionGroup):
        members = " | ".join(explained(member) for member in error.exceptions)
        return f"{type(error).__name__}: {line(error.message)}: {members}"
    try:
        text = line(str(error))
    except Exception:  # a faulty __str__ must not hide the fault that it should tell
        text = ""
    if isinstance(error, UserError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
