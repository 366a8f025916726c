"""What git knows of commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paretomark.suites.records import _commits
from paretomark.suites.spec._errors import UserError


def git(folder: Path, *words: str, date: str = "2026-01-01T00:00:00Z") -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["git", "-C", str(folder), *named, *words],
        check=True,
        capture_output=True,
        text=True,
        env=dates,
    )
    return done.stdout.strip()


@pytest.fixture
def commits(tmp_path: Path) -> list[str]:
    """Three commits, each of an earlier date than its parent."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    made = []
    for day in (3, 2, 1):
        words = ("commit", "--quiet", "--allow-empty", "-m", f"day {day}\n\nbody")
        git(tmp_path, *words, date=f"2026-01-0{day}T00:00:00Z")
        made.append(git(tmp_path, "rev-parse", "HEAD"))
    return made


def test_commits_are_ordered_by_the_graph_not_by_date(tmp_path: Path, commits: list[str]) -> None:
    assert _commits.known(reversed(commits), tmp_path) == commits
    assert _commits.between(commits[0], commits[2], tmp_path) == commits[1:]
    assert _commits.subject(commits[0], tmp_path) == "day 3"


def test_commits_that_are_not_here_are_left_out(tmp_path: Path, commits: list[str]) -> None:
    assert _commits.known([commits[1], "12" * 20, "", "--all"], tmp_path) == [commits[1]]
    assert _commits.known(commits, tmp_path.parent) == []


@pytest.mark.parametrize("revision", ["nothing", "--all", "-h", "", "HEAD:file"])
def test_what_is_no_revision_is_refused(tmp_path: Path, commits: list[str], revision: str) -> None:
    assert _commits.resolve("main~1", tmp_path) == commits[1]
    with pytest.raises(UserError, match="neither a run nor a revision"):
        _commits.resolve(revision, tmp_path)
    with pytest.raises(UserError, match="no git checkout"):
        _commits.resolve("main", tmp_path.parent)


def test_the_order_of_good_and_bad_is_told(tmp_path: Path, commits: list[str]) -> None:
    with pytest.raises(UserError, match="no ancestor"):
        _commits.between(commits[2], commits[0], tmp_path)
