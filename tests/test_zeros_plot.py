"""The picture of what pruning brought."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paretomark.reports import _zeros_plot, report
from paretomark.suites.records._summary import Summary, summarise
from paretomark.tests._runs import noisy, run, visits

WEIGHTS = 1000


def summary() -> Summary:
    """A net whose zeros bring speed on one device and none on the other; and its int8 form."""
    records = []
    for device, gains in (("cpu", (1.0, 1.0)), ("sparse", (1.6, 4.0))):
        records += visits(
            noisy(1e-3, 5, 0.002, 1), "a", "dense", device, parameters=WEIGHTS, nonzeros=WEIGHTS
        )
        for i, (share, gain) in enumerate(zip((0.5, 0.9), gains, strict=True)):
            right = "1" * (78 - 10 * i) + "0" * (22 + 10 * i)
            nonzeros = round(WEIGHTS * (1 - share))
            times = noisy(1e-3 / gain, 5, 0.002, i)
            records += visits(
                times,
                "a",
                str(share),
                device,
                outcomes=right,
                parameters=WEIGHTS,
                nonzeros=nonzeros,
            )
    records += visits([5e-4] * 3, "a", "int8", parameters=WEIGHTS, nonzeros=WEIGHTS)
    records += visits([4e-4] * 3, "a", "0.8", precision="int8", parameters=WEIGHTS, nonzeros=200)
    return summarise(run(records))


def test_a_pruned_net_lies_to_the_same_net_with_all_its_weights() -> None:
    found = {(p.row.device, p.row.precision, p.share): p for p in _zeros_plot.pruned(summary())}
    assert found["sparse", "fp32", 0.9].speed.value == pytest.approx(4, rel=0.02)
    assert found["cpu", "fp32", 0.9].speed.value == pytest.approx(1, rel=0.02)
    assert found["cpu", "int8", 0.8].speed.value == pytest.approx(1.25, rel=0.02)  # to int8
    drop = found["cpu", "fp32", 0.9].drop
    assert drop is not None
    assert drop.value == pytest.approx(-0.12)


def test_each_point_says_what_it_is() -> None:
    plot = _zeros_plot.plot(summary())
    assert plot is not None
    tips = re.findall(r'<g id="zeros\d+" data-c="([^"]+)"[^>]*><title>([^<]+)</title>', plot.svg)
    assert len(tips) == 5
    told = dict(tips)["a/0.9/sparse/b1/t1"]
    assert "90 % zeros" in told
    assert "times as fast [" in told
    assert "−12.0 points; faster" in told


def test_where_nothing_was_pruned_there_is_no_picture(tmp_path: Path) -> None:
    plain = summarise(run(visits([1e-3] * 2)))
    assert _zeros_plot.plot(plain) is None
    assert "zeros.svg" not in {p.name for p in report.write(plain, tmp_path / "a")}
    assert "zeros.svg" in {p.name for p in report.write(summary(), tmp_path / "b")}
