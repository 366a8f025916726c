"""How long a run measures: efforts, precision, and cells that get more visits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark.devices.measure._request import EFFORTS, RunRequest
from paretomark.reports import _terminal, _text
from paretomark.suites.records import _store
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import record, run, visits
from paretomark.tests.conftest import Called

SUITE = """
devices = ["fake:ok"]
blocks = 3
seconds = 0.02
examples = 64
foreign_load_cores = 99.0
{more}
[model.digits_mlp]
[recipe.fp32]
[recipe.fp16]
precision = "fp16"
"""


def planned(tmp_path: Path, more: str = "", **changes: object) -> tuple[int, float]:
    request = RunRequest(SUITE.format(more=more), "s", str(tmp_path), **changes)  # type: ignore[arg-type]
    suite, _ = request.plan()
    return suite.blocks, suite.precision


def test_an_effort_is_a_number_of_visits_and_a_precision(tmp_path: Path) -> None:
    assert planned(tmp_path) == (3, 0.02)
    for effort, (count, _, precision) in EFFORTS.items():
        assert planned(tmp_path, effort=effort) == (count, precision)
    request = RunRequest(SUITE.format(more=""), "s", str(tmp_path), effort="gate")
    assert request.plan()[0].seconds == EFFORTS["gate"].longer * 0.02
    assert planned(tmp_path, effort="gate", precision=0.03) == (8, 0.03)
    assert planned(tmp_path, "precision = 0.05") == (3, 0.05)
    with pytest.raises(UserError, match="gates"):
        planned(tmp_path, effort="gates")
    with pytest.raises(UserError, match="precision must be positive"):
        planned(tmp_path, "precision = 0.0")


@pytest.mark.parametrize(("precision", "blocks"), [("90%", 3), ("0.0001%", 4)])
def test_cells_that_are_not_known_well_enough_get_more_visits(
    tmp_path: Path, call: Callable[..., Called], precision: str, blocks: int
) -> None:
    """A third of the planned ones, where no time is given."""
    path = tmp_path / "s.toml"
    path.write_text(SUITE.format(more=""))
    result = call("run", path, "--precision", precision, "--out", tmp_path / "out")
    assert result.code == 0
    found = _store.read(tmp_path / "out")
    assert set(Counter(r.cell for r in found.records).values()) == {blocks}
    assert found.header.blocks == 3
    assert ("latencies are not known to" in result.out) == (blocks == 4)


def test_time_is_spent_on_what_is_known_worst(tmp_path: Path, call: Callable[..., Called]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(SUITE.format(more=""))
    options = ["--precision", "0.0001%", "--time", "30s", "--out", tmp_path / "out"]
    assert call("run", path, *options).code == 0
    assert len(_store.read(tmp_path / "out").records) > 8


@pytest.mark.parametrize("option", [("--precision", "2"), ("--precision", "x"), ("--time", "soon"),
                                    ("--time", "-3m"), ("--effort", "most")])  # fmt: skip
def test_what_is_no_effort_is_refused(
    tmp_path: Path, call: Callable[..., Called], option: tuple[str, str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(SUITE.format(more=""))
    with pytest.raises(SystemExit) as refused:
        call("run", path, *option)
    assert refused.value.code == 2


def test_no_wide_interval_is_printed() -> None:
    """Beyond ±30 % there is no number to bet on, and so none is stated as one."""
    wild = visits([1e-3, 2e-3, 3.5e-3], recipe="wild")
    quiet = [r for i in range(4) for r in visits([1e-3, 1.001e-3, 0.999e-3], recipe=f"0.{i}")]
    summary = summarise(run([*visits([1e-3, 1.001e-3, 0.999e-3]), *quiet, *wild]))
    text = _printed(summary, 200)
    assert "not measured well enough" in text
    assert "not known" in text
    widths = [float(width) for width in re.findall(r"±([0-9.]+)%", text)]
    assert widths
    assert max(widths) <= 30


def test_a_run_of_an_older_version_is_marked() -> None:
    old = summarise(run([record(slices_ns=(tuple([1_000_000] * 20),), block=b) for b in range(3)]))
    assert all(row.sequential for row in old.rows)
    assert "Sequential:" in _text.precision(old.rows, 0.02)
    assert "Sequential:" not in _text.precision(summarise(run(visits([1e-3] * 3))).rows, 0.02)


def _printed(summary: object, width: int) -> str:
    import io

    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width).print(_terminal.table(summary, width))  # type: ignore[arg-type]
    return out.getvalue()
