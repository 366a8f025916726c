"""How long a history of many records takes, and how much memory: for the first time, and again.

    .venv/bin/python tests/benchmarks/history.py [--records 100000]

The runs are made up, of 34 cells with three visits each, of 7 slices of 25 calls; one cell steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.tests import _runs

CELLS, VISITS, SLICES, CALLS, EXAMPLES = 34, 3, 7, 25, 1000


def git(top: Path, *words: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(top), *named, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def made(folder: Path, commit: str, number: int, slower: bool) -> None:
    """Write a run of a commit."""
    rng, records = random.Random(number), []
    day = rng.gauss(1, 0.01)
    for cell in range(CELLS):
        same = random.Random(cell)
        outcomes = "".join("1" if same.random() < 0.9 else "0" for _ in range(EXAMPLES))
        changed = slower and cell == 0
        sha = f"{cell + 100 * changed:064x}"
        for block in range(VISITS):
            level = 300_000 * (1 + cell) * day * rng.gauss(1, 0.008) * (1.05 if changed else 1)
            slices = tuple(
                tuple(round(level * (1 + rng.expovariate(200))) for _ in range(CALLS))
                for _ in range(SLICES)
            )
            place = f"net{cell % 4}", f"recipe{cell // 4}", "onnxruntime:cpu"
            scored = {"outcomes": outcomes} if block == 0 else {}
            record = _runs.record(*place, block=block, sha256=sha, metric="accuracy", **scored)
            records.append(dataclasses.replace(record, slices_ns=slices))
    started = f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    run = _runs.run(records, run=folder.name, commit=commit, started=started)
    _store.create(folder, run.header)
    with (folder / _store.RECORDS).open("wb") as file:
        file.writelines(map(_store.line, run.records))


def main() -> None:
    """Make the runs, ask twice, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    count = -(-parser.parse_args().records // (CELLS * VISITS))
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch, "repository")
        top.mkdir()
        git(top, "init", "--quiet", "--initial-branch", "main")
        for number in range(count):
            git(top, "commit", "--quiet", "--allow-empty", "--message", f"number {number}")
            commit = git(top, "rev-parse", "HEAD")
            made(top / "runs" / f"{number:05d}", commit, number, number >= count // 2)
        size = sum(file.stat().st_size for file in top.rglob("*.jsonl"))
        print(
            f"{count * CELLS * VISITS:,} records in {count} runs, {size / 1e6:.0f} MB", flush=True
        )
        for when in ("for the first time", "again", "again, with the page"):
            words = [sys.executable, str(bench.__file__), "history"]
            words += ["--html", f"{scratch}/page.html"] if "page" in when else ["--json"]
            start = time.monotonic()
            child = subprocess.Popen(
                words,
                cwd=top,
                stdout=subprocess.PIPE,
                env=os.environ | {"PARETOMARK_CACHE": f"{scratch}/cache"},
            )
            assert child.stdout is not None
            told = child.stdout.read()
            _, status, used = os.wait4(child.pid, 0)
            wall_s = time.monotonic() - start
            assert status == 0, told
            print(
                f"{when}: {wall_s:.1f} s, at most {1024 * used.ru_maxrss / 1e6:.0f} MB, "
                f"{told.count(b'slower')} steps found",
                flush=True,
            )


if __name__ == "__main__":
    main()
