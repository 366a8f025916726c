"""Work trees of revisions, each with an interpreter that has what its revision needs.

A revision is checked out in a folder of the cache, and the user's own checkout is left alone. Where
the files that tell of packages are the same in all revisions, the present interpreter does for all;
else each gets an environment of its own, which is kept by a digest of these files.

All sides are measured by the paretomark that runs, unless the repository is paretomark's own: then
the code of each revision is what is compared.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from paretomark.devices.measure._process import Interpreter
from paretomark.models import _cache
from paretomark.suites.records import _commits
from paretomark.suites.spec._errors import UserError, last_line

Told = Callable[[str], None]
PACKAGE = "paretomark"
# What decides which packages a revision has; constraints are files that others name.
DEPENDENCIES = (
    *("pyproject.toml", "setup.py", "setup.cfg", "*.lock", "Pipfile.lock"),
    *("requirements*.txt", "constraints*.txt"),
)
READY = "ready"
GITLINK = "160000"  # the mode of a submodule, also of one that .gitmodules does not tell of
HOME = Path(__file__).parents[2]  # of the package that runs
DEADLINE_S = 1800
OF_THE_USER = ("PYTHONPATH", "PYTHONHOME")  # pip would take packages there for installed ones


class Unbuilt(UserError):
    """A revision that cannot be built, by its commit, and why."""

    def __init__(self, commit: str, why: str) -> None:
        super().__init__(why)
        self.commit = commit


@dataclass(frozen=True)
class Tree:
    """A revision, checked out, and what its children run in."""

    revision: str
    commit: str
    folder: Path
    interpreter: Interpreter


@contextlib.contextmanager
def opened(revisions: Sequence[str], setup: str = "", told: Told = print) -> Iterator[list[Tree]]:
    """Check revisions out, and give their trees; at last take them away again.

    `setup` is a command that installs what a revision needs, run in its tree by its environment's
    `python`. Raises UserError if a revision is none, and Unbuilt if its environment cannot be made.
    """
    top = _commits.top()
    if top is None:
        raise UserError("this is no git checkout, so there are no revisions to build and time")
    commits = [_commits.resolve(revision) for revision in revisions]
    with ExitStack() as stack:
        folders = [stack.enter_context(_tree(top, i, commit)) for i, commit in enumerate(commits)]
        needs = [_needs(folder) for folder in folders]
        shared = len(set(needs)) == 1 and not setup
        sides = []
        for revision, commit, folder in zip(revisions, commits, folders, strict=True):
            if any(
                line.startswith(GITLINK) for line in _git(folder, "ls-files", "-s").splitlines()
            ):
                told(f"{revision}: its submodules are not fetched")
            python = sys.executable
            try:
                if setup:  # which may install what is in the tree: it is of no other use
                    place = stack.enter_context(tempfile.TemporaryDirectory(prefix="paretomark-"))
                    python = _environment(Path(place) / "venv", folder, revision, setup, told)
                elif not shared:
                    key = _cache.key([_needs(folder), sys.version, *_base()])
                    kept = _cache.folder() / "environments" / key
                    python = _environment(kept, folder, revision, "", told)
            except UserError as error:
                raise Unbuilt(commit, str(error)) from None
            if large := _git(folder, "ls-files", "--", ":(attr:filter=lfs)").splitlines():
                told(f"{revision}: its files of Git LFS are not fetched ({len(large)})")
            package, version = HOME, metadata.version(PACKAGE)
            if _is_own(folder):
                package, version = folder, str(_project(folder).get("version", version))
            path = [stack.enter_context(_importable(folder, package, version))]
            # What is installed from this checkout, editable, is the tree's, not the user's.
            path += [place for rest in _editable(top) for place in _roots(folder / rest)]
            where = Interpreter(python, os.pathsep.join(map(str, path)))
            sides.append(Tree(revision, commit, folder, where))
        yield sides


@contextlib.contextmanager
def _tree(top: Path, number: int, commit: str) -> Iterator[Path]:
    """A work tree, at a place of its own for each side of a repository: so paths stay the same."""
    name = hashlib.sha256(str(top).encode()).hexdigest()[:12]
    folder = _cache.trees() / f"{name}-{number}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{top}: another process compares revisions of it; wait until it is done"
            ) from None
        _remove(top, folder)
        try:
            _git(top, "worktree", "add", "--quiet", "--detach", str(folder), commit)
            yield folder
        finally:
            _remove(top, folder)


def _remove(top: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(UserError):
        _git(top, "worktree", "prune")


def _git(top: Path, *words: str) -> str:
    """What git prints; nothing large is fetched, and no hook of the repository runs."""
    done = subprocess.run(
        ["git", "-C", str(top), "-c", "core.hooksPath=/dev/null", *words],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        env=_commits.environment() | {"GIT_LFS_SKIP_SMUDGE": "1"},
    )
    if done.returncode:
        raise UserError(f"git {words[0]} {words[1]}: {last_line(done.stderr)}")
    return done.stdout


@contextlib.contextmanager
def _importable(folder: Path, package: Path, version: str) -> Iterator[Path]:
    """A folder for PYTHONPATH in which a package goes by its name, and has its version."""
    place = folder.with_suffix(".path")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / PACKAGE).symlink_to(package)
    # It is not installed in an environment of a side's own, and children ask for its version.
    facts = place / f"{PACKAGE}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n")
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _editable(top: Path) -> list[Path]:
    """Where in a checkout the projects lie that are installed from it, so that its files are what
    is imported; below its top."""
    found = []
    for distribution in metadata.distributions():
        try:
            told = json.loads(distribution.read_text("direct_url.json") or "{}")
            editable = told.get("dir_info", {}).get("editable")
            place = Path(url2pathname(urlsplit(told.get("url", "")).path)).resolve()
        except (ValueError, AttributeError, OSError):
            continue
        if editable and place.is_relative_to(top.resolve()):
            found.append(place.relative_to(top.resolve()))
    return found


def _roots(project: Path) -> list[Path]:
    """Where the packages of a project are imported from: setuptools' two layouts."""
    return [place for place in (project / "src", project) if place.is_dir()]


