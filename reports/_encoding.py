"""What a terminal cannot show becomes what it can: every character that its encoding lacks.

There is one place for that: where text becomes bytes. So it holds for whatever is printed, by
whatever command, to stdout and to stderr, and no command has to know of it.
"""

from __future__ import annotations

import codecs
import functools
import io
import re
import sys
import unicodedata

PLAIN = str.maketrans(
    {
        **{"µ": "u", "μ": "u", "→": "->", "●": "*", "≈": "~", "−": "-", "–": "-", "—": "-"},
        **{"±": "+-", "Δ": "d", "×": "x", "▼": "v", "▲": "^", "✗": "x", "✓": "v", "…": "..."},
        **{"·": ".", "•": "*", "°": "deg", "≤": "<=", "≥": ">=", "“": '"', "”": '"', "’": "'"},
        **{"✅": "+", "❌": "x", "➖": "-", "\N{VARIATION SELECTOR-16}": None},
        **{"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"│": "|", "┃": "|", "║": "|", "█": "#", "\N{NO-BREAK SPACE}": " "},
        **dict(zip("▁▂▃▄▅▆▇", "_.,-=+*", strict=True)),
    }
)
LINES = re.compile(r"[\u2500-\u257f]")  # what boxes are drawn of


def fit() -> None:
    """Let stdout and stderr write what their encoding lacks as ASCII that means the same."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            name = f"paretomark-{stream.encoding}"
            codecs.register_error(name, functools.partial(_replaced, stream.encoding))
            stream.reconfigure(errors=name)


def plain(text: str) -> str:
    """Write a text in ASCII: `±0.3 µs` is `+-0.3 us`, and `?` stands for what has no likeness."""
    likeness = unicodedata.normalize("NFKD", LINES.sub("-", text.translate(PLAIN)))
    return "".join(c if c.isascii() else "?" for c in likeness if not unicodedata.combining(c))


def _replaced(encoding: str, error: UnicodeError) -> tuple[str, int]:
    """What is written in place of the rest of a line from the first character that is lacking.

    Of the whole rest, for a likeness may be longer: where a gap behind it can spare spaces, it
    gives them, so that the columns of a table stay below each other.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text, start = error.object, error.start
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    told, owed = "", 0
    for part in re.split(r"( {2,})", text[start:end]):
        if part.startswith("  "):
            spared = min(owed, len(part) - 1)
            told, owed = told + part[spared:], owed - spared
            continue
        for character in part:
            shown = character if _has(encoding, character) else plain(character)
            told, owed = told + shown, owed + len(shown) - 1
    return told, end


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
