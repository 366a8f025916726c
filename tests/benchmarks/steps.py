"""What finding steps in histories is worth: false alarms, and changes found, on simulated runs.

    .venv/bin/python tests/benchmarks/steps.py [--reports 100] [--otava PYTHON]

Each report has 24 cells in 30 runs: every run has a day that all cells share (1 %), each cell lies
off by itself (0.7 %) and by what three visits leave (0.4 %); one run in a hundred of a cell is slow
by a tenth. In half of the reports one cell steps. The control is Apache Otava, of an environment
that it has for itself (pip install apache-otava), given the same latencies.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretomark.suites.records import _changepoints, _sessions
from paretomark.suites.records._changepoints import Series
from paretomark.suites.records._levels import Level

CELLS, RUNS = 24, 30
TOGETHER, OWN, VISITS = 0.010, 0.007, 0.004
SLOW, SLOW_SHARE = 0.1, 0.01
OTAVA = """
import json, sys
from otava.analysis import compute_change_points
reports = json.load(sys.stdin)
print(json.dumps([
    [[int(c.index) for c in compute_change_points(one, min_magnitude=0.01)[0]] for one in cells]
    for cells in reports
]))
"""


@dataclass(frozen=True)
class Report:
    """Logarithms of latencies, of each cell in each run; the step of cell 0, and where it is; and
    whether its file is known to be another there."""

    logs: Sequence[Sequence[float]]
    step: float
    at: int
    told: bool


def report(rng: random.Random, step: float, at: int, told: bool) -> Report:
    days = [rng.gauss(0, TOGETHER) for _ in range(RUNS)]
    logs = [
        [
            days[i]
            + rng.gauss(0, math.hypot(OWN, VISITS))
            + (step if cell == 0 and i >= at else 0.0)
            + (SLOW if rng.random() < SLOW_SHARE else 0.0)
            for i in range(RUNS)
        ]
        for cell in range(CELLS)
    ]
    return Report(logs, step, at, told)


def ours(case: Report) -> list[list[int]]:
    """The steps that a history finds, of each cell."""

    def thing(cell: int, run: int) -> str:
        return f"{cell} {'other' if case.told and cell == 0 and run >= case.at else 'same'}"

    runs = [
        {thing(c, i): Level(case.logs[c][i], VISITS**2, 8.0, 3) for c in range(CELLS)}
        for i in range(RUNS)
    ]
    sessions = _sessions.learnt(runs)
    days = _changepoints.days(runs, sessions)
    searches = {}
    for cell in range(CELLS):
        things = [thing(cell, i) for i in range(RUNS)]
        series = Series(
            [case.logs[cell][i] - days.offsets[i] for i in range(RUNS)],
            [VISITS**2 + sessions.own**2 + days.errors[i] ** 2 for i in range(RUNS)],
            [i > 0 and things[i] != things[i - 1] for i in range(RUNS)],
            days.loose,
        )
        searches[cell] = functools.partial(_changepoints.steps, series, sessions, 0.01)
    found = _changepoints.selected(searches)
    return [[step.at for step in found.get(cell, [])] for cell in range(CELLS)]


def otava(python: str, cases: Sequence[Report]) -> list[list[list[int]]]:
    """What Apache Otava finds in the same latencies."""
    asked = [[[math.exp(log) for log in logs] for logs in case.logs] for case in cases]
    done = subprocess.run(
        [python, "-c", OTAVA], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    answer: list[list[list[int]]] = json.loads(done.stdout)
    return answer


def share(hits: Sequence[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f} %"


def table(rows: Mapping[str, Sequence[str]], titles: Sequence[str]) -> None:
    print("| | " + " | ".join(titles) + " |")
    print("|---|" + "---|" * len(titles))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Simulate, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=100)
    parser.add_argument("--otava", default="", help="python of an environment with apache-otava")
    arguments = parser.parse_args()
    rng, start = random.Random(0), time.monotonic()
    rows: dict[str, list[str]] = {}
    settings: list[tuple[str, float, int, bool]] = [
        ("nothing changed", 0.0, 15, False),
        ("a file changed, its latency did not", 0.0, 15, True),
    ]
    for step in (0.02, 0.03, 0.05):
        settings += [
            (f"+{100 * step:.0f} %, file changed, 15 runs since", step, 15, True),
            (f"+{100 * step:.0f} %, file changed, in the last run", step, RUNS - 1, True),
            (f"+{100 * step:.0f} %, nothing told, 15 runs since", step, 15, False),
            (f"+{100 * step:.0f} %, nothing told, 3 runs since", step, RUNS - 3, False),
        ]
    for name, step, at, told in settings:
        cases = [report(rng, math.log1p(step), at, told) for _ in range(arguments.reports)]
        answers: dict[str, Any] = {"ours": [ours(case) for case in cases]}
        if arguments.otava:
            answers["otava"] = otava(arguments.otava, cases)
        rows[name] = []
        for found in answers.values():
            hit = [any(abs(a - at) <= 1 for a in cells[0]) for cells in found]
            others = [
                any(cells[1:]) or any(abs(a - at) > 1 or not step for a in cells[0])
                for cells in found
            ]
            right = f"{100 * sum(hit) / len(found):.0f} %" if step else "–"
            rows[name] += [right, share(others)]
    columns = ["found", "reports with a false one"]
    titles = columns + ([f"Otava: {c}" for c in columns] if arguments.otava else [])
    table(rows, titles)
    print(f"{arguments.reports} reports each, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
