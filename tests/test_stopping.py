"""A run that is stopped by a signal ends its children, and says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paretomark.devices.measure import _work
from paretomark.devices.measure._outcome import Visit
from paretomark.suites.spec._model import Model, Recipe
from paretomark.suites.spec._plan import Cell

pytestmark = pytest.mark.build

SUITE = """
devices = ["fake:slow"]
blocks = 50
examples = 64
foreign_load_cores = 99.0
[model.digits_mlp]
[recipe.fp32]
"""


# Also where the tests run under nohup, or behind: what is ignored stays so in children.
AS_ON_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_run_and_its_children(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    process = _started(tmp_path)
    try:
        _await_visit(tmp_path)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"go on with: bench.py run --resume {tmp_path / 'out'}" in err
    assert not _left(tmp_path)


def test_what_was_told_to_ignore_a_hangup_goes_on(tmp_path: Path) -> None:
    """As nohup does."""
    (tmp_path / "s.toml").write_text(SUITE)
    process = _started(tmp_path, "sh", "-c", """trap '' HUP; exec "$@" """, "sh")
    try:
        _await_visit(tmp_path)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def _started(folder: Path, *by: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", AS_ON_A_TERMINAL, *by, sys.executable, "-P", "-m"]
    command += ["paretomark.bench", "run", str(folder / "s.toml")]
    return subprocess.Popen(
        [*command, "--out", str(folder / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def _await_visit(folder: Path) -> None:
    """Until a worker is at work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(folder.glob("paretomark-*/answer.json.stage")):
        time.sleep(0.05)


def _left(folder: Path) -> list[str]:
    """Processes and files of workers that still are there."""
    found = [str(path) for path in folder.glob("paretomark-*")]
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("temperature_c", -5, "ok"),
        ("temperature_c", "hot", "failed"),
        ("clock_mhz", -1, "failed"),
        ("first_s", float("nan"), "failed"),
        ("never_heard_of", 1, "failed"),
        ("warnings", [1], "failed"),
    ],
)
def test_whatever_is_measured_becomes_a_row(field: str, value: object, status: str) -> None:
    cell = Cell(Model("net", "net"), Recipe("fp32"), "fake:ok", 1, 1)
    measured = {"slices_ns": [[5] * 20], "slices_at_s": [1.0], "load_s": 1.0, "first_s": 1.0}
    visit = Visit("ok", measured={**measured, field: value})
    record = _work.as_record(cell, 0, _work.utc_now(), None, visit)
    assert record.status == status
    assert record.cell == cell.key
    assert (field in record.reason) == (status == "failed")
