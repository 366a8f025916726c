"""What git knows of commits: which a revision names, and how they follow each other.

Order is that of the commit graph, never of dates, which rebasing and clocks change.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from paretomark.suites.spec._errors import UserError

SHORT = 10  # digits that a commit is shown by
DEADLINE_S = 60


def environment() -> dict[str, str]:
    """Return the variables for git, without those of a hook that we may run in: they name another
    index and checkout."""
    own = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
    return {name: value for name, value in os.environ.items() if name not in own}


def top(folder: Path = Path()) -> Path | None:
    """Return the top of the checkout that a folder lies in; None if it lies in none."""
    found = _git(folder, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


def current(folder: Path = Path(), without: Path | None = None) -> tuple[str, bool]:
    """Return the commit that is checked out, "" where there is none, and whether something is not
    committed, but for what lies in a folder `without`."""
    commit, place = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD"), top(folder)
    if not commit or place is None:
        return "", False
    left_out = []
    if without is not None and place in (absolute := without.absolute()).parents:
        left_out = [f":(exclude,literal){absolute.relative_to(place)}"]
    return commit, bool(_git(place, "status", "--porcelain", "--", ".", *left_out))


def resolve(revision: str, folder: Path = Path()) -> str:
    """Return the commit that a revision names, in full. Raises UserError if it names none."""
    if top(folder) is None:
        raise UserError(f"{revision}: neither a run nor a revision, for this is no git checkout")
    commit = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if not commit:
        raise UserError(f"{revision}: neither a run nor a revision that git knows here")
    return commit


def known(commits: Iterable[str], folder: Path = Path()) -> list[str]:
    """Return those of the commits that git knows here, parents before their children."""
    wanted = {commit for commit in commits if commit}
    if not wanted or top(folder) is None:
        return []
    told = _git(folder, "cat-file", "--batch-check", words="".join(f"{c}\n" for c in wanted)) or ""
    here = [line.split()[0] for line in told.splitlines() if line.split()[1:2] == ["commit"]]
    listed = _git(folder, "rev-list", "--topo-order", "--reverse", "--stdin", words="\n".join(here))
    return [commit for commit in (listed or "").split() if commit in wanted]


def between(good: str, bad: str, folder: Path = Path()) -> list[str]:
    """Return the commits after one up to another, parents first, that are on the way between.

    Raises UserError if the first is no ancestor of the second.
    """
    if _git(folder, "merge-base", "--is-ancestor", good, bad) is None:
        raise UserError(f"{good[:SHORT]} is no ancestor of {bad[:SHORT]}: name them in this order")
    order = "--topo-order", "--reverse", "--ancestry-path"
    return (_git(folder, "rev-list", *order, f"{good}..{bad}") or "").split()


def line(commits: Iterable[str], head: str, since: str = "", folder: Path = Path()) -> list[str]:
    """Return those of the commits that lead to a commit, itself too, parents first; with `since`
    only that one and those that follow it."""
    wanted = {commit for commit in commits if commit}
    order = "--topo-order", "--reverse"
    span = ("--ancestry-path", f"{since}..{head}") if since else (head,)
    listed = [since, *(_git(folder, "rev-list", *order, *span) or "").split()]
    return [commit for commit in listed if commit in wanted]


def after(a: str, b: str, folder: Path = Path()) -> list[str]:
    """Return the commits that led to b, but not to a, parents first."""
    return (_git(folder, "rev-list", "--topo-order", "--reverse", f"{a}..{b}") or "").split()


def halves(bad: str, good: Collection[str], folder: Path = Path()) -> list[str]:
    """Return the commits that led to a bad one, itself too, but to none of the good ones; first the
    one that cuts them in halves best, by git's own bisection."""
    told = _git(folder, "rev-list", "--bisect-all", bad, *(f"^{commit}" for commit in good)) or ""
    return [line.split()[0] for line in told.splitlines()]


@functools.lru_cache(maxsize=4096)
def subject(commit: str, folder: Path = Path()) -> str:
    """Return the first line of a commit's message; "" if it is not known here."""
    return _git(folder, "log", "-1", "--format=%s", commit, "--") or ""


def _git(folder: Path, *arguments: str, words: str = "") -> str | None:
    """What git prints; None if it fails, or there is none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            input=words,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=DEADLINE_S,
            env=environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
