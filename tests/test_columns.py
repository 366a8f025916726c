"""One table of columns, from which everything that has a line per cell is derived."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from rich.console import Console
from rich.text import Text

from paretomark.reports import _cells, _columns, _csv, _fit, _terminal, leaderboard, report
from paretomark.reports._columns import BOARD, COLUMNS, EVERY, FRONTS, TERMINAL, Column
from paretomark.reports._ways import COUNT
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary, summarise
from paretomark.suites.tasks import _task
from paretomark.tests._runs import failed, realistic, run, visits

pytestmark = pytest.mark.slow

NUMBERS = {int, float, int | None, float | None}


def printed(summary: Summary, width: int) -> str:
    out = io.StringIO()
    table = _terminal.table(summary, width)
    Console(file=out, width=width, color_system=None).print(table)
    return out.getvalue()


def titles(text: str) -> list[list[str]]:
    """The titles of each table of a report."""
    heads = re.findall(r"<thead>(.*?)</thead>", text)
    return [re.findall(r"<button type=button>(.*?)</button>", head) for head in heads]


def test_every_column_says_what_it_is() -> None:
    columns = _columns.columns()
    keys = [key for column in columns for key in column.keys]
    assert len(keys) == len(set(keys))
    assert len({column.title for column in columns}) == len(columns)
    for column in columns:
        assert column.title, column.name
        assert column.description, column.name


def test_every_field_of_a_row_is_in_the_table_and_numbers_have_a_unit() -> None:
    fields = get_type_hints(Row)
    del fields["measures"]  # of which there is a column each
    units = {key: column.unit for column in COLUMNS for key in column.keys}
    assert units.keys() - fields.keys() == {"mark", "valid"}
    assert fields.keys() <= units.keys()
    numbers = {name for name, hint in fields.items() if hint in NUMBERS}
    assert len(numbers) > 30
    assert {name for name, unit in units.items() if unit} == numbers
    for column in COLUMNS:
        assert column.better in (("", "lower", "higher") if column.unit else ("",)), column.name


def test_a_metric_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column that is added to the table is in every report, and in the legend."""
    added = Column(
        "pictures_per_s", "pictures per second", "1/s", "higher", "batch over latency", COUNT,
        (TERMINAL, EVERY, FRONTS, BOARD), get=lambda row: row.batch / (row.latency_s or 1),
    )  # fmt: skip
    monkeypatch.setattr(_columns, "COLUMNS", (*COLUMNS, added))
    summary = summarise(run(visits([2e-3, 2e-3], batch=8)))

    text = printed(summary, 160)
    assert added.title in text
    assert "4.00 k" in text
    report.present(summary, tmp_path / "page", as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["rows"]
    html = (tmp_path / "page" / "index.html").read_text()
    board = leaderboard.write([summary], tmp_path / "board")[0].read_text()
    for shown, tables in ((html, 2), (board, 1)):
        assert sum(added.title in table for table in titles(shown)) == tables
        assert shown.count(">4.00 k</td>") == tables
        assert 'title="batch over latency (higher is better)"' in shown
    assert "<code>pictures_per_s</code>" in html
    (line,) = csv.DictReader(io.StringIO((tmp_path / "page" / "cells.csv").read_text()))
    assert float(line["pictures_per_s"]) == pytest.approx(4000)
    assert told["pictures_per_s"] == pytest.approx(4000)


def test_places_have_their_order(tmp_path: Path) -> None:
    summary = summarise(realistic())
    fronts = titles(_cells.table(FRONTS, summary.rows))[0]
    board = leaderboard.write([summarise(run(visits([1e-3])))], tmp_path)
    results = titles(board[0].read_text())[0]
    assert fronts == ["model", "recipe", "accuracy", "Δ to dense, points", "latency", "speed-up",
                      "typical", "file", "front"]  # fmt: skip
    assert results[:5] == ["device", "model", "recipe", "front", "accuracy"]
    assert results[-3:] == ["file", "measured", "commit"]
    heads = [re.split(r"  +", line.strip()) for line in printed(summary, 160).splitlines()
             if line.startswith("model")]  # fmt: skip
    assert heads[0] == ["model", "recipe", "accuracy %", "Δ", "latency", "speed-up", "file",
                        "zeros", "front"]  # fmt: skip
    assert "zeros" not in heads[-1]  # on this device nothing was pruned


def test_csv_and_json_hold_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarise(realistic())
    report.present(summary, tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)["rows"]
    lines = list(csv.DictReader(io.StringIO(_csv.cells(summary))))
    for row, values, line in zip(summary.rows, told, lines, strict=True):
        fields = dataclasses.asdict(row) | {"mark": row.mark, "valid": row.valid}
        fields |= {name: row.measure(name) for name in _task.measures()}
        fields = {k: [*v] if isinstance(v, tuple) else v for k, v in fields.items()}
        del fields["measures"]
        assert values.pop("command") == ""
        assert values == fields
        assert line.keys() == fields.keys()


def test_a_column_of_a_task_takes_its_name_from_it() -> None:
    """In a table of one task it is called as its measure, in one of two tasks as both."""
    scored: dict[str, Any] = {"outcomes": "", "scores": (0.5, 0.75), "examples": 2}
    records = [
        *visits([1e-3], "a", task="segmentation", **scored),
        *visits([1e-3], "b", task="keypoints", **scored),
    ]
    summary = summarise(run(records))
    assert "mean IoU, PCK" not in (text := printed(summary, 120))
    assert "mean IoU %" in text
    assert "PCK %" in text
    assert "PCK, mean IoU" in titles(_cells.every(summary.rows))[0]


HIDDEN = {
    80: "Hidden: Δ, speed-up, file, zeros: in a wider terminal, the page and cells.csv.",
    100: "Hidden: speed-up, zeros: in a wider terminal, the page and cells.csv.",
    120: "Hidden: zeros: in a wider terminal, the page and cells.csv.",
    140: "",
}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140])
def test_on_a_narrow_terminal_columns_give_way_by_importance_and_are_named(width: int) -> None:
    summary = summarise(realistic())
    text, ample = printed(summary, width), printed(summary, 300)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for part in (r"[\d.]+ [µm]s ±[\d.]+%", r"[\d.]+ ±[\d.]+  +[^\n]*[µm]s", "[●≈] [\\d.]+ %"):
        assert len(re.findall(part, text)) == len(re.findall(part, ample)) > 10
    found = [line.strip() for line in lines if line.startswith("Hidden: ")]
    if width in HIDDEN:
        assert found == [HIDDEN[width]] * bool(HIDDEN[width])
    assert ("Δ: against" in " ".join(text.split())) == (width >= 100)
    assert "Hidden" not in ample


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_of_cells_are_broken_at_slashes_only(width: int) -> None:
    long = "a_net_of_a_name_with_30_letters"
    records = [
        *visits([1e-3], long, "channels30-finetuned-int8", warnings=("what is to be known",)),
        *visits([2e-3], long, "int8"),
        failed(long, "dense"),
    ]
    text = printed(summarise(run(records)), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for part in ("channels30-finetuned-int8", "cpu/b1/t1" if width > 60 else "b1/t1"):
        assert text.count(part) >= 2
    assert text.count(long) == 4
    for number in ("1.00 ms", "2.00 ms", "80.0 ±"):
        assert number in (text if width > 60 else " ".join(text.split()))


def test_a_long_note_does_not_drive_columns_away() -> None:
    noisy = [visits([1e-3, 1.9e-3, 9e-3], "net", recipe) for recipe in ("dense", "noisy")]
    text = printed(summarise(run(noisy[0] + noisy[1])), 80)
    assert "speed-up" in text
    assert "not measured well enough" not in text  # in one line
    assert "about 2.58 ms, not" in text


def test_tables_of_comparisons_break_names_at_slashes_and_hide_what_is_too_much() -> None:
    name = "a_net_of_a_name/channels30-int8/onnxruntime:cpu/b1/t4"
    titles = ("verdict", "cell", "latency", "change [95 %]", "tail", "file")
    row = ("inconclusive", name, "2.16 ms → 2.89 ms", "+2.6 % [+0.2, +5.1]", "7.5 %", "2.84 MB")
    for width, gone in ((80, 1), (120, 0)):
        table, hidden = _fit.table(titles, [[*map(Text, row)]], titles[:4], ("cell",), width)
        out = io.StringIO()
        Console(file=out, width=width, color_system=None).print(table)
        text = out.getvalue()
        assert hidden == titles[len(titles) - gone :]
        for word in (*"/".join(row[:4]).replace("/", " / ").split(), *titles[:4]):
            assert word in text
