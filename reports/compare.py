"""Two runs of one machine, cell by cell: faster, slower, the same, or inconclusive.

A verdict is about latency and needs more than a small p value, for with enough visits every
difference is significant, and with too few none is:

    faster, slower   the ratio differs from 1 by more than chance, and by more than delta
    same             the 95 % interval of the ratio lies inside the margin of delta
    inconclusive     neither; the minimum detectable effect says what the comparison could see

What is compared is what is the same thing, whatever it is called: cells of one identity (see
`models/build/_identity.py`) in one place. Where a name stands for another thing in the second
run, the comparison says what is another, and gives a verdict only if it is asked to go by names.

`same` is never the answer to a lack of data. All claims of a report together, of difference and
of sameness, in latency and in accuracy, keep a false discovery rate of 5 % (Benjamini-Hochberg).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from paretomark.reports import _table
from paretomark.suites.records import _scores, _stats
from paretomark.suites.records._changes import changes
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Visits, summarise, visits
from paretomark.suites.spec import _tasks
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

Answer = Literal["slower", "faster", "inconclusive", "same", "not compared"]
_ORDER: tuple[Answer, ...] = get_args(Answer)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One cell in run a and run b. `ratio` is the latency of b over that of a.

    `p_different` and `p_same` are raw p values, `q_` those corrected over the whole report;
    `detectable` is the relative change found with 80 % power. `accuracy_change` is b - a on the
    same examples, None if they are not the same; `accuracy_answer` is "", "better" or "worse".
    """

    cell: str
    answer: Answer
    reason: str = ""
    cell_b: str = ""  # what it is called in run b, if that is something else
    changed: str = ""  # what is another in run b, though it goes by the same name
    simulated: str = ""
    visits_a: int = 0
    visits_b: int = 0
    latency_a_s: float | None = None
    latency_b_s: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    detectable: float | None = None
    p_different: float | None = None
    q_different: float | None = None
    p_same: float | None = None
    q_same: float | None = None
    accuracy_change: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_p: float | None = None
    accuracy_q: float | None = None
    accuracy_answer: str = ""
    metric: str = ""  # what accuracy is, if it is not that of classes
    bytes_a: int | None = None
    bytes_b: int | None = None


_CLAIMS = (("p_different", "q_different"), ("p_same", "q_same"), ("accuracy_p", "accuracy_q"))


def compare(a: Run, b: Run, delta: float = 0.02, by_name: bool = False) -> list[Verdict]:
    """A verdict for every cell of either run, in the order of a's plan, then of b's.

    `delta` is the relative change of latency that does not matter: 0.02 is 2 %. With `by_name`
    cells of one name are compared even where they are not the same thing. Raises UserError if the
    runs are of different machines, or `delta` is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise UserError(f"delta is {delta}; give a share between 0 and 1, such as 0.02 for 2 %")
    hosts = a.header.host, b.header.host
    if hosts[0].fingerprint != hosts[1].fingerprint:
        here, there = (f"{_table.clean(h.chip)} ({_table.clean(h.fingerprint, 40)})" for h in hosts)
        raise UserError(
            f"{a.folder} ran on {here} and {b.folder} on {there}: times of different machines do "
            "not compare; repeat one of the runs on the machine of the other"
        )
    visits_a, visits_b = visits(a), visits(b)
    found = []
    for one, other in _pairs(summarise(a), summarise(b), by_name):
        if one is not None and other is not None:
            found.append(_verdict(one, other, visits_a, visits_b, delta, by_name))
        elif only := one or other:
            why = f"only in the {'first' if one else 'second'} run"
            found.append(Verdict(cell=only.cell, answer="not compared", reason=why))
    return [_judge(v, delta) for v in _corrected(found)]


def _pairs(
    rows_a: Sequence[Row], rows_b: Sequence[Row], by_name: bool
) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows that are the same thing in the same place, whatever their names; else of one name."""
    left = {row.cell: row for row in rows_b}
    partner: dict[str, Row] = {}
    keys: tuple[Callable[[Row], object], ...] = (
        lambda row: (row.cell, row.identity),
        lambda row: (
            (row.identity, row.device, row.batch, row.threads) if row.identity else row.cell
        ),
        lambda row: row.cell,
    )
    for key in keys[-1:] if by_name else keys:
        known = {key(row): row for row in reversed(left.values())}
        for row in rows_a:
            match = known.get(key(row))
            if row.cell not in partner and match is not None and match.cell in left:
                partner[row.cell] = left.pop(match.cell)
    for row in rows_a:
        yield row, partner.get(row.cell)
    for row in left.values():
        yield None, row


