"""What tests share: a build cache of their own, a way to call the command line, real data."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from paretomark import bench
from paretomark.suites.spec import _plugins
from paretomark.tests import _needs

HERE = Path(__file__).parent
WHOLE_FILE_BUILDS = re.compile(r"^pytestmark = .*pytest\.mark\.build\b", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail where a test is skipped that tests/skips.toml does not list",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that build as a whole are not even imported by -m "not build": torch takes seconds."""
    if "not build" not in config.option.markexpr or not collection_path.name.startswith("test_"):
        return None
    return bool(WHOLE_FILE_BUILDS.search(collection_path.read_text())) or None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --strict-skips, fail a run that skips more than it may. Workers of xdist leave it to
    the process that hears of all tests, which alone has a terminal."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or not session.config.option.strict_skips:
        return
    allowed = tomllib.loads((HERE / "skips.toml").read_text())["allowed"]
    unexpected = [
        f"{report.nodeid}: {reason}"
        for report in terminal.stats.get("skipped", ())
        if (reason := report.longrepr[2])
        and not any(fnmatch(report.nodeid, a["test"]) and a["reason"] in reason for a in allowed)
    ]
    if unexpected:
        terminal.section("skipped, and not listed in tests/skips.toml", red=True)
        terminal.write_line("\n".join(unexpected))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    """Artifacts are built once and kept for the next run, never in the user's own cache."""
    folder = os.environ.get("PARETOMARK_TEST_CACHE") or Path.home() / ".cache" / "paretomark-tests"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETOMARK_CACHE", str(folder))
        yield


@pytest.fixture
def private_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty build cache, for tests that count, clear or damage what lies in it."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PARETOMARK_CACHE", str(folder))
    return folder


@dataclass(frozen=True)
class Called:
    """What a call of the command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """`call("run", path)`: the command line in this process, with what it printed."""

    def _call(*arguments: str | Path) -> Called:
        capsys.readouterr()
        code = bench.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return Called(code, out, err)

    return _call


@pytest.fixture
def plugins_kept() -> Iterator[None]:
    """What a test takes in of plug-ins is taken out again after it."""
    packages = [importlib.import_module(package) for package, _ in _plugins.KINDS.values()]
    paths = [list(package.__path__) for package in packages]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_plugins.VARIABLE, "")
        yield
    for package, path in zip(packages, paths, strict=True):
        own = {Path(p) for p in package.__path__} - {Path(p) for p in path}
        package.__path__[:] = path
        for name, module in list(sys.modules.items()):
            if own & set(Path(getattr(module, "__file__", None) or "/").parents):
                del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path, plugins_kept: None) -> Callable[[str, str], Path]:
    """`plugin("devices/toaster.py", text)`: a plug-in of one's own, taken in for this test."""

    def _plugin(name: str, text: str) -> Path:
        file = tmp_path / "my_plugins" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        _plugins.add(tmp_path / "my_plugins")
        return file

    return _plugin


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real pictures and trained weights."""
    return _needs.REAL_DATA.found()


def gone(pid: int) -> bool:
    """Tell whether a process ends within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
