"""A comparison as Markdown, for a pull request: whole rows, what changed first, of bounded size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from paretomark.reports import _beside, _compared, _compared_lines, _text
from paretomark.reports._compared import Compared
from paretomark.reports._verdicts import Verdict

MOST_BYTES = 60_000  # a comment of GitHub's takes 65,536 characters
RESERVE = 400  # for what says that there is more, and for lines that are
SHORT = 12


def text(compared: Compared, most_bytes: int = MOST_BYTES) -> str:
    """Write it, in no more than so many bytes of UTF-8."""
    written: list[str] = []
    left, dropped = most_bytes - RESERVE, 0
    for line in itertools.chain.from_iterable(_blocks(compared)):
        size = len(line.encode()) + 1
        # What comes later is less important; only what ends a block, and is short, has to be there.
        if len(line) > SHORT and (dropped or size > left):
            dropped += 1
            continue
        left -= size
        written.append(line)
    if dropped:
        written += ["", f"{dropped} lines more did not fit: `--html` or `--json` has them all."]
    return "\n".join(written).strip() + "\n"


def _blocks(compared: Compared) -> Iterator[Sequence[str]]:
    """Its parts, the most important ones first."""
    verdicts = compared.comparison.verdicts
    title = _compared_lines.headline(compared)
    mark = "❌" if compared.outcome.worse else "✅" if not compared.outcome.undecided else "➖"
    yield [
        f"### {mark} {title[:1].upper()}{title[1:]}",
        "",
        f"**{_compared.counts(verdicts)}**",
        "",
    ]
    yield [f"- {code(_compared_lines.finding(f))}" for f in compared.outcome.worse]
    yield [
        f"- {code(name)}: {code(x)} → {code(y)}"
        for name, x, y in _compared.differences(compared.a.run, compared.b.run)
    ]
    yield [f"- {code(n)}" for n in (*_compared.by_name(compared), *_compared.of_runs(compared))]
    if told := _compared_lines.fronts(compared):
        yield ["", "**Fronts**", "", *(f"- {code(line)}" for line in told)]
    ordered = _compared_lines.ordered(verdicts)
    changed = [v for v in ordered if _compared_lines.is_change(v)]
    if changed:
        yield ["", *_table(_compared_lines.TITLES, map(_line, changed))]
    beside = [change for change in _beside.ordered(compared.beside) if change.answer]
    if beside:
        yield ["", *_table(_beside.TITLES, map(_coded, map(_beside.line, beside)))]
    for reason, cells in _compared.rest(verdicts):
        yield ["", f"- not compared: {code(reason)}: {', '.join(map(code, cells))}"]
    others = [v for v in ordered if not _compared_lines.is_change(v)]
    if others:
        yield ["", f"<details><summary>{len(others)} cells without a proven change</summary>", ""]
        yield _table(_compared_lines.TITLES, map(_line, others))
        yield ["", "</details>"]


def _table(titles: Sequence[str], lines: Iterator[tuple[str, ...]]) -> list[str]:
    head = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return [*head, *(f"| {' | '.join(line)} |" for line in lines)]


def _line(verdict: Verdict) -> tuple[str, ...]:
    answer, *line = _compared_lines.line(verdict)
    return (f"**{answer}**", *_coded(line))


def _coded(line: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(code, line))


def code(text: str) -> str:
    """Write foreign text as a code span, in which Markdown, HTML and mentions mean nothing."""
    return "`" + (_text.clean(text).replace("`", "'").replace("|", "\\|") or "–") + "`"
