"""A comparison as a page: both fronts over each other, what is proven first, the rest behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paretomark.reports import _beside, _compared, _compared_lines, _compared_plot, _figure, _html
from paretomark.reports import _text as text
from paretomark.reports._compared import Compared
from paretomark.reports._html import Cell, esc
from paretomark.reports._verdicts import Verdict

STYLES = {"slower": "loss", "faster": "gain", "inconclusive": "off", "more": "loss"}
STYLES |= {"less": "gain"}


def write(compared: Compared, file: Path) -> Path:
    """Write the page into a file, and return it. Raises UserError if that is not possible."""
    return _html.save(file, page(compared))


def page(compared: Compared) -> str:
    """Write the page."""
    runs = [text.clean(summary.run.header.run) for summary in (compared.a, compared.b)]
    title = f"{runs[0]} → {runs[1]}"
    return _html.document(title, "\n".join(_body(compared, title)))


def _body(compared: Compared, title: str) -> Iterator[str]:
    headline = _compared_lines.headline(compared)
    style = "loss" if compared.outcome.worse else ""
    yield f"<h1>{esc(title)}</h1>"
    yield f'<p class="{style}">{esc(headline[:1].upper() + headline[1:])}</p>'
    yield f"<p>{esc(_compared.counts(compared.comparison.verdicts))}</p>"
    if compared.outcome.worse:
        yield _list(map(_compared_lines.finding, compared.outcome.worse), "loss")
    changed = _compared.differences(compared.a.run, compared.b.run)
    if changed:
        yield _html.facts([(name, f"{esc(x)} → {esc(y)}") for name, x, y in changed])
    yield _list((*_compared.by_name(compared), *_compared.of_runs(compared)), "soft")
    if compared.fronts:
        yield "<h2>Fronts</h2>"
        yield _list(_compared_lines.fronts(compared))
        plots = _compared_plot.fronts(compared)
        yield from (_html.card(_figure.inline(plot.svg)) for plot in plots.values())
        if compared.comparison.common.known:
            yield "<p class=soft>After is drawn without what all cells have in common.</p>"
    yield from _tables(compared)
    rest = _compared.rest(compared.comparison.verdicts)
    if rest:
        yield "<h2>Not compared</h2>"
        rows = [
            (_html.text(reason, "wide"), Cell("<br>".join(map(esc, cells)), len(cells), "wide"))
            for reason, cells in rest
        ]
        yield _html.card(_html.table(("because", "cells"), rows))


def _tables(compared: Compared) -> Iterator[str]:
    ordered = _compared_lines.ordered(compared.comparison.verdicts)
    proven = [v for v in ordered if _compared_lines.is_change(v)]
    others = [v for v in ordered if not _compared_lines.is_change(v)]
    beside = _beside.ordered(compared.beside)
    claims = [change for change in beside if change.answer]
    yield "<h2>Proven changes</h2>"
    if proven:
        yield _html.card(_verdicts(proven))
    if claims:
        yield _html.card(_changes(claims))
    if not proven and not claims:
        yield "<p>None.</p>"
    if others:
        what = f"{len(others)} cells without a proven change"
        yield f"<details><summary>{what}</summary>{_html.card(_verdicts(others))}</details>"
    if rest := [change for change in beside if not change.answer]:
        what = f"{len(rest)} numbers beside time without a proven change"
        yield f"<details><summary>{what}</summary>{_html.card(_changes(rest))}</details>"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for v in verdicts:
        answer, cell, latency, change, detectable, tail, accuracy, size = _compared_lines.line(v)
        rows.append(
            (
                _html.text(answer, STYLES.get(answer, "")),
                _html.text(cell, "wide"),
                Cell(esc(latency), v.latency_b_s, "n"),
                Cell(esc(change), v.ratio, "n"),
                Cell(esc(detectable), v.detectable, "n"),
                Cell(esc(tail), v.tail, "n off" if v.tail_answer else "n"),
                Cell(esc(accuracy), v.accuracy_change, _accuracy_style(v)),
                Cell(esc(size), v.bytes_b, "n"),
            )
        )
    return _html.table(_compared_lines.TITLES, rows)


def _accuracy_style(v: Verdict) -> str:
    return {"worse": "n loss", "better": "n gain"}.get(v.accuracy_answer, "n")


def _changes(changes: Sequence[_beside.Change]) -> str:
    rows = []
    for each in changes:
        kind, cell, values, change, detectable, answer = _beside.line(each)
        rows.append(
            (
                _html.text(kind),
                _html.text(cell, "wide"),
                Cell(esc(values), each.b, "n"),
                Cell(esc(change), each.ratio, "n"),
                Cell(esc(detectable), each.detectable, "n"),
                _html.text(answer, STYLES.get(answer, "")),
            )
        )
    return _html.table(_beside.TITLES, rows)


def _list(lines: Iterable[str], style: str = "") -> str:
    items = "".join(f"<li>{esc(line, 2000)}</li>" for line in lines)
    return f'<ul class="{style}">{items}</ul>' if items else ""
