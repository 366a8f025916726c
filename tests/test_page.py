"""The page of a run: complete, self-contained, and safe against what records say."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from paretomark.reports import leaderboard, report
from paretomark.suites.records._record import Record
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests._pages import EVIL, assert_self_contained, read
from paretomark.tests._runs import HOST, failed, only, realistic, record, run, visits

pytestmark = pytest.mark.slow


def write(source: Run, out: Path) -> list[Path]:
    return report.write(summarise(source), out)


def test_a_realistic_run(tmp_path: Path) -> None:
    source = realistic()
    written = write(source, tmp_path / "a" / "b")
    assert [p.name for p in written] == [
        "index.html",
        "pareto_scenes.svg",
        "pareto_scenes.png",
        "cells.json",
        "cells.csv",
        "visits.csv",
        "zeros.svg",
        "zeros.png",
    ]
    text = assert_self_contained(written[0])
    for shown in (
        "Scenes: three small networks, five recipes",
        "Example Core i5-1234",
        "0123456789ab",
        "with uncommitted changes",
        "no NVIDIA driver on this machine; install TensorRT 10",
        "the Edge TPU runs int8 networks only",
        "onnxruntime 1.20.0",
        "foreign load",
        "not run",
        "predicted",
        "3 blocks",
        "▼",
    ):
        assert shown in text, shown
    assert text.count("<svg") > 30  # the plot, and a picture for each difference
    assert written[2].read_bytes().startswith(b"\x89PNG")


def test_the_plot_names_its_points(tmp_path: Path) -> None:
    written = write(realistic(), tmp_path)
    root = ElementTree.fromstring(written[1].read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    titles = [e.text or "" for e in root.iter(f"{space}title")]
    assert len(titles) == 35  # every cell with a latency and an accuracy
    assert any(t.startswith("scenes_resnet · int8 · litert:xnnpack") for t in titles)
    assert any("✗ foreign load" in t for t in titles)
    labels = [e.text for e in root.iter(f"{space}text")]
    assert "scenes_repvgg int8" in labels
    assert "scenes_repvgg pruned50" not in labels  # beaten


def test_broken_nets_do_not_flatten_the_plot(tmp_path: Path) -> None:
    right = {"a": 88, "b": 91, "c": 94, "d": 97}
    good = [
        record(recipe=name, latency=n * 1e-4, outcomes="1" * n + "0" * (100 - n))
        for name, n in right.items()
    ]
    broken = record(recipe="broken", latency=2e-2, outcomes="1" * 9 + "0" * 91)
    write(run(good), tmp_path / "good")
    write(run([*good, broken]), tmp_path / "broken")
    plain, cut = ((tmp_path / n / "index.html").read_text() for n in ("good", "broken"))
    assert "below the plot" not in plain
    assert "below the plot" in cut
    assert "broken · cpu, batch 1, 1 thread: 9.0 %" in cut
    fastest = record(recipe="broken", latency=1e-4, outcomes="1" * 9 + "0" * 91)
    write(run([*good, fastest]), tmp_path / "fastest")
    assert "below the plot" in (tmp_path / "fastest" / "index.html").read_text()


def test_tables_hold_every_field(tmp_path: Path) -> None:
    source = realistic()
    write(source, tmp_path)
    with (tmp_path / "cells.csv").open(encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == 46
    assert cells[0]["model"] == "scenes_resnet"
    assert float(cells[0]["latency_s"]) == pytest.approx(9.1e-3, rel=0.05)
    assert cells[2]["reason"] == "the Edge TPU runs int8 networks only"
    with (tmp_path / "visits.csv").open(encoding="utf-8") as file:
        visited = list(csv.DictReader(file))
    assert len(visited) == len(source.records)
    assert {"median_s", "samples", "flags", "block"} <= set(visited[0])


def test_only_failures(tmp_path: Path) -> None:
    written = write(run([failed(), failed(recipe="int8")]), tmp_path)
    assert [p.name for p in written] == ["index.html", "cells.json", "cells.csv", "visits.csv"]
    text = assert_self_contained(written[0])
    assert "Nothing was measured" in text
    assert "no such operator" in text


def test_no_records_at_all(tmp_path: Path) -> None:
    text = assert_self_contained(write(run([], ["a/b/c/b1/t1"]), tmp_path)[0])
    assert "not run" in text
    assert_self_contained(write(run([], []), tmp_path)[0])


def test_one_visit_and_only_invalid_ones(tmp_path: Path) -> None:
    assert_self_contained(write(run([record()]), tmp_path)[0])
    text = assert_self_contained(write(run([record(flags=("drift",))]), tmp_path)[0])
    assert "✗ drift" in text
    assert "No valid point" in text


def test_latency_without_accuracy(tmp_path: Path) -> None:
    written = write(run([record(outcomes="", data="")]), tmp_path)
    assert "1.00 ms" in assert_self_contained(written[0])


def test_two_data_sets_are_two_plots(tmp_path: Path) -> None:
    source = run(
        [record(), record(model="other", data="Di/gits!"), record(model="x", data="di gits")]
    )
    names = {p.name for p in write(source, tmp_path)}
    assert {"pareto_digits.svg", "pareto_di-gits.svg", "pareto_di-gits-2.svg"} <= names


def test_a_data_set_cannot_choose_where_files_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(run([record(data="../../etc/passwd"), record(model="b", data="..")]), out)
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert {p.name for p in out.glob("*.svg")} == {"pareto_etc-passwd.svg", "pareto_data.svg"}


def _texts(source: Record) -> dict[str, Any]:
    fixed = ("status", "outcomes", "precision", "simulated", "task")
    return {k: EVIL for k, v in source.to_json().items() if isinstance(v, str) and k not in fixed}


def test_everything_from_a_record_is_escaped(tmp_path: Path) -> None:
    evil = dataclasses.replace(
        record(), **_texts(record()), flags=(EVIL,), placement={EVIL: 1}
    )  # fmt: skip
    valid = dataclasses.replace(evil, cell=EVIL + "2", flags=())
    odd = dataclasses.replace(valid, cell=EVIL + "3", simulated=EVIL, precision=EVIL)
    bad = dataclasses.replace(evil, cell=EVIL + "4", status="failed", slices_ns=())
    probe = {"device": EVIL, "available": False, "reason": EVIL, "remedy": EVIL}
    strings = dict.fromkeys(("title", "suite", "run", "started", "commit", "version"), EVIL)
    host = dict.fromkeys(("fingerprint", "chip", "system", "python"), EVIL)
    source = run([evil, valid, odd, bad], probes=(probe,), **strings)
    source = only(source, host=HOST | host)
    written = write(source, tmp_path)
    text, loads = read(written[0])
    assert loads.scripts == 1
    assert loads.handlers == []
    assert "img" not in loads.tags
    assert "&lt;script&gt;alert(1)" in text
    svg = next(p for p in written if p.suffix == ".svg").read_text(encoding="utf-8")
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_text_that_is_no_text(tmp_path: Path) -> None:
    odd = "a\x00b\x1b[31m\ud800\u202ec" + "x" * 100_000
    source = run([record(model=odd, data=odd), failed(reason=odd)], title=odd)
    written = write(source, tmp_path)
    text, _ = read(written[0])
    assert not re.search("[\x00-\x08\x1b\u202e]", text)
    assert len(text) < 200_000
    ElementTree.fromstring(next(p for p in written if p.suffix == ".svg").read_text())


def test_a_spreadsheet_runs_nothing(tmp_path: Path) -> None:
    write(run([record(model="=cmd|' /C calc'!A0")]), tmp_path)
    for name in ("cells.csv", "visits.csv"):
        with (tmp_path / name).open(encoding="utf-8") as file:
            assert next(csv.DictReader(file))["model"].startswith("'=")


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    source = run([*visits([1e-3, 1.1e-3]), *visits([2e-3, 2.1e-3], recipe="int8")])
    first, second = write(source, tmp_path / "1"), write(source, tmp_path / "2")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        write(run([record()]), tmp_path / "file")


def test_plots_that_a_page_has_no_more_are_taken_away(tmp_path: Path) -> None:
    first = write(run([record(data="digits"), record(model="b", data="scenes")]), tmp_path)
    mine = tmp_path / "pareto_mine.svg"
    mine.write_text("mine")
    second = write(run([record(data="digits")]), tmp_path)
    gone = {path.name for path in first} - {path.name for path in second}
    assert gone == {"pareto_scenes.svg", "pareto_scenes.png"}
    assert {p.name for p in tmp_path.iterdir()} == {
        *(path.name for path in second),
        "files.json",
        mine.name,
    }


def test_a_page_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My site</h1>")
    with pytest.raises(UserError, match=r"index\.html: was not written by paretomark"):
        write(run([record()]), tmp_path)
    with pytest.raises(UserError, match="was not written by paretomark"):
        leaderboard.write([summarise(run([record()]))], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("listing", ["", "[]", '{"files": 3}', '{"files": ["../mine", 4]}'])
def test_a_damaged_list_of_files_takes_nothing_away(tmp_path: Path, listing: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mine").write_text("mine")
    (out / "files.json").write_text(listing)
    write(run([record()]), out)
    assert (tmp_path / "mine").exists()
