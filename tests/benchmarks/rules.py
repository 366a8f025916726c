#!/usr/bin/env python3
"""What rules of comparison are worth: on runs of an unchanged checkout, and on simulated noise.

    python tests/benchmarks/rules.py RUN RUN ...   every pair of runs, which nothing parts
    python tests/benchmarks/rules.py --simulate    coverage, false alarms, power: the truth is known

Of each rule it tells: the share of reports with any false `faster` or `slower`; of cells called
`same` within 2 %, and inconclusive; and of slow-downs that were planted (in one cell at a time, by
scaling all its calls) that are found. The rules of other tools are as their documents give them:
pyperf's `compare_to` (Student's t on the runs' means, 95 %, no correction), asv's `compare`
(Mann-Whitney, p below 0.002, and 10 % apart), google/benchmark's `compare.py` (Mann-Whitney, 5 %).
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from paretomark.suites.records import _levels, _stats, _store, _summary
from paretomark.suites.records._common import MOSTLY, common, detectable
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row

PLANTED = (0.01, 0.02, 0.03, 0.05)
DELTA = 0.02
Run = Mapping[str, Mapping[str, Sequence[float]]]  # by cell: "median", "mean", "floor" of visits
Verdicts = dict[str, str]  # by cell


def before(a: Run, b: Run) -> Verdicts:
    """Welch's t on the medians of visits, all claims in one family: the rule until schema 4."""
    found, claims = {}, []
    for cell in a:
        x, y = (np.log(run[cell]["median"]) for run in (a, b))
        test = stats.ttest_ind(y, x, equal_var=False)
        low, high = test.confidence_interval()
        se = (high - low) / 2 / stats.t.ppf(0.975, test.df)
        off = math.log1p(DELTA) - abs(y.mean() - x.mean())
        same = stats.t.sf(off / se, test.df) if se else 1.0
        found[cell] = (y.mean() - x.mean(), low, high)
        claims += [test.pvalue, same]
    q = _stats.benjamini_hochberg([1.0 if math.isnan(p) else float(p) for p in claims])
    return {
        cell: _called(*found[cell], q[2 * i] < 0.05, q[2 * i + 1] < 0.05)
        for i, cell in enumerate(found)
    }


def _called(log: float, low: float, high: float, differs: bool, same: bool) -> str:
    margin = math.log1p(DELTA)
    if same and -margin < low and high < margin:
        return "same"
    return "changed" if differs and abs(log) > margin else "inconclusive"


def now(a: Run, b: Run, unchanged: float = MOSTLY) -> Verdicts:
    """Levels of floors, what is common taken out, a family for each kind of claim."""
    return _judged(_changes(a, b, unchanged))


def _changes(a: Run, b: Run, unchanged: float = MOSTLY) -> dict[str, _stats.Ratio]:
    before, after = (
        _levels.levels(
            {cell: dict(enumerate(visits["floor"])) for cell, visits in run.items()},
            {cell: _device(cell) for cell in run},
        )
        for run in (a, b)
    )
    both = common([(before[c], after[c]) for c in a], unchanged)
    return {c: both.compare(before[c], after[c]) for c in a}


def _judged(ratios: Mapping[str, _stats.Ratio]) -> Verdicts:
    differs = _stats.benjamini_hochberg([_stats.p_different(r) for r in ratios.values()])
    same = _stats.benjamini_hochberg([_stats.p_same(r, DELTA) for r in ratios.values()])
    found = {}
    for (cell, ratio), p, q in zip(ratios.items(), differs, same, strict=True):
        margin = 1 + DELTA
        if p < 0.05 and abs(math.log(ratio.value)) > math.log1p(DELTA / 2):
            found[cell] = "changed"
        elif q < 0.05 and 1 / margin < ratio.low and ratio.high < margin:
            found[cell] = "same"
        else:
            found[cell] = "inconclusive"
    return found


def _device(cell: str) -> str:
    return cell.split("/")[2] if cell.count("/") > 2 else ""


def pyperf(a: Run, b: Run) -> Verdicts:
    """Student's t on the means of processes."""
    return {
        cell: "changed"
        if stats.ttest_ind(a[cell]["mean"], b[cell]["mean"]).pvalue < 0.05
        else "inconclusive"
        for cell in a
    }


def asv(a: Run, b: Run) -> Verdicts:
    """Mann-Whitney at 0.002, and 10 % apart."""
    return {
        cell: "changed" if _ranks(a[cell], b[cell]) < 0.002 and _apart(a[cell], b[cell]) > 1.1 else
        "inconclusive" for cell in a
    }  # fmt: skip


