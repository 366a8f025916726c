"""Whether history, compare and bisect find what a repository's commits did, and nothing else.

    .venv/bin/python tests/benchmarks/across.py [--repetitions 10] [--bisections 3] [--keep DIR]
    .venv/bin/python tests/benchmarks/across.py --again DIR      judges runs that were kept again

It makes a repository of twelve commits with nets of its own (PyTorch code, weights, a device):

    a block more     the code of one net takes 4 % longer
    worse weights    the classifier of the same net is damaged
    broken           its code has a syntax error, so there is no run; the next commit mends it
    recipe           `small` becomes int8, which was fp16
    runtime          the device that it brings goes from 1.0 to 1.1, and does a tenth of work more
    words            of no consequence, five times

Each repetition measures every commit anew, as CI of the main branch would, and asks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from paretomark import bench
from paretomark.reports._history_changes import ALL

NET = '''"""Nets of residual blocks, on digits."""

from pathlib import Path

import torch
from torch import nn

CHANNELS = 48
BLOCKS = 25


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x):
        return x + torch.relu(self.conv(x))


class Net(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.blocks = nn.Sequential(*(Block() for _ in range(blocks)))
        for number, block in enumerate(self.blocks):
            torch.manual_seed(number)
            nn.init.normal_(block.conv.weight, std=3e-4)
            nn.init.zeros_(block.conv.bias)
        self.head = nn.Linear(CHANNELS * 16, 10)

    def features(self, x):
        x = self.blocks(torch.relu(self.stem(x)))
        return torch.nn.functional.avg_pool2d(x, 2).flatten(1)

    def forward(self, x):
        return self.head(self.features(x))


def made(blocks, weights):
    net = Net(blocks)
    net.head.load_state_dict(torch.load(Path(__file__).with_name(weights)))
    return net.eval()


def main():
    return made(BLOCKS, "head.pt")
'''
OTHERS = '''"""Two nets that no commit changes."""

from blocks import made


def second():
    return made(14, "others.pt")


def third():
    return made(18, "others.pt")
'''
BLOCKS = NET.partition("\n\ndef main")[0].replace("BLOCKS = 25\n", "") + "\n"
DEVICE = '''"""ONNX Runtime, with work of its own behind each call."""

import numpy

from paretomark.devices import onnxruntime
from paretomark.devices._device import Chip

FORMAT = "onnx"
VARIANTS = ()
VERSION = "1.0"
ROUNDS = {"1.0": 0, "1.1": 4}[VERSION]
PRECISIONS = {"": ("fp32", "fp16", "int8")}


class Brought:
    def __init__(self):
        self._inner = onnxruntime.device("cpu")
        self._a = numpy.ones((64, 64), numpy.float32)

    def probe(self):
        return Chip(self._inner.probe().name, {"brought": VERSION})

    def load(self, model, threads):
        return self._inner.load(model, threads)

    def run(self, inputs):
        outputs = self._inner.run(inputs)
        for _ in range(ROUNDS):
            self._a @ self._a
        return outputs


def device(variant):
    return Brought()
'''
SUITE = """
plugins = "plugins"
devices = ["onnxruntime:cpu", "brought"]
data = "digits"
examples = 450
blocks = 3
seconds = 0.12

[model.main]
net = "python:net.py:main"
data = "digits"
preprocess = { size = [8, 8], mean = [0.0], std = [255.0] }
[model.second]
net = "python:others.py:second"
data = "digits"
preprocess = { size = [8, 8], mean = [0.0], std = [255.0] }
[model.third]
net = "python:others.py:third"
data = "digits"
preprocess = { size = [8, 8], mean = [0.0], std = [255.0] }

[recipe.plain]
[recipe.small]
precision = "fp16"
"""
PLACES = ("onnxruntime:cpu", "brought")
MODELS, RECIPES = ("main", "second", "third"), ("plain", "small")
CELLS = [f"{m}/{r}/{d}/b1/t1" for m in MODELS for r in RECIPES for d in PLACES]
BROKEN = 6
# What was done, the cells that it may change, and what has to be found in one of them at least.
DONE = {
    2: ("a block more", [c for c in CELLS if c.startswith("main/")], {"latency"}),
    4: ("worse weights", [c for c in CELLS if c.startswith("main/")], {"accuracy"}),
    BROKEN: ("broken", [], set()),
    8: ("recipe", [c for c in CELLS if "/small/" in c], {"file size"}),
    10: ("runtime", [c for c in CELLS if "/brought/" in c], {"latency"}),
}
SIDES = (*DONE, 9)
BISECTED = (
    (2, CELLS[0], "latency", 0, 11),
    (4, CELLS[0], "accuracy", 0, 11),
    (6, CELLS[0], "fails", 0, 6),
    (8, "second/small/onnxruntime:cpu/b1/t1", "size", 0, 11),
    (10, "second/plain/brought/b1/t1", "latency", 0, 11),
)


def git(top: Path, *words: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    date = "2026-01-01T00:00:00Z"
    done = subprocess.run(
        ["git", "-C", str(top), *named, *words],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )
    return done.stdout.strip()


def heads(top: Path) -> None:
    """Fit the classifiers, by least squares on the features of nets that are not trained."""
    words = f"""
