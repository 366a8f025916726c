"""The pages in a real browser: they load, and nothing is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paretomark.reports import leaderboard, report
from paretomark.suites.records._summary import summarise
from paretomark.tests import _browser, _needs
from paretomark.tests._runs import realistic

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["page", "leaderboard"])
def test_a_page_opens_without_console_errors(tmp_path: Path, kind: str) -> None:
    browser = _needs.BROWSER.found()
    summary = summarise(realistic())
    if kind == "page":
        written = report.write(summary, tmp_path)
    else:
        written = leaderboard.write([summary], tmp_path)
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    shot = tmp_path / "shot.png"
    result = subprocess.run(
        [browser, *_browser.FLAGS, profile, f"--screenshot={shot}", written[0].as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert shot.stat().st_size > 10_000
    assert ":CONSOLE" not in result.stderr
