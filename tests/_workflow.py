"""Runs the steps of a CI workflow: those that call bash, with stubs for actions, pip, gh and us.

Of expressions it knows what the examples use: names, 'text', ==, != and &&. Whatever else stands in
a workflow is an error, so that nothing passes by not being understood.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Action = Callable[[Mapping[str, Any]], None]
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
STUB = """#!{python}
import json, os, pathlib, sys
name = pathlib.Path(sys.argv[0]).name
with open({log!r}, "a") as log:
    log.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
answer = json.loads(pathlib.Path({answers!r}).read_text())
for prefix, (code, out, files) in answer.items():
    if " ".join([name, *sys.argv[1:]]).startswith(prefix):
        print(out, end="")
        for option, file, text in files:
            place = pathlib.Path(sys.argv[sys.argv.index(option) + 1]) / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        sys.exit(code)
"""


@dataclass
class Machine:
    """A runner: a checkout, a folder for temporary files, and programs that only say they ran."""

    folder: Path
    checkout: Path
    # By how a call begins: the exit code, what it prints, and files (option, name, text), each in
    # the folder that the option names.
    answers: dict[str, tuple[int, str, Sequence[tuple[str, str, str]]]] = field(
        default_factory=dict
    )
    artifacts: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "temp").mkdir()
        text = STUB.format(
            python=sys.executable,
            log=str(self.folder / "calls"),
            answers=str(self.folder / "answers"),
        )
        for name in ("pip", "gh", "paretomark"):
            program = self.folder / "bin" / name
            program.write_text(text)
            program.chmod(0o755)

    @property
    def temp(self) -> Path:
        """What RUNNER_TEMP is."""
        return self.folder / "temp"

    def measure(self) -> None:
        """Let paretomark be the real one from now on."""
        program = self.folder / "bin" / "paretomark"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m paretomark.bench "$@"\n')

    def calls(self, *prefix: str) -> list[list[str]]:
        """How the stubs were called, those that began so."""
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call[: len(prefix)] == list(prefix)]

    def bash(self, script: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script as runners do."""
        (self.folder / "answers").write_text(json.dumps(self.answers))
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITHUB_", "CI"))}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.checkout,
            env={**own, "PATH": path, **env},
            capture_output=True,
            text=True,
        )


@dataclass
class Outcome:
    """What a job did: whether it succeeded, what was printed, and the summary it wrote."""

    succeeded: bool
    printed: str
    summary: str


def load(path: Path) -> dict[str, Any]:
    """Read a workflow, with `on` as the text that it is: YAML 1.1 takes it for true."""
    table = yaml.safe_load(path.read_text())
    if True in table:
        table["on"] = table.pop(True)
    return dict(table)


def run(
    machine: Machine, path: Path, job: str, contexts: Mapping[str, Any], env: Mapping[str, str]
) -> Outcome | None:
    """Run the job of a GitHub workflow, by its steps; None if its condition does not hold.

    `contexts` has what expressions name, as `github.event...`, `env` what GITHUB_ variables say.
    """
    workflow = load(path)
    table = workflow["jobs"][job]
    steps: dict[str, Any] = {}
    temp = str(machine.temp)
    known = {**contexts, "steps": steps, "runner": {"temp": temp}}
    if "if" in table and not _holds(table["if"], known):
        return None
    assert table["defaults"]["run"]["shell"] == "bash"  # which has pipefail
    shared = {k: _expanded(str(v), known) for k, v in workflow.get("env", {}).items()}
    output, summary = machine.folder / "output", machine.folder / "summary"
    summary.touch()
    printed, succeeded = "", True
    for step in table["steps"]:
        if not succeeded or ("if" in step and not _holds(step["if"], known)):
            continue
        own = {k: _expanded(str(v), known) for k, v in step.get("env", {}).items()}
        if "uses" in step:
            _use(machine, step["uses"], {k: _expanded(str(v), known)
                                         for k, v in step.get("with", {}).items()})  # fmt: skip
            continue
        assert not _EXPRESSION.search(step["run"]), "an expression in a script is run by bash"
        output.write_text("")
        places = {"RUNNER_TEMP": temp, "GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": summary}
        told = machine.bash(
            step["run"], shared | own | dict(env) | {k: str(v) for k, v in places.items()}
        )
        printed += told.stdout + told.stderr
        succeeded = told.returncode == 0
        if "id" in step:
            lines = (line.partition("=") for line in output.read_text().splitlines())
            steps[step["id"]] = {"outputs": {key: value for key, _, value in lines}}
    return Outcome(succeeded, printed, summary.read_text())


def run_gitlab(machine: Machine, path: Path, job: str, env: Mapping[str, str]) -> tuple[str, str]:
    """Run the job of a GitLab file: "success", "failed" or "warning", and what was printed."""
    table = load(path)
    mine = table[job]
    mine = {**table.get(mine.get("extends"), {}), **mine}
    lines = [*mine.get("before_script", ()), *mine["script"]]
    told = machine.bash("\n".join(lines), {**table["variables"], **env})
    if told.returncode == 0:
        return "success", told.stdout + told.stderr
    allowed = mine.get("allow_failure", {}).get("exit_codes")
    return "warning" if told.returncode == allowed else "failed", told.stdout + told.stderr


def _use(machine: Machine, action: str, given: Mapping[str, str]) -> None:
    name, _, version = action.partition("@")
    assert re.fullmatch(r"v\d+", version), f"{action} is not pinned to a major version"
    if name in ("actions/checkout", "actions/setup-python"):
        return
    source = Path(given["path"])
    assert source.is_dir(), f"{action}: there is no {source}"
    if name == "actions/upload-artifact":
        machine.artifacts[given["name"]] = source
    elif name == "actions/upload-pages-artifact":
        machine.artifacts["pages"] = source
    else:
        raise AssertionError(f"no stub for {action}")


def _expanded(text: str, contexts: Mapping[str, Any]) -> str:
    return _EXPRESSION.sub(lambda found: str(_value(found[1], contexts)), text)


def _holds(condition: str, contexts: Mapping[str, Any]) -> bool:
    found = True
    for part in condition.split("&&"):
        a, operator, b = re.split(r"\s(==|!=)\s", part.strip())
        same = _value(a, contexts) == _value(b, contexts)
        found = found and same == (operator == "==")
    return found


def _value(text: str, contexts: Mapping[str, Any]) -> str:
    text = text.strip()
    if text[:1] == text[-1:] == "'":
        return text[1:-1]
    assert _NAME.fullmatch(text), f"not understood: {text}"
    value: Any = contexts
    for name in text.split("."):
        value = value[name]
    return str(value)


def repository(folder: Path, files: Mapping[str, str]) -> Callable[..., str]:
    """A repository with one commit on main; what is returned calls git in it."""
    git_found = shutil.which("git")
    assert git_found
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")

    def git(*arguments: str | Path) -> str:
        told = subprocess.run(
            ["git", "-C", str(folder), *identity, *map(str, arguments)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return told.stdout.strip()

    folder.mkdir(parents=True)
    git("init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (folder / name).write_text(text)
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    return git
