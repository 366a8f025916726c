"""Published figures beside ours: what a suite may quote, and what is made of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from paretomark.reports import _published_table, report
from paretomark.reports._published_table import Compared
from paretomark.suites.records._record import Record
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._published import QUANTITIES
from paretomark.tests._runs import key, run, visits

pytestmark = pytest.mark.slow

SUITE = """
devices = ["cpu"]
[model.net]
net = "digits_cnn"
[model.wide]
net = "digits_cnn"
[recipe.dense]
[recipe."0.9"]
[recipe."0.8"]
[[published]]
claim = "sparse is faster"
figure = "30 % faster"
source = "a paper, 2021"
"""
DENSE, WORSE = "1" * 80 + "0" * 20, "1" * 70 + "0" * 30


def quoted(records: Sequence[Record], entry: str) -> list[Compared]:
    made = run(records, request={"suite": SUITE + entry})
    return _published_table.compared(summarise(made))


def pruned(recipe: str = "0.9", **changes: Any) -> list[Record]:
    return visits([1e-3, 1.02e-3, 0.98e-3], recipe=recipe, outcomes=WORSE, **changes)


def dense(**changes: Any) -> list[Record]:
    return visits([2e-3, 2.04e-3, 1.96e-3], outcomes=DENSE, **changes)


CELL = 'model = "net"\nrecipe = "0.9"\n'


def test_a_speedup_is_paired_with_the_dense_net_and_has_an_interval() -> None:
    (item,) = quoted([*dense(), *pruned()], CELL)
    assert item.value == pytest.approx(2)
    assert item.low
    assert 1.8 < item.low < 2
    assert item.ours.startswith("2.00× [")
    assert item.place == "cpu, batch 1, 1 thread"


def test_a_base_may_be_another_recipe_of_another_model() -> None:
    other = visits([4e-3, 4.08e-3, 3.92e-3], model="wide", recipe="0.8", outcomes=DENSE)
    entry = CELL + 'base_model = "wide"\nbase_recipe = "0.8"\n'
    (item,) = quoted([*dense(), *pruned(), *other], entry)
    assert item.value == pytest.approx(4)


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        ("latency", 1e-3, "1.00 ms ["),
        ("accuracy", 0.7, "70.0 % ["),
        ("delta", -0.1, "−10.0 points ["),
        ("file", 500, "500 B"),
        ("file ratio", 2, "2.00×"),
        ("encoded ratio", 40, "40.0×"),
        ("parameters ratio", 4, "4.00×"),
        ("MACs ratio", 9, "9.00×"),
        ("MACs/s ratio", 2 / 9, "0.222× [0.222×"),
        ("sparsity", 0.9, "90.0 %"),
    ],
)
def test_every_quantity(quantity: str, value: float, text: str) -> None:
    counts: dict[str, Any] = {
        "artifact_bytes": 1000,
        "parameters": 1000,
        "nonzeros": 1000,
        "macs": 900,
    }
    fewer: dict[str, Any] = {"artifact_bytes": 500, "parameters": 250, "nonzeros": 25, "macs": 100}
    records = [*dense(**counts), *pruned(**fewer, encoded_bytes=100)]
    (item,) = quoted(records, CELL + f'quantity = "{quantity}"\n')
    assert item.value == pytest.approx(value, rel=1e-3)
    assert item.ours.startswith(text.partition("[")[0])


def test_the_names_of_quantities_are_those_that_a_suite_may_use() -> None:
    assert tuple(_published_table.QUANTITIES) == QUANTITIES


def test_there_is_a_line_per_device_and_one_for_what_is_not_here() -> None:
    records = [*dense(), *pruned(), *dense(device="gpu"), *pruned(device="gpu")]
    assert [c.place[:3] for c in quoted(records, CELL)] == ["cpu", "gpu"]
    assert [c.place[:3] for c in quoted(records, CELL + 'devices = ["gpu"]\n')] == ["gpu"]
    for entry in ("", CELL + 'devices = ["npu"]\n'):
        (absent,) = quoted(records, entry)
        assert (absent.ours, absent.value) == ("not measured here", None)


def test_what_failed_or_has_no_base_says_so() -> None:
    broken = visits([1e-3], recipe="0.9", status="failed", reason="no memory", samples_ns=())
    (failed,) = quoted([*dense(), *broken], CELL)
    assert failed.value is None
    assert "no memory" in failed.note
    (alone,) = quoted(pruned(), CELL)
    assert alone.ours == "not measured here"


def test_devices_that_are_not_here_share_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = [*dense(), *pruned()]
    for device in ("gpu", "npu"):
        absent: dict[str, Any] = {"status": "unavailable", "reason": "no driver", "samples_ns": ()}
        records += visits([1e-3], recipe="0.9", device=device, **absent)
    made = run(records, request={"suite": SUITE + CELL})
    _published_table.show(summarise(made))
    shown = capsys.readouterr().out
    assert "not here: gpu, npu" in shown
    assert "no driver" not in shown


def test_simulated_figures_are_marked() -> None:
    changes: dict[str, Any] = {"simulated": "emulated"}
    (item,) = quoted([*dense(**changes), *pruned(**changes)], CELL)
    assert item.ours.endswith("(emulated)")


def test_page_table_and_json_show_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run([*dense(), *pruned()], request={"suite": SUITE + CELL + 'why = "another chip"\n'})
    summary = summarise(made)
    text = report.write(summary, tmp_path)[0].read_text()
    assert "Published against measured" in text
    for part in ("sparse is faster", "30 % faster", "a paper, 2021", "another chip", "2.00×"):
        assert part in text
    _published_table.show(summary)
    shown = capsys.readouterr().out
    assert "30 % faster" in shown
    assert "2.00×" in shown
    (told,) = json.loads(json.dumps(_published_table.as_json(summary)))
    assert told["published"]["source"] == "a paper, 2021"


def test_without_published_figures_nothing_is_shown(tmp_path: Path) -> None:
    for request in ({}, {"suite": "devices = ['cpu']"}, {"suite": "[["}, {"suite": 3}):
        summary = summarise(run(dense(), request=request))
        assert _published_table.compared(summary) == []
        assert "Published against" not in report.write(summary, tmp_path)[0].read_text()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('quantity = "sped"', "did you mean 'speedup'"),
        ('model = "nett"\nrecipe = "0.9"', "did you mean 'net'"),
        ('model = "net"\nrecipe = "0.91"', "unknown recipe '0.91'"),
        ('model = "net"', "both a model and a recipe"),
        (CELL + 'devices = ["cpus"]', "did you mean 'cpu'"),
        (CELL + 'base_recipe = "sparse"', "unknown recipe 'sparse'"),
        ("[[published]]\nfigure = '2x'\nsource = 'a'", "has no claim"),
        ("speed = 3", "unknown key 'speed'"),
    ],
)
def test_mistakes_are_named_before_anything_is_built(entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _suite.parse(SUITE + entry, "mine", Path())


def test_hostile_figures_are_only_text(tmp_path: Path) -> None:
    entry = CELL + "why = '<script>alert(1)</script>'\n"
    made = run([*dense(), *pruned()], request={"suite": SUITE + entry})
    text = report.write(summarise(made), tmp_path)[0].read_text()
    assert "<script>alert" not in text
    assert key("net", "0.9", "cpu") in text or "0.9" in text
