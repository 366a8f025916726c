"""The workflows of examples/ci: their steps are run, as GitHub and GitLab would run them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paretomark import bench
from paretomark.tests import _workflow
from paretomark.tests._files import net_of_fake
from paretomark.tests._workflow import Machine

CI = Path(__file__).parents[1] / "examples" / "ci"
GATE = CI / "github" / "benchmark.yml"
COMMENT = CI / "github" / "benchmark-comment.yml"
MAIN = CI / "github" / "benchmark-main.yml"
GITLAB = CI / "gitlab" / "gitlab-ci.yml"
COMPARE = "paretomark compare"
TEXT = "## Nothing is worse\n"
WRITES = ("contents", "pages", "pull-requests", "id-token")
SUITE = """
devices = ["fake:ok"]
blocks = 2
seconds = 0.02
max_samples = 60
foreign_load_cores = 99.0
[model.net]
net = "file:model.npz"
"""
BODY = "--out", "index.html", "page"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A runner with a clone of a repository, on a branch, and its origin beside it."""
    git = _workflow.repository(tmp_path / "origin", {"bench.toml": ""})
    git("config", "receive.denyCurrentBranch", "ignore")
    git("clone", "--quiet", tmp_path / "origin", tmp_path / "checkout")
    made = Machine(tmp_path / "runner", tmp_path / "checkout")
    yield made
    for call in made.calls("paretomark"):
        try:
            bench.parser_of(call[1:]).parse_args(call[1:])
        except SystemExit:
            pytest.fail(f"there is no such call: {' '.join(call)}")


def gate(machine: Machine, code: int) -> _workflow.Outcome:
    machine.answers = {COMPARE: (code, TEXT, [])}
    contexts = {"github": {"ref": "refs/pull/7/merge"}}
    found = _workflow.run(machine, GATE, "compare", contexts, {"GITHUB_BASE_REF": "main"})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("code", "succeeds", "told"),
    [
        (0, True, "nothing is worse"),
        (1, False, "::error::a change for the worse is proven"),
        (3, True, "::warning::not conclusive"),
        (2, False, "::error::the comparison could not run"),
    ],
)
def test_the_gate_fails_where_something_is_worse(
    machine: Machine, code: int, succeeds: bool, told: str
) -> None:
    outcome = gate(machine, code)
    assert outcome.succeeded == succeeds
    assert told in outcome.printed
    assert outcome.summary == TEXT
    assert ("compare" in machine.artifacts) == (code != 2)
    assert machine.calls("pip") == [["pip", "install", "paretomark[onnx]"]]
    (call,) = machine.calls("paretomark")
    assert call[2:5] == ["--run", "origin/main", "HEAD"]


@pytest.mark.slow
def test_the_gate_builds_and_times_both_sides(machine: Machine) -> None:
    """A pull request that makes a net larger."""
    for name, layers in (("origin", 2), ("checkout", 6)):
        folder = machine.checkout.parent / name
        (folder / "bench.toml").write_text(SUITE)
        net_of_fake(folder, layers=layers, width=1024)
        git = _git(folder)
        git("add", "--all")
        git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", name)
    git("fetch", "--quiet", "origin")
    machine.measure()
    contexts = {"github": {"ref": "refs/pull/7/merge"}}
    outcome = _workflow.run(machine, GATE, "compare", contexts, {"GITHUB_BASE_REF": "main"})
    assert outcome is not None
    assert not outcome.succeeded
    assert "a change for the worse is proven" in outcome.printed
    assert "net/as-is/fake:ok/b1/t1" in outcome.summary
    assert (machine.artifacts["compare"] / "compare.md").read_text() == outcome.summary


def comment(
    machine: Machine,
    event: str = "pull_request",
    newest: str = "abc",
    artifact: bool = True,
    before: str = "",
) -> _workflow.Outcome | None:
    download = [("--dir", "compare.md", TEXT)] if artifact else []
    machine.answers = {
        "gh run download": (int(not artifact), "", download),
        "gh pr view": (0, f"7 {newest}\n", []),
        "gh api --paginate": (0, before, []),
    }
    hostile = "x$(touch pwned)`touch pwned`"
    run = {
        "id": 99,
        "event": event,
        "head_branch": hostile,
        "head_sha": "abc",
        "head_repository": {"owner": {"login": "mallory"}},
    }
    github = {"token": "t", "repository": "o/r", "event": {"workflow_run": run}}
    return _workflow.run(machine, COMMENT, "comment", {"github": github}, {})


def test_the_comment_says_what_the_gate_found(machine: Machine) -> None:
    outcome = comment(machine)
    assert outcome is not None
    assert outcome.succeeded, outcome.printed
    assert machine.calls("gh", "pr", "view")[0][3] == "mallory:x$(touch pwned)`touch pwned`"
    (call,) = machine.calls("gh", "pr", "comment")
    assert call[3] == "7"
    assert Path(call[call.index("--body-file") + 1]).read_text() == f"<!-- paretomark -->\n{TEXT}"
    assert not (machine.checkout / "pwned").exists()


def test_the_comment_of_an_older_push_is_changed(machine: Machine) -> None:
    outcome = comment(machine, before="41\n42\n")
    assert outcome is not None
    assert outcome.succeeded, outcome.printed
    (call,) = machine.calls("gh", "api", "--silent")
    assert "repos/o/r/issues/comments/41" in call
    assert Path(call[-1].removeprefix("body=@")).read_text().endswith(TEXT)
    assert machine.calls("gh", "pr", "comment") == []


@pytest.mark.parametrize("changes", [{"newest": "def"}, {"artifact": False}])
def test_no_comment_where_there_is_nothing_to_tell(
    machine: Machine, changes: dict[str, Any]
) -> None:
    outcome = comment(machine, **changes)
    assert outcome is not None
    assert outcome.succeeded
    assert machine.calls("gh", "pr", "comment") == []