def google(a: Run, b: Run) -> Verdicts:
    """Mann-Whitney at 0.05."""
    return {cell: "changed" if _ranks(a[cell], b[cell]) < 0.05 else "inconclusive" for cell in a}


def _ranks(a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]) -> float:
    return float(stats.mannwhitneyu(a["mean"], b["mean"]).pvalue)


def _apart(a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]) -> float:
    ratio = statistics.median(b["mean"]) / statistics.median(a["mean"])
    return max(ratio, 1 / ratio)


RULES: dict[str, Callable[[Run, Run], Verdicts]] = {
    "before": before, "now": now, "pyperf": pyperf, "asv": asv, "google/benchmark": google,
}  # fmt: skip


def judge(pairs: Sequence[tuple[Run, Run]], seed: int = 0) -> None:
    """Print a line for each rule."""
    print("rule              reports with a   cells     inconclusive   found, of planted")
    planted = "   ".join(f"{effect:.0%}" for effect in PLANTED)
    print(f"                  false verdict    same                    {planted}")
    for name, rule in RULES.items():
        answers = [rule(a, b) for a, b in pairs]
        cells = [answer for found in answers for answer in found.values()]
        false = sum("changed" in found.values() for found in answers) / len(pairs)
        shares = [cells.count(word) / len(cells) for word in ("same", "inconclusive")]
        found = []
        for effect in PLANTED:
            rng = np.random.default_rng(seed)
            hits = []
            for a, b in pairs:
                for cell in rng.choice(list(a), min(8, len(a)), replace=False):
                    slow = {k: [v * (1 + effect) for v in vs] for k, vs in b[cell].items()}
                    hits.append(rule(a, {**b, cell: slow})[cell] == "changed")
            found.append(f"{np.mean(hits):4.0%}")
        print(f"{name:17} {false:9.0%} {shares[0]:12.0%} {shares[1]:12.0%}       {' '.join(found)}")


def read(folder: Path) -> dict[str, dict[str, list[float]]]:
    """What a run's valid visits measured, by cell."""
    summary = _summary.summarise(_store.read(folder))
    return {
        cell: {
            "floor": [_levels.floor(r.slices_ns) for r in visits.valid],
            "median": [statistics.median(r.samples_ns) for r in visits.valid],
            "mean": [statistics.fmean(r.samples_ns) for r in visits.valid],
        }
        for cell, visits in summary.visits.items()
        if _counts(visits.valid)
    }


def _counts(visits: Sequence[Record]) -> bool:
    return len(visits) > 1 and all(r.slices_ns for r in visits)


def of_runs(folders: Sequence[Path]) -> None:
    runs = [read(folder) for folder in folders]
    pairs = []
    for a, b in itertools.combinations(runs, 2):
        shared = [cell for cell in a if cell in b]
        pairs.append(({c: a[c] for c in shared}, {c: b[c] for c in shared}))
    visits = [len(v["floor"]) for run in runs for v in run.values()]
    print(f"{len(runs)} runs, {len(pairs)} pairs, {statistics.median(visits):g} visits a cell")
    rows = [r for folder in folders for r in _summary.summarise(_store.read(folder)).rows]
    for device in dict.fromkeys(row.device for row in rows):
        of_device = [row for row in rows if row.device == device and row.valid]
        widths = sorted(_half_width(row) for row in of_device)
        disturbed = statistics.fmean(row.disturbed or 0 for row in of_device)
        print(
            f"{device:18} intervals from ±{widths[0]:.1%} to ±{widths[-1]:.1%}, in the middle "
            f"±{statistics.median(widths):.1%}; slices disturbed {disturbed:.0%}"
        )
    judge(pairs)


def _half_width(row: Row) -> float:
    return math.sqrt((row.latency_high_s or 1) / (row.latency_low_s or 1)) - 1


NOISES = ("clean", "contaminated", "heavy tails", "drift", "two modes")


