"""Kept runs: their tables say what the run says, and figures beside a table are in it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from paretomark.docs import kept, tables
from paretomark.suites.records import _store
from paretomark.suites.records._summary import summarise
from paretomark.tests import _runs

# A figure of a result in prose: with a unit, or as a ratio.
FIGURE = re.compile(
    r"(?<![\w.,−+])([+−]?\d+(?:\.\d+)?)(?: ?%| (?:points?|times|[kM]B|ms|µs|M)\b|×)(?!\s+interval)"
)
UNKEPT = "not kept"  # in the heading, or the first words, of what no test checks
PAGES = ("compression.md", "architectures.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    return tmp_path / "kept"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Pruned to 70 %, the dense net trained as long, which gained by that, and one that failed."""
    right = {"dense": 80, "0.7": 82, "trained": 90}
    steps = {"dense": "", "0.7": "magnitude(sparsity=0.7)", "trained": "finetune(epochs=2)"}
    records = [
        record
        for recipe, count in right.items()
        for record in _runs.visits(
            [1e-3, 1.001e-3, 0.999e-3],
            recipe=recipe,
            outcomes="1" * count + "0" * (100 - count),
            steps=steps[recipe],
            parameters=1000,
            nonzeros=300 if recipe == "0.7" else 1000,
            encoded_bytes=1000,
        )
    ]
    made = _runs.run([*records, _runs.failed(recipe="int8")])
    _store.create(tmp_path / "run", made.header)
    with _store.Writer(tmp_path / "run") as writer:
        for record in made.records:
            writer.append(record)
    return tmp_path / "run"


def cells(text: str, recipe: str) -> list[str]:
    """The cells of the line of a recipe."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| net | {recipe} |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_what_was_trained_is_put_beside_its_control(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept.main([str(run), "--as", "mine", "--control", "0.7=trained"]) == 0
    text = kept.table("mine")
    pruned = cells(text, "0.7")
    assert pruned[2].startswith("82.0 % [")
    assert pruned[3].startswith("+2.0 [")  # than the net as it came
    assert re.fullmatch(r"−8\.0 \[−1\d\.\d, −\d\.\d\] to trained", pruned[4])
    assert cells(text, "trained")[4] == "–"
    assert "70 %" in pruned
    assert "4.00×" in pruned


def test_a_cell_without_a_result_says_why(folder: Path, run: Path) -> None:
    kept.main([str(run), "--as", "mine"])
    assert cells(kept.table("mine"), "int8")[2] == "failed: no such operator: NonMaxSuppression"


def test_where_it_is_from_stands_above(folder: Path, run: Path) -> None:
    kept.main([str(run), "--as", "mine", "--note", "On a Sunday."])
    header = _store.read(run).header
    above = kept.table("mine").partition("\n")[0]
    for word in (header.suite, header.commit[:7], header.host.chip, header.started[:10], "Sunday"):
        assert word in above


@pytest.mark.parametrize("times", [True, False])
def test_times_are_told_only_where_they_are_asked_for(folder: Path, run: Path, times: bool) -> None:
    kept.main([str(run), "--as", "mine", *(["--times"] if times else [])])
    assert ("latency" in kept.table("mine")) == times
    assert ("1.00 ms" in kept.table("mine")) == times
    with (folder / "mine" / kept.CELLS).open() as file:
        assert ("latency_s" in next(csv.reader(file))) == times


def test_a_run_is_printed_without_being_kept(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept.main([str(run), "--times"]) == 0
    printed = capsys.readouterr().out
    assert cells(printed, "dense")[2].startswith("80.0 %")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("0.7=tuned", "the run has no recipe 'tuned', only 0.7, dense, int8, trained"),
        ("pruned=trained", "the run has no recipe 'pruned'"),
        ("0.7", "write a control as RECIPE=CONTROL"),
    ],
)
def test_a_control_that_is_not_there_is_an_error(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str], control: str, says: str
) -> None:
    assert kept.main([str(run), "--as", "mine", "--control", control]) == 2
    assert says in capsys.readouterr().err
    assert not folder.exists()


def test_a_table_follows_the_kept_run(folder: Path, run: Path) -> None:
    """So that a document whose figures were changed by hand, or not written anew, is found."""
    kept.main([str(run), "--as", "mine"])
    before, file = kept.table("mine"), folder / "mine" / kept.CELLS
    share = str(next(r for r in summarise(_store.read(run)).rows if r.recipe == "0.7").accuracy)
    file.write_text(file.read_text().replace(f",{share},", ",0.83,"))
    assert kept.table("mine") != before
    assert "83.0 %" in kept.table("mine")


def test_kept_runs_say_what_they_must() -> None:
    for name in kept.names():
        header = json.loads((kept.FOLDER / name / kept.HEADER).read_text())
        assert header["commit"]
        assert not header["dirty"], name
        with (kept.FOLDER / name / kept.CELLS).open() as file:
            rows = list(csv.DictReader(file))
        assert all(row["accuracy"] and row["accuracy_low"] for row in rows if row["status"] == "ok")


@pytest.mark.parametrize("name", PAGES)
def test_figures_in_prose_stand_in_the_table_beside(name: str) -> None:
    """Except below what says that its runs were not kept."""
    page = (tables.ROOT / "docs" / name).read_text(encoding="utf-8")
    for number, section in enumerate(re.split(r"^# |^## ", page, flags=re.MULTILINE)[1:]):
        if UNKEPT in section[:100]:
            if number == 0:
                return  # the whole page
            continue
        beside = "\n".join(match[0] for match in tables.TABLE.finditer(section))
        prose = tables.TABLE.sub("", section)
        figures = {match[1] for match in FIGURE.finditer(prose)}
        missing = {
            f for f in figures if not re.search(rf"(?<![\d.]){re.escape(f)}(?![\d.])", beside)
        }
        assert not missing, (section.partition("\n")[0], missing)
        assert "| " not in prose, f"{section[:60]}: a table by hand, that nothing checks"


def test_a_figure_that_is_in_no_table_would_be_found() -> None:
    said = (
        "At 70 % it loses 3.4 points [−5, −2], is 2.0× as fast, and takes 284 kB in 3 runs of 2026."
    )
    assert [m[1] for m in FIGURE.finditer(said)] == ["70", "3.4", "2.0", "284"]
