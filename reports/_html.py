"""Pages: one self-contained file each, that loads nothing and runs nothing but its own sorting.

Whatever comes from a record passes `esc`; what a function here returns is HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretomark.reports import _text
from paretomark.suites.spec._errors import UserError

# Orders rows by what Python put into data-v. It does no arithmetic.
_SCRIPT = """
for (const head of document.querySelectorAll("table.sort th")) {
  head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => {
      const v = row.cells[head.cellIndex].dataset.v;
      return v === "" || isNaN(v) ? v : Number(v);
    };
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (x === y) return 0;
      if (x === "") return 1;
      if (y === "") return -1;
      return (x < y) === up ? -1 : 1;
    };
    body.append(...[...body.rows].sort(order));
  });
}
"""
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    f"script-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d8dde3;
  --paper: #ffffff; --back: #f6f7f9; --bad: #b3261e; --good: #0b6e4f; --warn: #8a5a00;
  --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #343b43;
  --paper: #171b20; --back: #0f1216; --bad: #ff8a80; --good: #5fd0a5; --warn: #e5b567;
  --mark: #5ab4ec; } }
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
tbody tr:hover { background: var(--back); }
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
"""


@dataclass(frozen=True)
class Cell:
    """A table cell: its HTML, what it sorts by, and its style classes."""

    html: str
    key: float | str | None = None
    style: str = ""


def esc(text: str, limit: int = _text.MAX_TEXT) -> str:
    """Write foreign text as HTML."""
    return html.escape(_text.clean(text, limit))


def plain(text: str) -> str:
    """Write text of several lines, whose letters are known to be harmless, as HTML."""
    return html.escape(text)


def text(value: str, style: str = "", limit: int = _text.MAX_TEXT) -> Cell:
    """Make a cell of foreign text."""
    return Cell(esc(value, limit), _text.clean(value, limit).lower(), style)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    dim: Sequence[bool] = (),
    tips: Sequence[str] = (),
) -> str:
    """Write a table that the reader can sort, with tips on the first columns' titles.

    A column is as numeric as its first cell.
    """
    numeric = [" class=n" if "n" in c.style.split() else "" for c in rows[0]] if rows else []
    numeric = numeric or [""] * len(columns)
    titles = [*(f' title="{esc(tip)}"' for tip in tips), *[""] * (len(columns) - len(tips))]
    heads = "".join(
        f"<th{style}{tip}><button>{esc(column)}</button></th>"
        for column, style, tip in zip(columns, numeric, titles, strict=True)
    )
    body = "".join(
        f"<tr{' class=dim' if i < len(dim) and dim[i] else ''}>{''.join(map(_td, row))}</tr>\n"
        for i, row in enumerate(rows)
    )
    return f"<table class=sort><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>"


def _td(cell: Cell) -> str:
    key = "" if cell.key is None else html.escape(str(cell.key))
    return f'<td class="{cell.style}" data-v="{key}">{cell.html}</td>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Write names and values (HTML) side by side."""
    inner = "".join(f"<div><dt>{esc(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f"<div class=card><dl>{inner}</dl></div>"


def card(inner: str) -> str:
    """Put a box around HTML."""
    return f"<div class=card>{inner}</div>"


def document(title: str, body: str) -> str:
    """Write a whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main>\n<script>{_SCRIPT}</script></body></html>\n"
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
