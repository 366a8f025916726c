"""Which class is which: what `classes.txt` declares, and in what order class folders are.

There is one order for all splits: a class that has no picture in one of them keeps its index.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from paretomark.models.data import _files
from paretomark.models.data._notes import Notes, some
from paretomark.suites.spec._errors import UserError

DECLARATION = "classes.txt"
IDENTIFIERS = 100_000  # numbers from here on are names, as those of WordNet, not indices
_NUMBER = re.compile(r"[0-9]+")


def declared(root: Path) -> tuple[str, ...]:
    """Return the classes that `classes.txt` in the root of a data set declares, one a line; () if
    there is none.

    Raises UserError for an empty line between classes, and for a class that is there twice.
    """
    file = root / DECLARATION
    if not file.is_file():
        return ()
    lines = [line.strip() for line in _files.text(file).rstrip().splitlines()]
    for number, name in enumerate(lines, start=1):
        if not name:
            raise UserError(f"{file}, line {number} is empty: line n is class n, from 0 on")
        if (first := lines.index(name) + 1) < number:
            raise UserError(f"{file}, line {number}: '{name}' stands in line {first} already")
    if not lines:
        raise UserError(f"{file} is empty: it must have a line for each class")
    return tuple(lines)


def ordered(names: Collection[str], root: Path, notes: Notes) -> tuple[str, ...]:
    """Return the names of class folders in the order of their classes.

    It is that of their text, as `torchvision.datasets.ImageFolder` has it; of numbers that count
    from 0 or 1 on, it is that of the numbers. Raises UserError for numbers with gaps, which do not
    say whether they are indices.
    """
    textual, natural = tuple(sorted(names)), tuple(sorted(names, key=_natural))
    if not names or not all(_NUMBER.fullmatch(name) for name in names):
        _tell_orders(textual, natural, "class folders are in the order of their text", notes)
        return textual
    numbers = [int(name) for name in natural]
    count, least = len(numbers), min(numbers)
    if max(numbers) >= IDENTIFIERS:
        _tell_orders(textual, natural, "class folders are in the order of their text", notes)
        return textual
    if least > 1 or numbers != list(range(least, least + count)):
        raise UserError(
            f"class folders of {root} are numbers that do not count from 0 or 1 on without a gap: "
            f"{some(natural)}; say which class is which by {root / DECLARATION}, whose line n, "
            "from 0 on, is the folder of class n"
        )
    if least == 1:
        notes.say("class folders are numbers from 1 on: folder 1 is class 0, and so on")
    if textual != natural:
        notes.say(
            "class folders are in the order of their numbers, not in that of their text, as "
            f"torchvision's ImageFolder has them ({some(textual)}); {DECLARATION} declares another"
        )
    return natural


def indices(names: Iterable[str]) -> dict[str, int]:
    """Return the index of each class."""
    return {name: index for index, name in enumerate(names)}


def _tell_orders(
    textual: tuple[str, ...], natural: tuple[str, ...], what: str, notes: Notes
) -> None:
    if textual != natural:
        notes.say(
            f"{what}, as torchvision's ImageFolder has them: {some(textual)}; by their numbers it "
            f"were {some(natural)}, which {DECLARATION} can declare"
        )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which numbers in names count as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]
