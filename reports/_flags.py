"""What is wrong with the flags of a command line: told with the usage of the command it is of."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence

from paretomark.suites.spec._errors import line

FLAG = re.compile(r"--?[A-Za-z][^\s=]*")  # -5 is a number, and what has spaces is a value


def parsed(
    parser: argparse.ArgumentParser, words: Sequence[str], command: str
) -> argparse.Namespace:
    """Parse the words. Ends the program, as argparse does, if the command does not take them."""
    (choices,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    own = choices.choices.get(command)
    _check(words, command, parser, own)
    found, rest = parser.parse_known_args(words)
    if rest:
        (own or parser).error(f"unexpected: {line(' '.join(rest))}")
    return found


def _check(
    words: Sequence[str],
    command: str,
    parser: argparse.ArgumentParser,
    own: argparse.ArgumentParser | None,
) -> None:
    """End the program if one of the words is a flag that the command lacks.

    Before the name of the command stand flags of the program. What is short for a flag will do.
    """
    if "--" in words:
        words = words[: words.index("--")]
    place = words.index(command) if command in words else len(words)
    for part, its in ((words[:place], parser), (words[place:], own)):
        valid = [flag for action in its._actions for flag in action.option_strings] if its else []
        for word in part:
            found = FLAG.match(word)
            if its and found and not any(flag.startswith(found[0]) for flag in valid):
                its.error(_unknown(found[0], valid))


def _unknown(flag: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(flag, valid, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown flag {line(flag)}{hint}"