def noise(rng: np.random.Generator, kind: str, cells: int, visits: int) -> Any:
    """Logarithms of visits: cells differ in how noisy they are."""
    spread = 0.005 * np.exp(rng.normal(0, 0.5, (cells, 1)))
    logs = rng.normal(0, 1, (cells, visits)) * spread
    if kind == "contaminated":  # 15 % of visits are 5 to 60 % slower
        slow = rng.random((cells, visits)) < 0.15
        logs += slow * np.log1p(rng.uniform(0.05, 0.6, (cells, visits)))
    elif kind == "heavy tails":
        logs = rng.standard_t(3, (cells, visits)) * spread
    elif kind == "drift":  # each block slower than the one before
        logs += np.linspace(-0.02, 0.02, visits)
    elif kind == "two modes":  # three processes in ten are 3 % slower; the truth is the lower mode
        logs += 0.03 * (rng.random((cells, visits)) < 0.3)
    return logs


def simulate(cells: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    print(f"{cells} cells; 95 % intervals that hold the truth (and their median half width)")
    for kind in NOISES:
        line = f"{kind:13}"
        for visits in (2, 3, 5, 15):
            held, widths = [], []
            for _ in range(repeats):
                logs = noise(rng, kind, cells, visits)
                rows = {str(i): dict(enumerate(np.exp(row).tolist())) for i, row in enumerate(logs)}
                for level in _levels.levels(rows).values():
                    held.append(level.interval.low <= 1 <= level.interval.high)
                    widths.append(math.sqrt(level.interval.high / level.interval.low) - 1)
            line += f"   {visits:2} visits {np.mean(held):4.0%} (±{np.median(widths):.2%})"
        print(line, flush=True)
    for kind, visits in itertools.product(("clean", "contaminated"), (3, 8)):
        print(f"\n{kind}, {visits} + {visits} visits; medians and means are taken to be the floors")
        pairs = []
        for _ in range(max(10, repeats // 4)):
            a, b = (np.exp(noise(rng, kind, cells, visits)).tolist() for _ in "ab")
            sides = [
                {str(i): dict.fromkeys(("floor", "median", "mean"), row) for i, row in enumerate(x)}
                for x in (a, b)
            ]
            pairs.append((sides[0], sides[1]))
        judge(pairs)


def promises(repeats: int) -> None:
    """What `detectable` says of one comparison, planted in one cell of another that is alike."""
    print("\nclean; slow-downs as large as `detectable` says, of one cell, that are found (80 %)")
    for cells, visits in itertools.product((8, 12, 34), (3, 8)):
        rng, hits, said = np.random.default_rng(1), [], []
        for _ in range(4 * repeats):
            runs: list[dict[str, dict[str, Any]]] = [
                {
                    str(i): {"floor": np.exp(row)}
                    for i, row in enumerate(noise(rng, "clean", cells, visits))
                }
                for _ in range(4)
            ]
            told = _changes(runs[0], runs[1])["0"]
            said.append(detectable(told, cells, DELTA / 2))
            runs[3]["0"]["floor"] = runs[3]["0"]["floor"] * (1 + said[-1])
            hits.append(now(runs[2], runs[3])["0"] == "changed")
        print(
            f"{cells:2} cells, {visits} + {visits} visits: {np.mean(hits):.0%} of those of "
            f"{np.median(said):.1%}",
            flush=True,
        )


def left_out(repeats: int) -> None:
    """What it is worth that cells far out do not count as noise: with three cells slower by 2 %."""
    print("\ncells that changed count as noise, or are left out")
    for kind, cells, visits in itertools.product(("clean", "contaminated"), (12, 34), (3, 8)):
        for share in (1.0, MOSTLY):
            rng, false, hits = np.random.default_rng(1), [], []
            for _ in range(8 * repeats):
                a, b = (
                    {str(i): {"floor": np.exp(row)} for i, row in enumerate(rows)}
                    for rows in (noise(rng, kind, cells, visits) for _ in range(2))
                )
                false.append("changed" in now(a, b, share).values())
                for cell in "012":
                    b[cell]["floor"] = b[cell]["floor"] * 1.02
                found = now(a, b, share)
                hits += [found[cell] == "changed" for cell in "012"]
            print(
                f"{kind:13} {cells} cells, {visits} + {visits} visits, "
                f"{'left out' if share < 1 else 'counted':9} reports with a false verdict "
                f"{np.mean(false):.1%}, finds {np.mean(hits):.0%}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--cells", type=int, default=34)
    parser.add_argument("--repeats", type=int, default=120)
    given = parser.parse_args()
    if given.simulate:
        simulate(given.cells, given.repeats)
        left_out(given.repeats)
        promises(given.repeats)
    elif len(given.runs) > 1:
        of_runs(given.runs)
    else:
        parser.error("name two runs or more, or --simulate")


if __name__ == "__main__":
    main()