def _verdict(
    a: Row,
    b: Row,
    visits_a: Mapping[str, Visits],
    visits_b: Mapping[str, Visits],
    delta: float,
    by_name: bool,
) -> Verdict:
    changed = changes(a, b)
    why = _obstacle(a, b)
    if not why and changed and not by_name:
        why = f"{changed} (--by-name compares all the same)"
    verdict = Verdict(cell=a.cell, answer="not compared", reason=why)
    if not why:
        verdict = _measure(a, b, visits_a[a.cell], visits_b[b.cell], delta)
    renamed = b.cell if b.cell != a.cell else ""
    return dataclasses.replace(verdict, cell_b=renamed, changed=changed)


def _obstacle(a: Row, b: Row) -> str:
    """Why two rows cannot be compared; "" if they can."""
    for name, row in (("first", a), ("second", b)):
        if row.status != "ok":
            return f"{row.status} in the {name} run: {row.reason}"
        if not row.valid:
            return f"no valid visit in the {name} run: {', '.join(row.flags)}"
    if a.simulated != b.simulated:
        kinds = [r.simulated or "measured" for r in (a, b)]
        return f"{kinds[0]} in the first run, {kinds[1]} in the second"
    return ""


def _measure(a: Row, b: Row, mine: Visits, yours: Visits, delta: float) -> Verdict:
    values: dict[str, Any] = {}
    if ratio := _stats.ratio_interval(mine.medians, yours.medians):
        values = {
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "detectable": _stats.minimum_detectable_effect(ratio),
            "p_different": _stats.p_different(ratio),
            "p_same": _stats.p_same(ratio, delta),
        }
    same = (a.data, a.task) == (b.data, b.task)
    if same and (change := _scores.difference(mine.outcomes, yours.outcomes)):
        names = ("accuracy_change", "accuracy_low", "accuracy_high", "accuracy_p")
        values |= dict(zip(names, change, strict=True))
    return Verdict(
        cell=a.cell,
        answer="inconclusive",
        simulated=a.simulated,
        visits_a=a.valid_visits,
        visits_b=b.valid_visits,
        latency_a_s=a.latency_s,
        latency_b_s=b.latency_s,
        ratio=b.latency_s / a.latency_s if a.latency_s and b.latency_s else None,
        metric="" if a.task == _tasks.CLASSIFICATION else a.metric,
        bytes_a=a.artifact_bytes,
        bytes_b=b.artifact_bytes,
        **values,
    )


