"""How to repeat a run, or one row of it: the suite as it was, and the commands."""

from __future__ import annotations

import html
import shlex
from typing import Any

from paretomark.reports import _html, _text
from paretomark.reports._html import esc
from paretomark.suites.records._record import Header
from paretomark.suites.records._row import Row

SHOWN = 20_000  # letters of a suite
# Of what a run was asked for, the option that says so; what stands in the suite needs none.
OPTIONS = {
    "devices": "--device",
    "models": "--model",
    "recipes": "--recipe",
    "threads": "--threads",
    "effort": "--effort",
    "precision": "--precision",
    "time_s": "--time",
    "scenario": "--scenario",
    "sustained_s": "--sustained",
}


def command(header: Header, row: Row | None = None) -> str:
    """Return the command that repeats a run, or measures one row of it anew; "" for what was
    imported. The suite is the file that `suite` returns."""
    asked = header.request
    if not asked.get("suite"):
        return ""
    narrowed: dict[str, Any] = {key: asked.get(key) for key in OPTIONS}
    if row is not None:
        narrowed |= {"devices": [row.device], "models": [row.model], "recipes": [row.recipe]}
        narrowed |= {"threads": [row.threads], "scenario": [row.scenario]}
    words = ["bench.py", "run", _file(header)]
    for key, option in OPTIONS.items():
        value = narrowed[key]
        for each in value if isinstance(value, list | tuple) else [value]:
            if each not in (None, ""):
                words += [option, f"{each:g}" if isinstance(each, float) else str(each)]
    return shlex.join(_text.clean(word) for word in words)


def suite(header: Header) -> str:
    """Return the text of the suite of a run; "" if it has none."""
    text = header.request.get("suite", "")
    return text if isinstance(text, str) else ""


def _file(header: Header) -> str:
    return f"{_text.clean(header.suite) or 'suite'}.toml"


def section(header: Header) -> str:
    """Say it on a page; "" for what was imported."""
    text = suite(header)
    if not text:
        return ""
    commit = f" of commit {header.commit[:12]}" if header.commit else ""
    changed = ", which had uncommitted changes" if header.dirty else ""
    lines = "".join(_printable(c) for c in text[:SHOWN])
    cut = "…" if len(text) > SHOWN else ""
    return (
        "<h2>Repeat it</h2>"
        f"<p class=soft>With paretomark {esc(header.version)}, in a checkout{esc(commit)}"
        f"{esc(changed)}. Relative paths in the suite start at its folder. One row alone: name its "
        "net, recipe and device; cells.json has the command of each.</p>"
        + _html.card(f"<pre>{esc(command(header), 2000)}</pre>")
        + f"<details><summary>{esc(_file(header))}: the suite as it was</summary>"
        + _html.card(f"<pre>{html.escape(lines)}{cut}</pre>")
        + "</details>"
    )


def _printable(letter: str) -> str:
    """The letter; what is no text, but for line breaks, as a mark that it was there."""
    return letter if letter == "\n" else _text.clean(letter, 1) or " "
