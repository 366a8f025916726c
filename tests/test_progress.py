"""What is said while something takes long, and that nothing is said while visits are timed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.reports import _progress
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SUITE = """
devices = ["fake:ok", "fake:absent"]
blocks = 2
seconds = 0.02
examples = 50
foreign_load_cores = 99.0
precision = 0.9
[model.digits_mlp]
[recipe.fp32]
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """The silence that is not borne, in seconds: shorter than usual."""
    monkeypatch.setattr(_progress, "SILENT_S", 0.1)
    return 0.1


@pytest.mark.build
def test_models_tell_which_nets_they_look_at_for_the_first_time(
    private_cache: Path, impatient: float, call: Callable[..., Called]
) -> None:
    words = ("models", "--model", "digits_mlp", "--model", "scenes_resnet", "--json")
    result = call(*words)
    assert {row["net"] for row in json.loads(result.out)} == {"digits_mlp", "scenes_resnet"}
    lines = result.err.splitlines()
    assert lines
    for line in lines:
        assert re.match(r"looking at nets for the first time(: [12] of 2, \w+)? \(\d+ s\)$", line)
    assert any("of 2, digits_mlp" in line for line in lines)
    assert "looking" not in call(*words).err


@pytest.mark.build
def test_a_run_for_programs_tells_on_stderr_what_it_does(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out", "--json")
    assert result.code == 0
    json.loads(result.out)
    lines = result.err.splitlines()
    assert "fake:absent is not here: it is never there" in lines
    assert [line[:9] for line in lines if line.startswith("build")] == ["build 1/1"]
    assert [line[:9] for line in lines if line.startswith("visit")] == ["visit 1/2", "visit 2/2"]


def test_it_is_told_what_is_waited_for_until_visits_begin(
    impatient: float, capsys: pytest.CaptureFixture[str]
) -> None:
    with _progress.show(to_stderr=True) as progress:
        time.sleep(4 * impatient)
        assert capsys.readouterr().err.startswith("planning, and asking the devices (0 s)\n")
        progress.building(1, 2, "a", "")
        time.sleep(4 * impatient)
        assert "building (" in capsys.readouterr().err
        progress.building(2, 2, "b", "odd:\x1b[31m\nfile")
        assert capsys.readouterr().err == "build 2/2 b: odd: file\n"
        time.sleep(4 * impatient)
        assert capsys.readouterr().err == ""  # from here on, nothing else may run
        progress.turn(3, 9)
        assert capsys.readouterr().err == "turn 3/9 of a crew\n"
        progress.turn(4, 9)
        assert capsys.readouterr().err == ""
        progress.visiting(1, 1, _runs.failed(reason="it\x07\nbroke"))
        assert (
            capsys.readouterr().err == "visit 1/1 net/dense/cpu/b1/t1  failed (build): it broke\n"
        )


def test_what_is_done_soon_is_done_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with _progress.counting("reading") as told:
        told(0, 1, "a")
    assert capsys.readouterr().err == ""
