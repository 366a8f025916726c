"""Commands that reports bring: listed without importing them, and apart from each other."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.suites.records import _summary
from paretomark.suites.records._record import Record
from paretomark.suites.records._store import Run
from paretomark.suites.spec import _plugins
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

FOLDER = Path(bench.__file__).parent / "reports"
HELLO = '''"""Greet somebody."""

def arguments(parser):
    parser.add_argument("whom")

def command(arguments):
    print(f"hello {arguments.whom}")
    return 3
'''


def imported(file: Path) -> set[str]:
    """The modules of this folder that a file imports, anywhere in it."""
    package, names = "paretomark.reports", set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names.add(str(node.module).split(".")[2])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[2] for a in node.names if a.name.startswith(f"{package}.")}
    return names


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: str(file.stem))
def test_nothing_here_imports_a_report(file: Path) -> None:
    assert imported(file) & set(_plugins.names("reports")) == set()


def test_the_list_imports_no_report_and_a_command_imports_its_own_only() -> None:
    code = (
        "import sys\nfrom paretomark import bench\n"
        "try:\n    bench.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "reports = {m for m in sys.modules if m.startswith('paretomark.reports.')}\n"
        "print(sorted(m for m in reports if not m.startswith('paretomark.reports._')))"
    )

    def call(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "80"},
        )
        return done.stdout.splitlines()

    *lines, reports = call("--help")
    assert reports == "[]"
    commands = [line.split()[0] for line in lines if line.startswith("    ")]
    assert set(commands) >= {"run", "train", *_plugins.names("reports")}
    assert "report       write the page, plots and tables of a run" in "\n".join(lines)
    assert call("compare", "--help")[-1] == "['paretomark.reports.compare']"


@pytest.mark.usefixtures("plugins_kept")
@pytest.mark.parametrize("before", [True, False])
def test_a_file_in_a_folder_of_ones_own_is_a_command(
    tmp_path: Path, before: bool, call: Callable[..., Called], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "greet.py").write_text(HELLO)
    plugins = ("--plugins", tmp_path)
    arguments = (*plugins, "greet", "you") if before else ("greet", "you", *plugins)
    result = call(*arguments)
    assert (result.code, result.out) == (3, "hello you\n")
    with pytest.raises(SystemExit):
        call("--help")
    assert "greet        greet somebody\n" in capsys.readouterr().out


@pytest.mark.usefixtures("plugins_kept")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", HELLO, "no report can be called train: rename reports/train.py"),
        ("odd", "def command(:", "odd.py: cannot be read as Python: "),
    ],
)
def test_a_file_that_can_be_no_command_is_named(
    tmp_path: Path, name: str, text: str, message: str, call: Callable[..., Called]
) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{name}.py").write_text(text)
    result = call("--plugins", tmp_path, "report", tmp_path)
    assert result.code == bench.USER_ERROR
    assert message in result.err


def test_a_run_is_summarised_once_for_all_that_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    summarised: list[str] = []
    by_cell = _summary._by_cell

    def counted(run: Run) -> dict[str, _summary.Visits]:
        summarised.append(run.folder.name)
        return by_cell(run)

    monkeypatch.setattr(_summary, "_by_cell", counted)
    a = _runs.written(_runs.run(_runs.visits([1e-3, 1.01e-3])), tmp_path / "a")
    b = _runs.written(_runs.run(_runs.visits([1e-3, 1.02e-3])), tmp_path / "b")
    for command, runs in (
        (["report", a], ["a"]),
        (["report", a, "--json"], ["a"]),
        (["compare", a, b], ["a", "b"]),
        (["leaderboard", a, b, "--out", tmp_path / "site"], ["a", "b"]),
    ):
        assert call(*command).code == 0
        assert summarised == runs
        summarised.clear()


def test_a_summary_tells_whether_something_failed() -> None:
    def failed(*records: Record) -> bool:
        return _summary.summarise(_runs.run(records)).failed

    assert not failed(_runs.record())
    assert not failed(_runs.record(), _runs.failed(recipe="int8", status="unsupported"))
    assert failed(_runs.record(), _runs.failed(recipe="int8"))
    assert failed(_runs.record(status="fallback", reason="runs on the CPU"))
