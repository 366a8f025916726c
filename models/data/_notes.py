"""What a reader of data passes over or changes, gathered as sentences for `Examples.notes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from paretomark.suites.spec._errors import UserError

MOST = 5  # names that are told


@dataclass
class Notes:
    """What happened while data was read."""

    counts: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    deep: list[tuple[int, str]] = field(default_factory=list)  # brightest value and file of 16 bits

    def count(self, what: str, times: int = 1) -> None:
        """Count something that begins with what it is one of: "picture turned as ..."."""
        self.counts[what] += times

    def say(self, sentence: str) -> None:
        """Add a sentence."""
        self.sentences.append(sentence)

    def told(self) -> tuple[str, ...]:
        """Return all as short sentences, as `Examples.notes` has them.

        Raises UserError for pictures of 16 bits that all hold no more than 8.
        """
        counted = [_counted(n, what) for what, n in self.counts.items() if n]
        if self.deep:
            most, file = max(self.deep)
            if 0 < most <= 255:
                raise UserError(
                    f"pictures have 16 bits, but no value above {most} ({file}), so that all are "
                    "black: save values of 8 bits in files of 8 bits"
                )
            what = f"picture of 16 bits, scaled from 0..65535 to 0..255; the brightest has {most}"
            counted.append(_counted(len(self.deep), what))
        return (*self.sentences, *counted)


def some(names: Iterable[object]) -> str:
    """Return the first few names, and how many there are besides."""
    told = [str(name) for name in names]
    more = f" and {len(told) - MOST} more" if len(told) > MOST else ""
    return ", ".join(told[:MOST]) + more


def cover(chosen: Sequence[int], every: Sequence[int], notes: Notes) -> None:
    """Note if the first pictures are of few classes, as where the data is sorted by class."""
    seen, all_of_them = len(set(chosen)), len(set(every))
    if seen < min(len(chosen), all_of_them) / 2:
        notes.say(
            f"the first {len(chosen)} of {len(every)} pictures are of {seen} of {all_of_them} "
            "classes: shuffle the data, or ask for all of it"
        )


def _counted(times: int, what: str) -> str:
    noun, _, rest = what.partition(" ")
    return f"{times} {noun}{'s' * (times != 1)} {rest}"
