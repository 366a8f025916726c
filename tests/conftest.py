"""What tests share: a build cache of their own, a way to call the command line, real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from paretomark import bench

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Artifacts are built once per session, and never taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETOMARK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real pictures and trained weights; the test is skipped where it is not."""
    folder = Path(os.environ.get("PARETOMARK_DATA") or HERE.parent.parent / "shared" / "data")
    if not (folder / "weights").is_dir():
        pytest.skip("no real data: set PARETOMARK_DATA to the folder that has it")
    return folder.absolute()
