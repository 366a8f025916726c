"""Work trees of revisions: the user's checkout is left alone, and no side gets another's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from paretomark.devices.measure import _trees
from paretomark.tests.test_commits import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of one module; a file is staged. The cache is its own, and nothing is fetched."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for side in ("base", "head"):
        (folder / "mine.py").write_text(f"NAME = '{side}'\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", side)
    (folder / "staged.txt").write_text("staged")
    git(folder, "add", "staged.txt")
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(metadata, "requires", lambda name: ["pip"])
    monkeypatch.chdir(folder)
    return folder


def test_from_a_hook_of_git_the_index_stays_as_it_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = repository / ".git/index"
    monkeypatch.setenv("GIT_INDEX_FILE", str(index))
    with _trees.opened(["main~1", "main"]) as trees:
        assert "base" in (trees[0].folder / "mine.py").read_text()
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(repository, "status", "--porcelain") == "A  staged.txt"


def test_hooks_of_the_repository_do_not_run(repository: Path) -> None:
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repository}/hooked\n")
    hook.chmod(0o755)
    with _trees.opened(["main"]):
        pass
    assert not (repository / "hooked").exists()


def test_what_is_installed_from_the_checkout_is_that_of_each_revision(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable install stands for the user's files: both sides would run the same code."""
    (repository / "src").mkdir()
    for side in ("base", "head"):
        (repository / "src" / "deep.py").write_text(f"NAME = '{side}'\n")
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "-m", f"deep {side}")
    (repository / "src" / "deep.py").write_text("NAME = 'not committed'\n")
    facts = tmp_path / "site" / "mine-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    direct = {"url": repository.as_uri(), "dir_info": {"editable": True}}
    (facts / "direct_url.json").write_text(json.dumps(direct))
    monkeypatch.syspath_prepend(tmp_path / "site")
    told = []
    with _trees.opened(["main~1", "main"]) as trees:
        for tree in trees:
            command = [tree.interpreter.python, "-P", "-c"]
            words = "import deep, mine; print(deep.NAME, mine.NAME)"
            environment = tree.interpreter.environment()
            told.append(subprocess.check_output([*command, words], env=environment, text=True))
    assert told == ["base head\n", "head head\n"]


def test_files_that_are_not_fetched_are_told(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.onnx filter=lfs\n")
    (repository / "big.onnx").write_text("pointer")
    git(repository, "add", "--all")
    link = f"160000,{git(repository, 'rev-parse', 'main')},other"  # of no .gitmodules
    git(repository, "update-index", "--add", "--cacheinfo", link)
    git(repository, "commit", "--quiet", "-m", "more")
    told: list[str] = []
    with _trees.opened(["main"], told=told.append):
        pass
    assert told == [
        "main: its submodules are not fetched",
        "main: its files of Git LFS are not fetched (1)",
    ]


def test_what_installs_packages_does_not_see_those_of_pythonpath(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repository))
    with _trees.opened(["main"], "! python -P -c 'import mine'", told=lambda line: None):
        pass


def test_a_setup_that_installs_code_does_so_for_each_side(repository: Path) -> None:
    setup = "cp mine.py $(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')"
    with _trees.opened(["main~1", "main"], setup) as trees:
        command = ["-c", "import mine; print(mine.NAME)"]
        told = [
            subprocess.check_output([t.interpreter.python, *command], cwd=os.sep, text=True)
            for t in trees
        ]
    assert told == ["base\n", "head\n"]


def test_an_environment_of_its_own_knows_the_version_of_what_measures(repository: Path) -> None:
    version = metadata.version("paretomark")
    with _trees.opened(["main"], "true", told=lambda line: None) as (tree,):
        side = tree.interpreter
        assert side.python != sys.executable
        command = "from importlib import metadata; print(metadata.version('paretomark'))"
        told = subprocess.check_output(
            [side.python, "-P", "-c", command], env={"PYTHONPATH": side.path}, text=True
        )
    assert told.strip() == version