def _project(folder: Path) -> dict[str, object]:
    try:
        table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    project = table.get("project", {})
    return project if isinstance(project, dict) else {}


def _is_own(folder: Path) -> bool:
    """Whether a tree is one of paretomark itself."""
    return _project(folder).get("name") == PACKAGE


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in DEPENDENCIES for path in folder.glob(pattern)})


def _needs(folder: Path) -> str:
    """A digest of what tells which packages a revision needs."""
    found = {path.name: _cache.sha256(path) for path in _files(folder) if path.is_file()}
    return json.dumps(found, sort_keys=True)


def _base() -> list[str]:
    """What our children need."""
    return [need for need in metadata.requires(PACKAGE) or [] if "extra ==" not in need]


def _environment(place: Path, folder: Path, revision: str, setup: str, told: Told) -> str:
    """The interpreter of an environment with what a revision needs, made if it is not there."""
    python = place / "bin" / "python"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another repository may need the same one
        if (place / READY).exists():
            return str(python)
        told(f"{revision}: making its environment, for its packages are others")
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(place)], folder, revision, {})
        for command in _commands(folder, revision, str(python), setup):
            _run(command, folder, revision, {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"})
        (place / READY).touch()
    return str(python)


def _commands(folder: Path, revision: str, python: str, setup: str) -> list[list[str]]:
    """What installs the packages of a revision, and what our children need."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if setup:
        return [["sh", "-c", setup], [*pip, *_base()]]
    constraints = [w for p in sorted(folder.glob("constraints*.txt")) for w in ("-c", str(p))]
    file = folder / "requirements.txt"
    wanted = ["-r", str(file)] if file.exists() else []
    listed = _project(folder).get("dependencies")
    if isinstance(listed, list):
        wanted += [need for need in listed if isinstance(need, str)]
    if not wanted:
        raise UserError(
            f"{revision}: its packages are others, and neither requirements.txt nor [project] "
            "dependencies tell which: say how to install them by --setup COMMAND"
        )
    return [[*pip, *constraints, *wanted, *_base()]]


def _run(command: Sequence[str], folder: Path, revision: str, more: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k not in OF_THE_USER} | more,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=DEADLINE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{revision}: its environment cannot be made: {error}") from None
    if done.returncode:
        why = last_line(done.stderr or done.stdout)
        raise UserError(
            f"{revision}: its environment cannot be made: {why}: say how by --setup COMMAND"
        )