import sys; sys.path.insert(0, {str(top)!r})
import numpy, torch
import net, blocks
from sklearn.datasets import load_digits
x, y = load_digits(return_X_y=True)
x = torch.tensor(numpy.round(x * 255 / 16) / 255, dtype=torch.float32).reshape(-1, 1, 8, 8)
for count, name in ((net.BLOCKS, "head.pt"), (14, "others.pt")):
    made = net.Net(count)
    with torch.no_grad():
        f = made.features(x).double()
        f1 = torch.cat([f, torch.ones(len(f), 1)], 1)
        eye = torch.eye(10).double()[y]
        ridge = 0.1 * torch.eye(f1.shape[1]).double()
        solved = torch.linalg.solve(f1.T @ f1 + ridge, f1.T @ eye).float()
        made.head.weight.copy_(solved[:-1].T); made.head.bias.copy_(solved[-1])
    torch.save(made.head.state_dict(), {str(top)!r} + "/" + name)
"""
    subprocess.run([sys.executable, "-c", words], check=True)


def damage(top: Path) -> None:
    """Let the classifier take fewer pictures for an 8 than it should."""
    words = f"""
import torch
path = {str(top / "head.pt")!r}
state = torch.load(path)
state["bias"][8] -= 0.7
torch.save(state, path)
"""
    subprocess.run([sys.executable, "-c", words], check=True)


def repository(top: Path) -> list[str]:
    """Make it, and return its commits."""
    (top / "plugins" / "devices").mkdir(parents=True)
    git(top, "init", "--quiet", "--initial-branch", "main")
    files = {"net.py": NET, "blocks.py": BLOCKS, "others.py": OTHERS, "bench.toml": SUITE}
    files |= {"plugins/devices/brought.py": DEVICE, ".gitignore": "runs*/\n__pycache__/\n"}
    for name, text in files.items():
        (top / name).write_text(text)
    heads(top)
    commits = []

    def commit(message: str) -> None:
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "--message", message)
        commits.append(git(top, "rev-parse", "HEAD"))

    def words(number: int) -> None:
        (top / "README.md").write_text(f"Words, number {number}.\n")
        commit(f"words {number}")

    def edit(name: str, old: str, new: str, message: str) -> None:
        text = (top / name).read_text()
        assert old in text
        (top / name).write_text(text.replace(old, new))
        commit(message)

    commit("nets, a device, a suite")
    words(1)
    edit("net.py", "BLOCKS = 25", "BLOCKS = 26", "a block more")
    words(3)
    damage(top)
    commit("worse weights")
    words(5)
    edit("net.py", "def main():", "def main(:", "broken")
    edit("net.py", "def main(:", "def main():", "mended")
    edit("bench.toml", 'precision = "fp16"', 'precision = "int8"', "recipe")
    words(9)
    edit("plugins/devices/brought.py", 'VERSION = "1.0"', 'VERSION = "1.1"', "runtime")
    words(11)
    return commits


def call(top: Path, *words: str, error: str = "") -> str:
    """Run a command of bench.py in a checkout, and return what it prints; or it has to end with
    this error."""
    command = [*LOCK, sys.executable, str(bench.__file__), *words]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    if (done.returncode == bench.USER_ERROR) != bool(error) or error not in done.stderr:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}: {done.stderr}")
    return done.stdout


LOCK: list[str] = []


def measured(top: Path, commits: list[str], runs: Path) -> None:
    """A run of every commit, in its order."""
    for i, commit in enumerate(commits):
        git(top, "checkout", "--quiet", "--detach", commit)
        error = "is not valid Python" if i == BROKEN else ""
        call(top, "run", "bench.toml", "--out", str(runs / f"{i:02d}"), error=error)
    git(top, "checkout", "--quiet", "main")


def by_history(top: Path, commits: list[str], runs: Path) -> Iterator[tuple[int, str]]:
    """What history gets wrong: the number of the commit, and what."""
    told = json.loads(call(top, "history", "--runs", str(runs), "--json"))
    found: dict[int, list[Mapping[str, Any]]] = {}
    for interval in told["intervals"]:
        if interval["changes"]:
            named = interval["commits"]
            number = commits.index(named[0]) if len(named) == 1 else -1
            found.setdefault(number, []).extend(interval["changes"])
    for number, (_, _, kinds) in DONE.items():
        if not kinds <= {change["kind"] for change in found.get(number, [])}:
            yield number, "not found"
    versions = [
        i for i in told["intervals"] if any("1.0 → 1.1" in v["told"] for v in i["versions"])
    ]
    if [i["commits"] for i in versions] != [[commits[10]]]:
        yield 10, "version not marked"
    for number, changes in found.items():
        cells = DONE[number][1] if number in DONE else []
        for change in changes:
            if change["cell"] == ALL:  # the machine's, and told as such
                print(f"  history: commit {number}: {ALL}: {change['kind']}", flush=True)
            elif change["cell"] not in cells:
                yield number, f"false: {change['kind']} of {change['cell']}"


def by_compare(top: Path, commits: list[str], runs: Path) -> Iterator[tuple[int, str]]:
    """What compare gets wrong of each commit and the one before: the runs are of other minutes."""
    call(top, "compare", commits[5], commits[BROKEN], "--runs", str(runs), error="no run of commit")
    measured = [number for number in range(len(commits)) if number != BROKEN]
    for before, number in pairwise(measured):
        pair = commits[before], commits[number]
        told = json.loads(call(top, "compare", *pair, "--runs", str(runs), "--json"))
        yield from _wrong(number, told)


def _wrong(number: int, told: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """What a comparison of a commit and the one before gets wrong."""
    _, cells, kinds = DONE.get(number, ("", [], set()))
    seen: set[str] = set()
    for v in told["verdicts"]:
        of_cell = set()
        if v["answer"] in ("slower", "faster"):
            of_cell.add("latency")
        if v["accuracy_answer"]:
            of_cell.add("accuracy")
        if v["state"] in ("failing", "mended"):
            of_cell.add("state")
        if of_cell and v["cell"] not in cells:
            yield number, f"false: {', '.join(sorted(of_cell))} of {v['cell']}"
        seen |= of_cell
    seen |= {c["kind"] for c in told["beside_time"] if c["answer"]}
    if told["common"]["answer"]:
        yield number, "false: all cells"
    if not kinds <= seen:
        yield number, "not found"


def by_sides(top: Path, commits: list[str], runs: Path) -> Iterator[tuple[int, str]]:
    """What compare --run gets wrong of each commit and its parent: of one without consequence, and
    of all that changed something."""
    for number in SIDES:
        pair = commits[number - 1], commits[number]
        words = ["compare", "--run", *pair, "--runs", f"{runs}-sides", "--json"]
        error = "is not valid Python" if number == BROKEN else ""
        out = call(top, *words, error=error)
        if not error:
            yield from _wrong(number, json.loads(out))


def by_bisect(top: Path, commits: list[str], runs: Path) -> Iterator[tuple[int, str]]:
    """What bisect gets wrong."""
    for number, cell, kind, good, bad in BISECTED:
        words = [cell, commits[good], commits[bad], "--of", kind, "--runs", str(runs)]
        start = time.monotonic()
        told = json.loads(call(top, "bisect", *words, "--effort", "quick", "--json"))
        named = [commits.index(commit) for commit in told.get("commits", [])]
        print(f"  bisect {kind}: {named}, {time.monotonic() - start:.0f} s", flush=True)
        if named != [number]:
            yield number, f"bisect: {named} {told.get('error', '')}"


def main() -> None:
    """Repeat it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument(
        "--bisections", type=int, default=10, help="of them also with compare --run, and bisect"
    )
    parser.add_argument("--lock", default="", help="file that is locked while something is timed")
    parser.add_argument("--keep", type=Path, help="folder for the repository and its runs")
    parser.add_argument("--again", type=Path, help="such a folder: judge its runs again")
    arguments = parser.parse_args()
    if arguments.lock:
        LOCK[:] = ["flock", arguments.lock]
    checks = {"history": by_history, "compare": by_compare, "compare --run": by_sides}
    checks["bisect"] = by_bisect
    long = "compare --run", "bisect"
    times, wrong = Counter[str](), {name: Counter[int]() for name in checks}
    with tempfile.TemporaryDirectory() as scratch:
        place = arguments.again or arguments.keep or Path(scratch)
        top = place / "repository"
        if arguments.again:
            commits = git(top, "rev-list", "--reverse", "main").split()
        else:
            shutil.rmtree(top, ignore_errors=True)
            commits = repository(top)
        for repetition in range(arguments.repetitions):
            runs, start = place / f"runs{repetition}", time.monotonic()
            if arguments.again and not (runs / "11" / "report").exists():
                continue  # it was stopped before
            if not arguments.again:
                measured(top, commits, runs)
                print(f"repetition {repetition}: {time.monotonic() - start:.0f} s", flush=True)
            for name, check in checks.items():
                if name in long and times[name] >= arguments.bisections:
                    continue
                times[name] += 1
                start = time.monotonic()
                found = list(check(top, commits, runs))
                print(f"  {name}: {time.monotonic() - start:.0f} s", flush=True)
                for number, what in found:
                    print(f"  {name}: commit {number}: {what}", flush=True)
                wrong[name].update({number for number, _ in found})
            _table(len(commits), wrong, times)


def _table(count: int, wrong: Mapping[str, Counter[int]], times: Counter[str]) -> None:
    """Print how often each commit was told right so far."""
    print("\n| commit | " + " | ".join(f"{name}, right of {times[name]}" for name in wrong) + " |")
    print("|---|" + "---|" * len(wrong))
    asked = {"compare --run": {*SIDES}, "bisect": {number for number, *_ in BISECTED}}
    for number in range(1, count):
        what = DONE[number][0] if number in DONE else "words"
        cells = [
            "–"
            if number not in asked.get(name, {number})
            else str(times[name] - wrong[name][number])
            for name in wrong
        ]
        print(f"| {number} {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
