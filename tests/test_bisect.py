"""The commit that changed a cell: found by building and measuring, past what does not build."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark import bench
from paretomark.suites.spec import _plugins
from paretomark.tests._files import net_of_fake
from paretomark.tests.conftest import Called
from paretomark.tests.test_commits import git
from paretomark.tests.test_sides import commit

SUITE = """
plugins = "mine"
devices = ["fake:ok"]
blocks = 2
seconds = 0.02
max_samples = 60
foreign_load_cores = 99.0
[model.net]
net = "file:net/model.npz"
[model.other]
net = "file:other/model.npz"
"""
# Of each revision there is one in its tree: those of one round are gone in the next.
DEVICE = """
from paretomark.devices import fake

FORMAT = "npz"
VARIANTS = ()


def device(variant):
    return fake.device("ok")
"""
CELL = "net/as-is/fake:ok/b1/t1"
# first, words, more words, a suite that is none, mended, larger, words, the suite loses the net
LARGER, GONE = 5, 7


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commits of a repository; the one before the larger net cannot be built."""
    folder, made = tmp_path / "repository", []
    for name in ("net", "other"):
        (folder / name).mkdir(parents=True)
        net_of_fake(folder / name, width=64)
    (folder / "mine" / "devices").mkdir(parents=True)
    (folder / "mine" / "devices" / "brought.py").write_text(DEVICE)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    monkeypatch.chdir(folder)

    def step(message: str, **files: str) -> None:
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text)
        commit(folder, message)
        made.append(git(folder, "rev-parse", "HEAD"))

    step("first", bench=SUITE)
    step("words", words="1")
    step("more words", words="2")
    step("misspelled", bench=SUITE.replace("blocks", "blokcs"))
    step("mended", bench=SUITE)
    net_of_fake(folder / "net", layers=6, width=1024)
    step("a larger net")
    step("even more words", words="3")
    step(
        "without it",
        bench=SUITE.partition("[model.net]")[0]
        + "[model.other]"
        + SUITE.partition("[model.other]")[2],
    )
    return made


def found(told: Called) -> dict[str, object]:
    table: dict[str, object] = json.loads(told.out)
    return table


def test_the_commit_is_found_past_one_that_does_not_build(
    commits: list[str], call: Callable[..., Called]
) -> None:
    told = call("bisect", CELL, commits[0], commits[6], "--effort", "quick", "--json")
    assert told.code == 0, told.err
    table = found(told)
    assert table["commits"] == [commits[LARGER]]
    assert table["kind"] == "latency"
    assert table["verdict"]["answer"] == "slower"  # type: ignore[index]
    tried = {t["commit"]: t["answer"] for t in table["tried"]}  # type: ignore[attr-defined]
    assert tried[commits[3]] == "skipped"
    assert tried[commits[4]] == "good"
    assert not list(Path("runs").glob("*/run.json"))  # no history takes these for runs of its own
    assert not list(Path("runs").glob("*/*/run.json"))
    assert git(Path(), "worktree", "list").count("\n") == 0
    assert "brought" not in _plugins.names("devices")


def test_it_is_told_in_words(commits: list[str], call: Callable[..., Called]) -> None:
    told = call("bisect", CELL, "main~6", "main~1", "--of", "size", "--effort", "quick")
    assert told.code == 0, told.err
    assert f"{commits[LARGER][:10]} (a larger net) did it" in told.out
    assert f"{CELL}: file " in told.out
    assert "what changed?" in told.err


def test_a_commit_that_takes_the_cell_away_is_found(
    commits: list[str], call: Callable[..., Called]
) -> None:
    told = call("bisect", CELL, commits[4], commits[7], "--effort", "quick", "--json")
    assert told.code == 0, told.err
    assert (found(told)["kind"], found(told)["commits"]) == ("fails", [commits[GONE]])
    assert "does not have it" in str(found(told)["why"])


def test_a_commit_that_breaks_the_build_is_found(
    commits: list[str], call: Callable[..., Called]
) -> None:
    told = call("bisect", CELL, commits[0], commits[3], "--effort", "quick", "--json")
    assert told.code == 0, told.err
    assert (found(told)["kind"], found(told)["commits"]) == ("fails", [commits[3]])
    assert "blokcs" in str(found(told)["why"])


def test_where_the_ones_before_cannot_be_built_all_are_named(
    commits: list[str], call: Callable[..., Called], tmp_path: Path
) -> None:
    """The larger net comes right behind the commit that cannot be built."""
    git(Path(), "checkout", "--quiet", "-b", "side", commits[3])
    git(Path(), "checkout", "--quiet", commits[6], "--", ".")
    commit(Path(), "mended and larger")
    told = call("bisect", CELL, commits[0], "side", "--effort", "quick", "--json")
    assert told.code == 3
    head = git(Path(), "rev-parse", "side")
    assert found(told)["commits"] == [commits[3], head]
    told = call("bisect", CELL, commits[0], "side", "--effort", "quick")
    assert "one of these 2 commits did it" in told.out
    assert "(misspelled): " in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([CELL, "main~7", "main~6"], 3, "the same file"),
        (["other/as-is/fake:ok/b1/t1", "main~7", "main~2"], 3, "the same file"),
        ([CELL, "main~2", "main~7"], bench.USER_ERROR, "name them in this order"),
        ([CELL, "mian", "main"], bench.USER_ERROR, "neither a run nor a revision"),
        (["net/as-is", "main~7", "main~2"], bench.USER_ERROR, "has no cell net/as-is"),
        ([CELL, "main~4", "main~2"], bench.USER_ERROR, "did you mean 'blocks'"),
        ([CELL, "main~7", "main", "--of", "latency"], bench.USER_ERROR, "does not have it"),
    ],
)
def test_where_there_is_nothing_to_find(
    commits: list[str],
    call: Callable[..., Called],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    told = call("bisect", *arguments, "--effort", "quick")
    assert told.code == code
    assert message in told.out + told.err
