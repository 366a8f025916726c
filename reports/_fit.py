"""Which columns a terminal has room for, and how wide each of them is.

Columns give way by importance: names, accuracy, latency and the mark of the front stay. Names are
whole; where that is too wide, model and recipe stand below each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from paretomark.reports import _console

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NAMES = ("model", "recipe")
CELL = "model/recipe"  # the column of both
KEPT = ("front_probability", "accuracy", "latency_s")
# The others, those first that go last; what is not named here goes before all of them.
OTHERS = ("delta", "speedup", "artifact_bytes", "throughput", "energy_j", "zeros")
LONG = 20  # letters of a number with its interval; what is longer is a note, which may be folded
LEAST = 8  # letters of a name, where there is room for no more
GAP = 2  # letters between columns


@dataclass(frozen=True)
class Fit:
    """The widths of the columns that are shown, by name, and those that are not.

    In place of NAMES there may be CELL.
    """

    widths: Mapping[str, int]
    hidden: tuple[str, ...]

    @property
    def stacked(self) -> bool:
        """Whether model and recipe share a column."""
        return CELL in self.widths


def fit(texts: Mapping[str, Sequence[str]], room: int) -> Fit:
    """Choose from columns, given all that stands in each, what fits into `room` letters."""
    full = {name: max(map(len, column), default=0) for name, column in texts.items()}
    usual = {
        name: full[name] if name in NAMES else max(map(_usual, column), default=0)
        for name, column in texts.items()
    }
    must = [name for name in texts if name in (*NAMES, *KEPT)]
    if _sum(usual[name] for name in must) > room and {*NAMES} <= texts.keys():
        both = [
            f"{model}/{recipe}" for model, recipe in zip(*(texts[n] for n in NAMES), strict=True)
        ]
        usual[CELL], full[CELL] = max(map(_console.longest_part, both)), max(map(len, both))
        must = [CELL, *(name for name in must if name not in NAMES)]
    if _sum(usual[name] for name in must) > room:
        usual |= {name: max(map(_word, texts[name])) for name in must if name in KEPT}
        over = _sum(usual[name] for name in must) - room
        longest = max(must, key=lambda name: usual[name] if name not in KEPT else 0)
        usual[longest] -= max(0, min(over, usual[longest] - LEAST))
    shown = list(must)
    for name in sorted(texts, key=_rank):
        if name not in (*NAMES, *KEPT) and _sum(usual[n] for n in (*shown, name)) <= room:
            shown.append(name)
    widths = {name: usual[name] for name in shown}
    spare = room - _sum(widths.values())
    for name in sorted(shown, key=lambda name: full[name] - usual[name]):
        more = max(0, min(spare, full[name] - widths[name]))
        widths[name] += more
        spare -= more
    hidden = (name for name in texts if name not in (*shown, *NAMES))
    return Fit(widths, tuple(hidden))


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[Text]],
    must: Sequence[str],
    cells: Sequence[str],
    room: int,
    numbers: Sequence[str] = (),
) -> tuple[Table, tuple[str, ...]]:
    """Lay out rows in `room` letters, and name the columns that it has no room for.

    `must` are the titles that stay, and `cells` those of names, which are broken at slashes only;
    of the others the last go first. `numbers` stand on the right.
    """
    columns = dict(zip(titles, zip(*rows, strict=True), strict=True)) if rows else {}
    texts = {title: [title, *(text.plain for text in columns.get(title, ()))] for title in titles}
    full = {title: max(map(len, column)) for title, column in texts.items()}
    widths = {
        title: max(map(_console.longest_part if title in cells else _usual, column))
        for title, column in texts.items()
    }
    shown = [title for title in titles if title in must]
    for title in titles:
        if title not in shown and _sum(widths[each] for each in (*shown, title)) <= room:
            shown.append(title)
    spare = room - _sum(widths[title] for title in shown)
    for title in sorted(shown, key=lambda title: title not in cells):
        more = max(0, min(spare, full[title] - widths[title]))
        widths[title] += more
        spare -= more
    kept = [title for title in titles if title in shown]
    body = _console.frame()
    for title in kept:
        side: Literal["left", "right"] = "right" if title in numbers else "left"
        body.add_column(title, justify=side, width=widths[title], overflow="fold")
    for row in zip(*(columns.get(title, ()) for title in kept), strict=True):
        named = zip(kept, row, strict=True)
        body.add_row(*(_broken(t, widths[title]) if title in cells else t for title, t in named))
    return body, tuple(title for title in titles if title not in shown)


def _broken(name: Text, width: int) -> Text:
    from rich.text import Text

    return Text(_console.broken(name.plain, width), name.style)


def hidden(titles: Sequence[str], where: str) -> str:
    """Say which columns there is no room for, and where they are besides."""
    return f"Hidden: {', '.join(titles)}: in a wider terminal, {where}."


def _rank(name: str) -> int:
    return OTHERS.index(name) if name in OTHERS else len(OTHERS)


def _sum(widths: Iterable[int]) -> int:
    """How wide columns are side by side."""
    several = list(widths)
    return sum(several) + GAP * (len(several) - 1)


def _usual(text: str) -> int:
    return len(text) if len(text) <= LONG else _word(text)


def _word(text: str) -> int:
    return max(map(len, text.split()), default=0)