def _corrected(found: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with every p value corrected for all the others in the report."""
    claims = [
        (i, q, value)
        for i, verdict in enumerate(found)
        for p, q in _CLAIMS
        if (value := getattr(verdict, p)) is not None
    ]
    corrected: dict[int, dict[str, Any]] = {}
    adjusted = _stats.benjamini_hochberg([value for _, _, value in claims])
    for (i, q, _), value in zip(claims, adjusted, strict=True):
        corrected.setdefault(i, {})[q] = value
    return [dataclasses.replace(v, **corrected.get(i, {})) for i, v in enumerate(found)]


def _judge(v: Verdict, delta: float) -> Verdict:
    if v.answer == "not compared":
        return v
    worse = ""
    if v.accuracy_q is not None and v.accuracy_q < SIGNIFICANT and v.accuracy_change:
        worse = "better" if v.accuracy_change > 0 else "worse"
    if v.ratio is None or v.ratio_low is None or v.ratio_high is None:
        why = "an interval needs two valid visits in each run; measure more blocks"
        return dataclasses.replace(v, reason=why, accuracy_answer=worse)
    margin = 1 + delta
    answer: Answer = "inconclusive"
    if (v.q_same or 0) < SIGNIFICANT and v.ratio_low > 1 / margin and v.ratio_high < margin:
        answer = "same"
    elif (v.q_different or 0) < SIGNIFICANT and not 1 / margin <= v.ratio <= margin:
        answer = "slower" if v.ratio > 1 else "faster"
    return dataclasses.replace(v, answer=answer, accuracy_answer=worse)


def differences(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """What else differs between the runs: name, value in a, value in b."""
    pairs = [
        ("commit", _commit(a), _commit(b)),
        ("paretomark", a.header.version, b.header.version),
        ("system", a.header.host.system, b.header.host.system),
        ("python", a.header.host.python, b.header.host.python),
    ]
    mine, yours = _versions(a), _versions(b)
    pairs += [(n, mine.get(n, "–"), yours.get(n, "–")) for n in sorted(mine.keys() & yours.keys())]
    return [(n, _table.clean(x), _table.clean(y)) for n, x, y in pairs if x != y]


def _commit(run: Run) -> str:
    return (run.header.commit[:12] or "none") + (" + changes" if run.header.dirty else "")


def _versions(run: Run) -> dict[str, str]:
    found: dict[str, str] = {}
    for probe in run.header.probes:
        found |= {_table.clean(k): v for k, v in probe.versions.items()}
    return found


def as_json(a: Run, b: Run, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Both headers, what differs between them, and the verdicts, as plain JSON values."""
    return {
        "a": a.header.to_json(),
        "b": b.header.to_json(),
        "differences": [list(d) for d in differences(a, b)],
        "verdicts": [dataclasses.asdict(v) for v in verdicts],
    }


_TITLES = ("verdict", "cell", "latency", "change [95 %]", "detectable", "Δ accuracy", "file")
_STYLES = {"slower": "red", "faster": "green", "inconclusive": "yellow"}


def show(a: Run, b: Run, verdicts: Sequence[Verdict]) -> None:
    """Print what differs between the runs, and the verdicts."""
    changed = [f"{name}: {x} → {y}" for name, x, y in differences(a, b)]
    _table.show_all(*changed, *_others(verdicts), table(verdicts))


def table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts for a terminal, what needs attention first, and below what is not compared."""
    from rich.table import Table
    from rich.text import Text

    body = _table.frame()
    for title in _TITLES:
        body.add_column(title, overflow="fold")
    for answer, *line in map(_line, _ordered(verdicts)):
        body.add_row(Text(answer, style=_STYLES.get(answer, "")), *map(Text, line))
    page = Table.grid()
    page.add_row(body)
    page.add_row(Text(_counts(verdicts), style="bold"))
    for reason, cells in _rest(verdicts):
        page.add_row(Text(f"not compared: {reason}: {', '.join(cells)}", style="dim"))
    return page


def as_markdown(a: Run, b: Run, verdicts: Sequence[Verdict]) -> str:
    """The same as Markdown, for a pull request."""
    lines = [f"**{_counts(verdicts)}**", ""]
    lines += [f"- {_code(name)}: {_code(x)} → {_code(y)}" for name, x, y in differences(a, b)]
    lines += [f"- {_code(other)}" for other in _others(verdicts)]
    lines += ["", f"| {' | '.join(_TITLES)} |", "|---" * len(_TITLES) + "|"]
    for answer, *line in map(_line, _ordered(verdicts)):
        lines.append(f"| **{answer}** | {' | '.join(map(_code, line))} |")
    rest = [f"- not compared: {_code(r)}: {', '.join(map(_code, c))}" for r, c in _rest(verdicts)]
    lines += ["", *rest]
    return "\n".join(lines).strip() + "\n"


def _others(verdicts: Sequence[Verdict]) -> list[str]:
    """What is compared though it is not the same thing, and what is another."""
    found: dict[str, list[str]] = {}
    for v in verdicts:
        if v.changed and v.answer != "not compared":
            found.setdefault(_table.clean(v.changed), []).append(_table.clean(v.cell))
    return [f"by name only: {changed}: {', '.join(cells)}" for changed, cells in found.items()]


def _code(text: str) -> str:
    """Foreign text as a code span, in which Markdown, HTML and mentions mean nothing."""
    return "`" + (_table.clean(text).replace("`", "'").replace("|", "\\|") or "–") + "`"


def _counts(verdicts: Sequence[Verdict]) -> str:
    answers = [v.answer for v in verdicts]
    return ", ".join(f"{n} {kind}" for kind in _ORDER if (n := answers.count(kind))) or "no cells"


def _rest(verdicts: Sequence[Verdict]) -> list[tuple[str, list[str]]]:
    """Why cells are not compared, and the cells."""
    found: dict[str, list[str]] = {}
    for v in verdicts:
        if v.answer == "not compared":
            found.setdefault(_table.clean(v.reason), []).append(_table.clean(v.cell))
    return list(found.items())


def _ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    compared = [v for v in verdicts if v.answer != "not compared"]
    return sorted(compared, key=lambda v: (_ORDER.index(v.answer), -abs(math.log(v.ratio or 1))))


def _named(v: Verdict) -> str:
    return f"{v.cell} → {v.cell_b}" if v.cell_b else v.cell


def _line(v: Verdict) -> tuple[str, ...]:
    change = accuracy = "–"
    if v.ratio is not None:
        change = f"{_table.points(v.ratio - 1)} %"
    if v.ratio_low and v.ratio_high:
        change += f" [{_table.points(v.ratio_low - 1)}, {_table.points(v.ratio_high - 1)}]"
    if v.accuracy_change is not None:
        accuracy = _table.points(v.accuracy_change) + _table.half(v.accuracy_low, v.accuracy_high)
        accuracy = " ".join(filter(None, (accuracy, v.accuracy_answer, v.metric)))
    size = _table.size(v.bytes_b)
    return (
        v.answer,
        _table.clean(_named(v) + (f" ({v.simulated})" if v.simulated else "")),
        f"{_table.seconds(v.latency_a_s)} → {_table.seconds(v.latency_b_s)}",
        change,
        "–" if v.detectable is None else f"{_table.number(v.detectable * 100, 2)} %",
        accuracy,
        size if v.bytes_a == v.bytes_b else f"{_table.size(v.bytes_a)} → {size}",
    )
