"""Results as a DataFrame: a row per cell, documented columns, and numbers to reckon with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import paretomark
from paretomark.reports import _columns
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import realistic, record, run, visits, written

EXAMPLE = Path(__file__).parents[1] / "examples" / "frame.py"


def test_there_is_a_row_per_cell_with_what_reports_show() -> None:
    source = realistic()
    frame = paretomark.load(source)
    rows = summarise(source).rows
    assert list(frame.cell) == [row.cell for row in rows]
    assert list(frame.valid) == [row.valid for row in rows]
    row = next(row for row in rows if row.speedup)
    (cell,) = frame[frame.cell == row.cell].to_dict("records")
    for key, value in _columns.values(row).items():
        if value is not None:
            assert cell[key] == value, key
    assert cell["run"] == source.header.run
    assert cell["commit"] == source.header.commit
    assert cell["machine"] == "Example Core i5-1234 (f0e1d2c3)"
    assert cell["started"].isoformat() == "2026-01-02T03:04:05+00:00"


def test_every_column_says_what_it_is_in_which_unit() -> None:
    for frame in (paretomark.load(realistic()), paretomark.load([])):
        about = frame.attrs["columns"]
        assert list(frame.columns) == list(about)
        assert all(about.values())
        assert about["latency_low_s"].endswith(", s")
        assert about["artifact_bytes"].endswith(", B")


def test_numbers_are_numbers_also_where_none_is_known() -> None:
    frame = paretomark.load(run([record()]))
    assert frame.latency_s.dtype == frame.delta.dtype == frame.artifact_bytes.dtype == float
    assert frame.delta.isna().all()


def test_runs_are_given_one_or_several_as_folders_or_as_they_are(tmp_path: Path) -> None:
    first, second = run([record()], run="first"), run([record()], run="second")
    folder = written(second, tmp_path / "second")
    assert list(paretomark.load(folder).run) == ["second"]
    assert list(paretomark.load([first, folder, str(folder)]).run) == ["first", "second", "second"]
    with pytest.raises(UserError, match="not a run"):
        paretomark.load(tmp_path)


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "('numpy', 'pandas', 'rich', 'paretomark.reports')"
    code = f"import sys, paretomark; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert told.stdout.split() == [b"[]"]
    assert not hasattr(paretomark, "nothing")


def test_the_example_picks_the_fastest_that_is_nearly_as_accurate(tmp_path: Path) -> None:
    cells = [
        visit
        for recipe, latency, right in (
            ("dense", 4e-3, 900),
            ("0.5", 3e-3, 895),
            ("int8", 1e-3, 880),
        )
        for visit in visits(
            [latency] * 2, recipe=recipe, outcomes="1" * right + "0" * (1000 - right)
        )
    ]
    folder = written(run(cells), tmp_path / "run")
    told = subprocess.run(
        [sys.executable, str(EXAMPLE), str(folder)], capture_output=True, text=True, check=True
    )
    heads, line = told.stdout.splitlines()
    assert heads.split()[-6:] == ["model", "recipe", "ms", "speedup", "points", "simulated"]
    assert line.split()[-4:] == ["0.5", "3.00", "1.33", "-0.50"]