def test_only_pull_requests_are_commented(machine: Machine) -> None:
    assert comment(machine, event="push") is None


def test_an_artifact_that_is_a_link_is_not_followed(machine: Machine) -> None:
    (machine.temp / "compare").mkdir()
    (machine.temp / "compare" / "compare.md").symlink_to("/etc/hostname")
    machine.answers = {}
    run = {"id": 1, "event": "pull_request", "head_branch": "b", "head_sha": "abc",
           "head_repository": {"owner": {"login": "mallory"}}}  # fmt: skip
    github = {"token": "t", "repository": "o/r", "event": {"workflow_run": run}}
    outcome = _workflow.run(machine, COMMENT, "comment", {"github": github}, {})
    assert outcome is not None
    assert not outcome.succeeded
    assert machine.calls("gh", "pr", "comment") == []


def push(machine: Machine, sha: str, code: int = 0) -> _workflow.Outcome:
    machine.answers = {
        "paretomark run": (code, "", [("--out", "run.json", "{}")]),
        "paretomark leaderboard": (0, "", [BODY]),
        "paretomark history": (0, "nothing changed\n", []),
    }
    env = {"GITHUB_SHA": sha, "GITHUB_RUN_ID": "5"}
    found = _workflow.run(machine, MAIN, "measure", {}, env)
    assert found is not None
    return found


def test_every_push_adds_a_run_to_the_branch_with_the_runs(
    machine: Machine, tmp_path: Path
) -> None:
    origin = tmp_path / "origin"
    git = _git(origin)
    main = git("rev-parse", "main")
    for count, sha in enumerate(("aaa", "bbb"), start=1):
        outcome = push(machine, sha, code=count - 1)  # some cells of the second fail
        assert outcome.succeeded, outcome.printed
        files = git("ls-tree", "-r", "--name-only", "benchmark-runs").split()
        assert files == [f"{s}-5/run.json" for s in ("aaa", "bbb")[:count]]
        assert _git(machine.checkout)("status", "--porcelain") == ""  # else the run is dirty
        (history,) = machine.calls("paretomark", "history")[count - 1 :]
        assert history[2:] == [
            *("--runs", str(machine.temp / "runs")),
            *("--html", str(machine.temp / "site" / "history.html")),
        ]
        assert "nothing changed" in outcome.summary
        (leaderboard,) = machine.calls("paretomark", "leaderboard")[count - 1 :]
        assert len([a for a in leaderboard if a.rstrip("/").endswith("-5")]) == count
        assert {p.name for p in machine.artifacts["pages"].iterdir()} == {"index.html"}
        shutil.rmtree(tmp_path / "checkout")
        shutil.rmtree(machine.temp)
        machine.temp.mkdir()
        git("clone", "--quiet", origin, tmp_path / "checkout")
    assert git("rev-parse", "main") == main


def test_a_run_that_could_not_start_is_not_kept(machine: Machine, tmp_path: Path) -> None:
    assert not push(machine, "aaa", code=2).succeeded
    assert _git(tmp_path / "origin")("branch", "--list", "benchmark-runs") == ""
    assert machine.artifacts == {}


@pytest.mark.parametrize(
    ("code", "state"), [(0, "success"), (1, "failed"), (2, "failed"), (3, "warning")]
)
def test_the_gate_of_gitlab(machine: Machine, code: int, state: str) -> None:
    machine.answers = {COMPARE: (code, TEXT, [])}
    env = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    found, printed = _workflow.run_gitlab(machine, GITLAB, "compare", env)
    assert found == state
    assert TEXT in printed
    assert (machine.checkout / "compare.md").read_text() == TEXT


def test_the_main_branch_of_gitlab(machine: Machine) -> None:
    machine.answers = {
        "paretomark run": (1, "", [("--out", "run.json", "{}")]),
        "paretomark leaderboard": (0, "", [BODY]),
        "paretomark history": (0, "nothing changed\n", []),
    }
    env = {"CI_COMMIT_SHA": "aaa", "CI_JOB_ID": "5"}
    found, printed = _workflow.run_gitlab(machine, GITLAB, "main", env)
    assert found == "success", printed
    assert machine.calls("paretomark", "leaderboard")[0][2] == "runs/aaa-5/"
    assert machine.calls("paretomark", "history")[0][2:] == ["--html", "public/history.html"]
    assert (machine.checkout / "public" / "index.html").exists()
    assert _git(machine.checkout)("status", "--porcelain") == ""
    assert _workflow.run_gitlab(machine, GITLAB, "pages", {})[0] == "success"


def test_what_runs_code_of_strangers_has_no_rights() -> None:
    """Nothing runs on pull_request_target, and what may write checks no stranger's code out."""
    for path in (GATE, COMMENT, MAIN):
        workflow = _workflow.load(path)
        assert "permissions" in workflow
        assert "concurrency" in workflow
        assert "pull_request_target" not in workflow["on"]
        for job in workflow["jobs"].values():
            rights = workflow["permissions"] | job.get("permissions", {})
            writes = [name for name in rights if rights[name] == "write"]
            assert set(writes) <= set(WRITES)
            uses = [step.get("uses", "") for step in job["steps"]]
            checks_out = any(name.startswith("actions/checkout") for name in uses)
            assert "timeout-minutes" in job
            if checks_out and writes:
                assert set(workflow["on"]) == {"push"}
            if "pull_request" in workflow["on"]:
                assert "secrets." not in path.read_text()


def _git(folder: Path) -> Callable[..., str]:
    import subprocess

    def git(*arguments: str | Path) -> str:
        words = ["git", "-C", str(folder), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    return git
