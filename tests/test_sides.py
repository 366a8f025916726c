"""Revisions that are checked out, built, and timed in the same crews."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.tests._files import net_of_fake
from paretomark.tests.conftest import Called
from paretomark.tests.test_commits import git

SUITE = """
devices = ["fake:ok"]
blocks = 2
seconds = 0.02
max_samples = 60
foreign_load_cores = 99.0
[model.small]
net = "file:small/model.npz"
[model.large]
net = "file:large/model.npz"
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of three commits: two nets; a word in README; one net is larger. It is dirty."""
    folder = tmp_path / "repository"
    for name in ("small", "large"):
        (folder / name).mkdir(parents=True)
        net_of_fake(folder / name, width=64)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "bench.toml").write_text(SUITE)
    commit(folder, "two nets")
    (folder / "README.md").write_text("words")
    commit(folder, "words")
    net_of_fake(folder / "large", layers=6, width=1024)
    commit(folder, "a larger net")
    (folder / "bench.toml").write_text("not committed")
    git(folder, "stash", "list")
    monkeypatch.chdir(folder)
    return folder


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


def runs(folder: Path) -> tuple[_store.Run, _store.Run]:
    base, head = sorted((folder / "runs").iterdir())
    return _store.read(base), _store.read(head)


def test_what_changed_is_timed_in_the_same_crews_and_what_did_not_once(
    repository: Path, call: Callable[..., Called]
) -> None:
    told = call("compare", "--run", "main~1", "main", "--json")
    assert told.code == 1
    verdicts = {v["cell"].split("/")[0]: v for v in json.loads(told.out)["verdicts"]}
    assert verdicts["large"]["answer"] == "slower"
    assert verdicts["small"]["same_file"]
    assert json.loads(told.out)["side_by_side"]
    base, head = runs(repository)
    assert base.header.together == head.header.together != ""
    assert [base.header.commit, head.header.commit] == [
        git(repository, "rev-parse", revision) for revision in ("main~1", "main")
    ]
    times = [{r.cell: r.slices_at_s for r in run.records if r.block == 1} for run in (base, head)]
    for cell, at in times[0].items():
        other = times[1][cell]
        if cell.startswith("small"):
            assert at == other
        else:  # slices of one lie among those of the other
            assert at[0] < other[-1]
            assert other[0] < at[-1]


def test_the_checkout_is_left_as_it_was(
    repository: Path,
    call: Callable[..., Called],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    assert call("compare", "--run", "main~1", "main").code == 1
    shutil.rmtree(repository / "runs")
    assert before == (
        git(repository, "status", "--porcelain"),
        git(repository, "rev-parse", "HEAD"),
    )
    assert (repository / "bench.toml").read_text() == "not committed"
    assert git(repository, "worktree", "list").count("\n") == 0
    assert not [path for path in (tmp_path / "cache" / "trees").iterdir() if path.is_dir()]


def test_a_commit_that_changes_no_file_is_timed_once(
    repository: Path, call: Callable[..., Called]
) -> None:
    told = call("compare", "--run", "main~2", "main~1")
    assert told.code == 0
    assert "2 same, of them 2 the same file" in told.out
    assert "timed side by side" in told.out


def test_a_revision_that_cannot_be_built_is_named(
    repository: Path, call: Callable[..., Called]
) -> None:
    git(repository, "checkout", "--quiet", "--force", "main")
    (repository / "bench.toml").write_text(SUITE.replace("blocks", "blokcs"))
    commit(repository, "misspelled")
    told = call("compare", "--run", "main~1", "main")
    assert told.code == bench.USER_ERROR
    assert "main: suite 'bench': " in told.err
    assert "did you mean 'blocks'" in told.err
    assert git(repository, "worktree", "list").count("\n") == 0
    assert not (repository / "runs").exists()
    told = call("compare", "--run", "mian", "main")
    assert told.code == bench.USER_ERROR
    assert "neither a run nor a revision" in told.err
    told = call("compare", "--run", "main~3", "main~1", "--suite", "other.toml")
    assert told.code == bench.USER_ERROR
    assert "main~3: other.toml: cannot read the suite" in told.err


def test_a_cell_that_fails_on_one_side_is_proven_worse(
    repository: Path, call: Callable[..., Called]
) -> None:
    git(repository, "checkout", "--quiet", "--force", "main")
    with numpy.load(repository / "small" / "model.npz") as arrays:
        rest = {name: arrays[name] for name in arrays.files if name != "bias0"}
    numpy.savez(repository / "small" / "model.npz", **rest)
    commit(repository, "broken")
    told = call("compare", "--run", "main~1", "main", "--json")
    assert told.code == 1
    (found,) = json.loads(told.out)["outcome"]["worse"]
    assert (found["cell"], found["kind"]) == ("small/as-is/fake:ok/b1/t1", "fails")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--effort", "gate"), "--effort is for --run"),
        (("--setup", "true"), "--setup is for --run"),
        (("--model", "small"), "--model is for --run"),
    ],
)
def test_what_only_a_run_takes_is_refused_without(
    repository: Path, call: Callable[..., Called], arguments: tuple[str, ...], message: str
) -> None:
    told = call("compare", "main~1", "main", *arguments)
    assert (told.code, message in told.err) == (bench.USER_ERROR, True)


def test_outside_a_checkout_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = call("compare", "--run", "a", "b")
    assert told.code == bench.USER_ERROR
    assert "no git checkout" in told.err


@pytest.mark.slow
def test_other_packages_are_installed_in_an_environment_of_its_own(
    repository: Path,
    call: Callable[..., Called],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    git(repository, "checkout", "--quiet", "--force", "main")
    told = call("compare", "--run", "main~1", "main", "--setup", "false")
    assert told.code == bench.USER_ERROR
    for number in (1, 2):
        (repository / "requirements.txt").write_text(f"flatbuffers<{100 + number}\n")
        commit(repository, f"version {number}")
    count = f"printf x >> {tmp_path / 'count'}"
    told = call("compare", "--run", "main~1", "main", "--setup", f"{count} && false")
    assert told.code == bench.USER_ERROR
    assert "main~1: its environment cannot be made" in told.err
    assert (tmp_path / "count").read_text() == "x"
    for _ in range(2):  # they are made once, and kept
        told = call("compare", "--run", "main~1", "main")
        assert told.code == 0, told.err
        found = list((tmp_path / "cache" / "environments").glob("*/ready"))
        assert len(found) == 2
    assert "making its environment" not in told.err
