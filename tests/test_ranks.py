"""Rank correlation of multiply-accumulates with time, against values worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretomark.reports import _json, _nets_plot, _ranks, report
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary, summarise
from paretomark.tests import _runs
from paretomark.tests._pages import assert_self_contained

pytestmark = pytest.mark.slow


def summary_of(macs: list[int], seconds: list[float], **changes: Any) -> Summary:
    values: dict[str, Any] = {
        "recipe": "fp32",
        "device": "cpu",
        "batch": 1,
        "threads": 1,
        "precision": "fp32",
        "status": "ok",
        "valid_visits": 3,
    } | changes
    return of(
        Row(cell=f"{i}{values['device']}", model=f"net{i}", macs=m, latency_s=s, **values)
        for i, (m, s) in enumerate(zip(macs, seconds, strict=True))
    )


def of(rows: Iterable[Row]) -> Summary:
    return Summary(_runs.run([]), tuple(rows), {})


def test_spearman_by_hand() -> None:
    x, y = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 3, 2, 4, 7, 3.5])
    assert _ranks.ranks(y[None])[0].tolist() == [1, 3, 2, 5, 6, 4]
    # differences of ranks 0, 1, 1, 1, 1, 2: 1 - 6 * 8 / (6 * 35)
    assert _ranks.spearman(x, y) == pytest.approx(1 - 48 / 210)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert _ranks.ranks(np.array([[3.0, 1, 3, 2, 3]]))[0].tolist() == [4, 1, 4, 2, 4]
    # ranks 1.5 1.5 3 against 1 2 3: sxy = 1.5, sxx = 1.5, syy = 2
    x, y = np.array([5.0, 5, 9]), np.array([1.0, 2, 3])
    assert _ranks.spearman(x, y) == pytest.approx(1.5 / 3**0.5)


def test_the_interval_holds_the_estimate_and_is_certain_where_the_order_is() -> None:
    x = np.arange(1.0, 13)
    assert _ranks.interval(x, x**3) == pytest.approx((1, 1))
    y = x.copy()
    y[[0, 5]] = y[[5, 0]]
    low, high = _ranks.interval(x, y)
    assert low < _ranks.spearman(x, y) < high <= 1
    assert _ranks.interval(x, y) == (low, high)


def test_the_net_that_breaks_the_order_is_named() -> None:
    macs = [10, 20, 30, 40, 50, 60, 70, 80]
    seconds = [1.0, 2, 3, 4, 5, 6, 7, 0.5]
    (ranking,) = _ranks.rankings(summary_of(macs, seconds))
    assert (ranking.nets, ranking.place.device, ranking.precision) == (8, "cpu", "fp32")
    assert ranking.worst[0] == _ranks.Misplaced("net7", 8, 1)
    (table,) = json.loads(json.dumps(_ranks.as_json(summary_of(macs, seconds))))
    assert (table["device"], table["nets"], table["rho"][0]) == ("cpu", 8, ranking.rho)
    assert table["worst"][0] == {"model": "net7", "by_macs": 8, "by_time": 1}
    assert table["macs_per_s"]["net7"] == 160
    assert ranking.rates == "10.0/s (net0) to 160/s (net7)"
    # d = -1 seven times, and 7: 1 - 6 * 56 / (8 * 63)
    assert ranking.rho == pytest.approx(1 - 336 / 504)


def test_an_order_that_is_none_is_not_defined() -> None:
    times = [float(i) for i in range(1, 9)]
    for macs, seconds in (([70] * 8, times), (list(range(1, 9)), [1.0] * 8)):
        (ranking,) = _ranks.rankings(summary_of(macs, seconds))
        assert (ranking.rho, ranking.low, ranking.high) == (None, None, None)
        assert "not defined" in _ranks.section([ranking], "")
        assert "nan" not in _ranks.section([ranking], "").lower()
        (table,) = json.loads(_json.text(_ranks.as_json(summary_of(macs, seconds))))
        assert table["rho"] == [None, None, None]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_null_in_json(value: float) -> None:
    text = _json.text({"a": [value, 1.5, (value, "NaN")], "b": {"c": value}})
    assert json.loads(text) == {"a": [None, 1.5, [None, "NaN"]], "b": {"c": None}}
    assert text.count("NaN") == 1


def test_only_whole_nets_with_a_valid_time_count_and_places_are_apart() -> None:
    macs, seconds = list(range(1, 9)), [float(i) for i in range(1, 9)]
    here = summary_of(macs, seconds)
    assert _ranks.rankings(of(here.rows[:7])) == []
    assert _ranks.rankings(summary_of(macs, seconds, steps="magnitude(sparsity=0.5)")) == []
    assert _ranks.rankings(summary_of(macs, seconds, valid_visits=0)) == []
    there = summary_of(macs, seconds[::-1], device="tpu", simulated="predicted")
    everywhere = of([*here.rows, *there.rows])
    both = {r.place.device: r for r in _ranks.rankings(everywhere)}
    assert both["cpu"].rho == pytest.approx(1)
    assert both["cpu"].worst == ()
    assert both["tpu"].rho == pytest.approx(-1)
    assert "predicted" in _ranks.section(_ranks.rankings(everywhere), "")


def test_the_page_names_them_safely() -> None:
    rankings = _ranks.rankings(
        summary_of(list(range(1, 9)), [8.0, 2, 3, 4, 5, 6, 7, 1], device="<b>")
    )
    text = _ranks.section(rankings, "")
    assert "net0: 1. by MACs, 8. by time" in text
    assert "<b>" not in text
    assert _ranks.section([], "") == ""


def nets(names: list[str], **changes: Any) -> list[Record]:
    """Visits of nets without accuracy, each with more of everything than the one before."""
    unknown: dict[str, Any] = {"outcomes": "", "examples": 0, "data": "random weights"}
    return [
        record
        for i, name in enumerate(names, 1)
        for record in _runs.visits([i * 1e-3] * 2, name, macs=i * 1_000_000, **changes or unknown)
    ]


def test_a_page_of_nets_without_accuracy_ranks_them_all_the_same(tmp_path: Path) -> None:
    written = report.write(summarise(_runs.run(nets([f"net{i}" for i in range(8)]))), tmp_path)
    text = assert_self_contained(tmp_path / "index.html")
    assert "No accuracy is known of these nets" in text
    assert "Nothing was measured" not in text
    assert "1.00 [1.00, 1.00]" in text
    assert text.count("<title>net3 · cpu, batch 1, 1 thread, fp32: 4.00 M MACs in 4.00 ms<") == 1
    assert {p.name for p in written} >= {"latency_over_macs.svg", "latency_over_macs.png"}
    assert "published" not in "".join(p.name for p in written)


def test_published_accuracy_is_drawn_over_time_only_where_none_was_measured(tmp_path: Path) -> None:
    names = [f"net{i}" for i in range(7)]
    suite = "".join(f"[model.{name}]\n" for name in names)
    suite += '[model.mine]\nnet = "timm:resnet18"\n'
    request = {"suite": suite}

    def drawn(records: list[Record], request: dict[str, Any]) -> dict[str, str]:
        summary = summarise(_runs.run(records, request=request))
        plots = _nets_plot.plots(summary, _ranks.rankings(summary))
        return {name: plot.svg for name, plot in plots.items()}

    pictures = drawn(nets([*names, "mine"]), request)
    tip = "<title>mine · cpu, batch 1, 1 thread, fp32: 71.5 % published, 8.00 ms<"
    assert pictures[_nets_plot.PUBLISHED].count(tip) == 1
    assert (
        pictures[_nets_plot.PUBLISHED].count("<title>") == 1
    )  # of the others nothing is published
    assert pictures[_nets_plot.MACS].count("<title>") == 8
    for damaged in ("[model", "model = 3", ""):
        assert list(drawn(nets([*names, "mine"]), {"suite": damaged})) == [_nets_plot.MACS]
    measured = nets([*names, "mine"], outcomes="1" * 50, data="photos")
    assert list(drawn(measured, request)) == [_nets_plot.MACS]
    assert drawn(nets(names), request) == {}  # too few to rank
