"""Pages: one self-contained file each, that loads nothing and runs nothing but its own script.

Whatever comes from a record passes `esc`; what a function here returns is HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretomark.reports import _text
from paretomark.reports._script import SCRIPT
from paretomark.suites.spec._errors import UserError

_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    f"script-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)
OLDER = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # of pages without the next
GENERATOR = '<meta name="generator" content="paretomark">'
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d8dde3;
  --paper: #ffffff; --back: #f6f7f9; --bad: #b3261e; --good: #0b6e4f; --warn: #8a5a00;
  --mark: #0072b2; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #56b4e9;
  --c5: #e69f00; --c6: #8c6d31; --c7: #7f7f7f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #343b43;
  --paper: #171b20; --back: #0f1216; --bad: #ff8a80; --good: #5fd0a5; --warn: #e5b567;
  --mark: #5ab4ec; --c0: #5ab4ec; --c1: #ff8a47; --c2: #2fcf9f; --c3: #e59ac6; --c4: #b5a6ff;
  --c5: #f2bd45; --c6: #c9a66b; --c7: #a8a8a8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 40px 0 4px; }
h3 { font-size: 15px; margin: 20px 0 8px; }
p { margin: 4px 0 12px; max-width: 82ch; }
ul { padding-left: 20px; }
p, li { overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px; margin: 12px 0; overflow-x: auto; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 12px 24px;
  margin: 0; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
.card > svg { width: 100%; height: auto; display: block; min-width: 760px; }
.card > svg text { font-family: inherit !important; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums;
  width: 100%; }
th, td { text-align: left; padding: 5px 10px; border-bottom: 1px solid var(--line);
  vertical-align: baseline; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover, tr.same { background: var(--back); }
.tall { max-height: 85vh; overflow: auto; padding: 0 16px 16px; }
.tall th { position: sticky; top: 0; background: var(--paper); z-index: 2; padding-top: 16px; }
.tall td:first-child { position: sticky; left: -16px; background: var(--paper); z-index: 1; }
.tall th:first-child { left: -16px; z-index: 3; }
.tall tr:hover td:first-child, .tall tr.same td:first-child { background: var(--back); }
.few .x { display: none; }
.filters { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin: 12px 0;
  font-size: 13px; }
.filters select, .filters input[type=search], .more, #few { font: inherit; color: var(--ink);
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 3px 8px;
  max-width: 240px; }
.more, #few { cursor: pointer; font-size: 13px; }
[hidden] { display: none !important; }
@media screen { .late { display: none; } }
svg [data-c] { cursor: pointer; outline: none; }
svg .out { opacity: .06; }
svg .same, svg [data-c]:focus-visible { filter: drop-shadow(0 0 3px var(--ink))
  drop-shadow(0 0 1px var(--ink)); }
.tip { position: absolute; z-index: 9; max-width: 340px; background: var(--ink);
  color: var(--paper); font-size: 13px; border-radius: 6px; padding: 6px 10px;
  pointer-events: none; overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
.n { text-align: right; }
.wide { white-space: normal; min-width: 260px; overflow-wrap: anywhere; }
.i { color: var(--soft); font-size: 12px; }
.loss { color: var(--bad); font-weight: 600; }
.gain, .front { color: var(--good); font-weight: 600; }
.tie { color: var(--mark); }
.off { color: var(--warn); }
.dim td:not(.off) { color: var(--soft); }
.tag { font-size: 11px; border: 1px solid currentColor; border-radius: 4px; padding: 0 4px;
  color: var(--warn); }
.forest { vertical-align: -3px; margin-left: 8px; }
pre { margin: 0; font: 12.5px/1.5 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.picks { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 12px; }
.picks .card { margin: 0; font-size: 14px; overflow-wrap: anywhere; }
.picks b { font-size: 17px; }
.short { padding-left: 18px; max-width: 100ch; }
.short li { margin: 4px 0; }
summary { cursor: pointer; }
a { color: var(--mark); }
@media print { @page { size: landscape; margin: 10mm; }
  body { background: none; } main { max-width: none; padding: 0; }
  .card, .tall { overflow: visible; max-height: none; border: 0; padding: 0; }
  .card > svg { min-width: 0; max-height: 165mm; break-inside: avoid; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
  table, .i, .tag { font-size: 8.5px; } th, td { padding: 2px 4px; white-space: normal; }
  .tall th, .tall td:first-child { position: static; } .wide { min-width: 0; }
  .x, .filters, .more, #few { display: none !important; } }
"""


_TITLE = re.compile(r"<button type=button>(.*?)</button>")


@dataclass(frozen=True)
class Cell:
    """A table cell: its HTML, what it sorts by, and its style classes."""

    html: str
    key: float | str | None = None
    style: str = ""


def esc(text: str, limit: int = _text.MAX_TEXT) -> str:
    """Write foreign text as HTML."""
    return html.escape(_text.clean(text, limit))


def text(value: str, style: str = "", limit: int = _text.MAX_TEXT) -> Cell:
    """Make a cell of foreign text."""
    return Cell(esc(value, limit), _text.clean(value, limit).lower(), style)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    heads: Sequence[str] = (),
    lines: Sequence[str] = (),
) -> str:
    """Write a table that the reader can sort, with further attributes (HTML) of the titles of its
    first columns, `heads`, and of its rows, `lines`.

    A column is as numeric, and as rarely asked for, as its first cell.
    """
    styles = (
        [" ".join(word for word in ("n", "x") if word in cell.style.split()) for cell in rows[0]]
        if rows
        else []
    )
    styles = styles or [""] * len(columns)
    more = [*heads, *[""] * (len(columns) - len(heads))]
    titles = "".join(
        f"<th{_class(style)}{extra}><button type=button>{esc(column)}</button></th>"
        for column, style, extra in zip(columns, styles, more, strict=True)
    )
    body = "".join(
        f"<tr{lines[i] if i < len(lines) else ''}>{''.join(map(_td, row))}</tr>\n"
        for i, row in enumerate(rows)
    )
    return f"<table class=sort><thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody></table>"


def _td(cell: Cell) -> str:
    """A cell; what it sorts by is said where that is not just its text."""
    key = f"{cell.key:.7g}" if isinstance(cell.key, float) else cell.key
    plain = key is None or cell.html.lower() == key
    said = "" if plain else f' data-v="{html.escape(str(key))}"'
    return f"<td{_class(cell.style)}{said}>{cell.html}</td>"


def _class(style: str) -> str:
    return "" if not style else f" class={style}" if style.isalnum() else f' class="{style}"'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Write names and values (HTML) side by side."""
    inner = "".join(f"<div><dt>{esc(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f"<div class=card><dl>{inner}</dl></div>"


def card(inner: str, label: str = "", tall: bool = False) -> str:
    """Put a box around HTML. A wide table in it can be scrolled, by keys too; where it is `tall`,
    its titles stay in sight."""
    if "<table" not in inner:
        return f"<div class=card>{inner}</div>"
    name = esc(label) or ", ".join(_TITLE.findall(inner)[:4])
    style = '"card tall"' if tall else "card"
    return f'<div class={style} tabindex=0 role=region aria-label="{name}">{inner}</div>'


def document(title: str, body: str) -> str:
    """Write a whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main>\n<script>{SCRIPT}</script></body></html>\n"
    )


def save(path: Path, content: str | bytes) -> Path:
    """Write a file of a report. Raises UserError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UserError(f"{path}: cannot write ({why}); choose another folder") from None
    return path


def number(value: float | None, write: Callable[[float | None], str]) -> Cell:
    """Make a cell of a number as `write` writes it."""
    return Cell(write(value), value, "n")
