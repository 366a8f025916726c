#!/usr/bin/env python3
"""How far unchanged runs of one machine lie apart, and what compare says of them.

    python tests/benchmarks/sessions.py RUN RUN ...     runs of one checkout, of different hours

Of every pair it tells what all cells have in common, and how far each lies off by itself, beyond
what visits explain; likewise of loading and memory. Then how many reports have a false verdict: of
whole runs, and of few cells at a time, with and without what is learnt of the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from paretomark.reports import _beside, _compared, _verdicts
from paretomark.suites.records import _sessions, _store
from paretomark.suites.records._sessions import USUAL, Sessions
from paretomark.suites.records._summary import Summary, summarise

NONE = Sessions(together=0.0, own=0.0)
SIZES = (1, 2, 4, 7)  # cells of a small report
DRAWS = 6


def spread(summaries: Sequence[Summary]) -> None:
    """Print how far pairs of runs lie apart."""
    shifts, owns = [], []
    for a, b in itertools.combinations(summaries, 2):
        both = [
            (x.level, y.level)
            for cell, x in a.visits.items()
            if cell in b.visits and (y := b.visits[cell]).level and x.level
        ]
        steps = [y.log - x.log for x, y in both if x and y]
        shift = median(steps)
        shifts.append(shift)
        owns.append(1.4826 * median(abs(step - shift) for step in steps))
    visits = median(
        math.sqrt(2 * v.level.variance) for s in summaries for v in s.visits.values() if v.level
    )
    print(f"{len(summaries)} runs, {len(shifts)} pairs")
    print(f"  in common: root mean square {math.sqrt(fmean(s**2 for s in shifts)):.2%}")
    print(f"  each by itself: {median(owns):.2%}, of which visits tell {visits:.2%}")
    for kind in (_beside.MEMORY, _beside.LOAD):
        middles, own = [], []
        for a, b in itertools.combinations(summaries, 2):
            found = _beside.changes(a, b, _verdicts.compare(a, b))
            logs = [math.log(c.b / c.a) for c in found if c.kind == kind]
            middles.append(median(logs))
            own.append(1.4826 * median(abs(log - median(logs)) for log in logs))
        common = math.sqrt(fmean(m**2 for m in middles))
        print(f"  {kind}: in common {common:.1%}, each {median(own):.1%}")


def false_verdicts(summaries: Sequence[Summary], learnt: Sessions) -> None:
    """Print how many reports of pairs have a false verdict, of whole runs and of few cells."""
    for name, sessions in (("none", NONE), ("usual", USUAL), ("learnt", learnt)):
        for count in (*SIZES, 0):
            same = cells = reports = 0
            wrong: Counter[str] = Counter()
            for a, b in itertools.combinations(summaries, 2):
                for draw in range(DRAWS if count else 1):
                    one, other = (_few(s, count, f"{count}/{draw}") for s in (a, b))
                    found = _compared.of(one, other, sessions=sessions)
                    answers = [v.answer for v in found.comparison.verdicts]
                    once = [c for c in found.beside if c.kind in _beside.ONCE]
                    beside = any(c.answer for c in once)
                    moved = any(any(each.surely) or each.answer for each in found.fronts)
                    changed = {"slower", "faster"} & {*answers}
                    false = {
                        "latency": bool(changed),
                        "all cells": bool(found.comparison.of_all),
                        "beside time": beside,
                        "front": moved,
                    }
                    wrong.update(kind for kind, is_false in false.items() if is_false)
                    wrong["any"] += any(false.values())
                    same += answers.count("same")
                    cells += len(answers)
                    reports += 1
            of = f"{count} cells" if count else "whole runs"
            kinds = ", ".join(f"{kind} {n / reports:.0%}" for kind, n in wrong.items())
            print(f"days {name}, {of}: {reports} reports, false: {kinds}; {same / cells:.0%} same")


def _few(summary: Summary, count: int, seed: str) -> Summary:
    """So many of its cells, or all if that is 0."""
    if not count:
        return summary
    rows = random.Random(seed).sample(summary.rows, count)
    return dataclasses.replace(summary, rows=tuple(rows))


def main() -> None:
    """Read the runs, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    summaries = [summarise(_store.read(path)) for path in parser.parse_args().runs]
    spread(summaries)
    levels = [
        {f"{r.cell}{r.sha256}": v for r in s.rows if (v := s.visits[r.cell].level)}
        for s in summaries
    ]
    learnt = _sessions.learnt(levels)
    print(f"learnt: in common {learnt.together:.2%}, each {learnt.own:.2%} of a run")
    false_verdicts(summaries, learnt)


if __name__ == "__main__":
    main()
