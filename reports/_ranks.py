"""Do multiply-accumulates tell the order of nets by time? Spearman's rank correlation per device.

Its interval is a percentile bootstrap over nets, for it is nets that another suite would draw anew.
Only whole nets count, in one precision, on one device, batch, number of threads and length; nets
of different data sets share a place here, for time does not depend on the labels.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from paretomark.reports import _console, _html, _text
from paretomark.reports._html import Cell
from paretomark.suites.records._row import Group, Row
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec._scenario import COLD
from paretomark.suites.tasks._task import CLASSIFICATION

FEWEST = 8  # nets
WORST = 3  # nets that are named
WHOLE = ("", "reparameterize()")  # steps that leave the net what it is
COLUMNS = ("nets", "rank correlation", "farthest off", "MACs/s, least to most")
RESAMPLES = 4000
SEED = 0


@dataclass(frozen=True)
class Misplaced:
    """A net by its rank (1: least) in multiply-accumulates and in time."""

    model: str
    by_macs: float
    by_time: float


@dataclass(frozen=True)
class Ranking:
    """Spearman's rho of MACs with latency among `nets` nets, with its 95 % interval; None where
    all have the same MACs, or the same latency: then there is no order to tell."""

    place: Group
    precision: str
    nets: int
    rho: float | None
    low: float | None
    high: float | None
    worst: tuple[Misplaced, ...]  # the farthest off first
    rows: tuple[Row, ...] = ()  # one of each net

    @property
    def rates(self) -> str:
        """From which to which net multiply-accumulates are done how fast, as one reads it."""
        by_rate = sorted(self.rows, key=_rate)
        ends = [f"{_text.count(_rate(r))}/s ({_text.clean(r.model)})" for r in by_rate]
        return f"{ends[0]} to {ends[-1]}" if ends else ""

    @property
    def where(self) -> str:
        """The place and the precision as one reads them."""
        return f"{_text.place_label(self.place)}, {_text.clean(self.precision)}"


def rankings(summary: Summary) -> list[Ranking]:
    """Rank the nets of each place and precision that has FEWEST with a valid latency."""
    rankings = []
    key = _place
    # A start is that of the runtime, and hardly of the net.
    timed = [r for r in summary.rows if r.latency_s is not None and r.scenario != COLD]
    fit = sorted((r for r in timed if r.valid and r.macs and r.steps in WHOLE), key=key)
    for (place, precision), members in itertools.groupby(fit, key=key):
        nets = list({row.model: row for row in members}.values())
        if len(nets) >= FEWEST:
            rankings.append(_ranking(place, precision, nets))
    return rankings


def _rate(row: Row) -> float:
    return (row.macs or 0) / (row.latency_s or 1)


def _place(row: Row) -> tuple[Group, str]:
    return row.group._replace(data="", task=CLASSIFICATION), row.precision


def _ranking(place: Group, precision: str, nets: Sequence[Row]) -> Ranking:
    macs = np.array([row.macs for row in nets], float)
    seconds = np.array([row.latency_s for row in nets], float)
    rho = spearman(macs, seconds)
    low, high = (None, None) if np.isnan(rho) else interval(macs, seconds)
    by_macs, by_time = ranks(macs[None])[0], ranks(seconds[None])[0]
    order = np.argsort(-np.abs(by_macs - by_time), kind="stable")[:WORST]
    worst = [Misplaced(nets[i].model, float(by_macs[i]), float(by_time[i])) for i in order]
    return Ranking(
        place,
        precision,
        len(nets),
        None if np.isnan(rho) else rho,
        low,
        high,
        tuple(m for m in worst if m.by_macs != m.by_time),
        tuple(nets),
    )


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks in each row (R, N), from 1 to N; equal values share the mean of theirs."""
    below = (values[:, None, :] < values[:, :, None]).sum(2)
    equal = (values[:, None, :] == values[:, :, None]).sum(2)
    shared: NDArray[np.float64] = below + (equal + 1) / 2
    return shared


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the correlation of the ranks of x and y (N,); nan where one of them is constant."""
    return float(_correlation(ranks(x[None]), ranks(y[None]))[0])


def interval(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return a 95 % percentile interval of `spearman`, over pairs drawn with replacement."""
    picked = np.random.default_rng(SEED).integers(0, len(x), (RESAMPLES, len(x)))
    drawn = _correlation(ranks(x[picked]), ranks(y[picked]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation row by row (R, N)."""
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    norm = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    with np.errstate(invalid="ignore"):
        correlation: NDArray[np.float64] = (x * y).sum(1) / norm
    return correlation


def show(summary: Summary) -> None:
    """Print a line per place, if there are any."""
    ranked = rankings(summary)
    if not ranked:
        return
    table = _console.frame()
    for title in ("do MACs tell the order by time?", *COLUMNS):
        table.add_column(title, overflow="fold")
    for ranking in ranked:
        rho = _rho(ranking)
        table.add_row(ranking.where, str(ranking.nets), rho, _worst(ranking), ranking.rates)
    _console.show(Text(""), table)


def section(rankings: Sequence[Ranking], pictures: str) -> str:
    """Write the same as a part of the page, with pictures; "" if there is nothing to say."""
    if not rankings:
        return ""
    table = [
        (
            _html.text(ranking.where),
            Cell(str(ranking.nets), ranking.nets, "n"),
            Cell(_html.esc(_rho(ranking)), ranking.rho, "n"),
            _html.text(_worst(ranking), "wide"),
            _html.text(ranking.rates, "wide"),
        )
        for ranking in rankings
    ]
    return (
        "<h2>Do multiply-accumulates tell the order by time?</h2><p class=soft>Spearman's rank "
        f"correlation of MACs with latency, where {FEWEST} or more whole nets ran, with a 95 % "
        "percentile bootstrap over nets: 1 if fewer MACs always mean less time. Farthest off are "
        "nets whose place by time is not that by MACs. Nets of very different size are easily "
        "ranked: how far time is from MACs among like ones, MACs per second tell.</p>"
        + _html.card(_html.table(("place", *COLUMNS), table))
        + pictures
    )


def as_json(summary: Summary) -> list[dict[str, Any]]:
    """Give the same as plain JSON values."""
    return [
        {
            "device": ranking.place.device,
            "batch": ranking.place.batch,
            "threads": ranking.place.threads,
            "length": ranking.place.length,
            "simulated": ranking.place.simulated,
            "imported": ranking.place.imported,
            "precision": ranking.precision,
            "nets": ranking.nets,
            "rho": [ranking.rho, ranking.low, ranking.high],
            "worst": [dataclasses.asdict(net) for net in ranking.worst],
            "macs_per_s": {row.model: _rate(row) for row in ranking.rows},
        }
        for ranking in rankings(summary)
    ]


def _rho(ranking: Ranking) -> str:
    if ranking.rho is None:
        return "not defined"
    return f"{ranking.rho:.2f} [{ranking.low:.2f}, {ranking.high:.2f}]".replace("-", "−")


def _worst(ranking: Ranking) -> str:
    return "; ".join(
        f"{_text.clean(m.model)}: {m.by_macs:g}. by MACs, {m.by_time:g}. by time"
        for m in ranking.worst
    )
