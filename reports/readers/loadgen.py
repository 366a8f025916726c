"""Logs of MLPerf LoadGen: mlperf_log_summary.txt or mlperf_log_detail.txt.

A log is one visit. Of SingleStream and MultiStream its one time is the median of the queries; a
query of MultiStream is a batch. Server and Offline tell no latency of a call by itself: their
figures stand in the reason of their row. What LoadGen calls INVALID is flagged.

https://github.com/mlcommons/inference/tree/master/loadgen
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from paretomark.reports.readers import _foreign
from paretomark.reports.readers._foreign import Imported, Source
from paretomark.suites.spec._errors import UserError

TOOL = "LoadGen"
MARK, HEAD = ":::MLLOG ", "MLPerf Results Summary"
MEDIAN = "result_50.00_percentile_latency_ns"
TIMED = ("SingleStream", "MultiStream")
# By the key of the detailed log, what a line of the summary is called.
LINES = {
    "sut_name": "SUT name",
    "effective_scenario": "Scenario",
    "effective_test_mode": "Mode",
    "result_validity": "Result is",
    MEDIAN: "50.00 percentile latency (ns)",
    "result_99.00_percentile_latency_ns": "99.00 percentile latency (ns)",
    "result_completed_samples_per_sec": "Completed samples per second",
    "result_samples_per_second": "Samples per second",
    "effective_samples_per_query": "samples_per_query",
}
TOLD = {
    "result_99.00_percentile_latency_ns": "99th percentile in ns",
    "result_completed_samples_per_sec": "completed samples per second",
    "result_samples_per_second": "samples per second",
}


def reads(source: Source) -> bool:
    """Tell whether it is such a log."""
    return HEAD in source.text[:1000] or source.text.startswith(MARK)


def read(source: Source) -> Imported:
    """Read it. Raises UserError with the line that does not fit."""
    told = _detail(source) if source.text.startswith(MARK) else _summary(source)
    version = _foreign.name(told.get("loadgen_version", "")).partition(" ")[0]
    tool = f"{TOOL} {version}".strip()
    scenario = re.sub(r"\s", "", told.get("effective_scenario", ""))
    if "performance" not in told.get("effective_test_mode", "performance").lower():
        raise UserError(f"{source.path}: not a log of a performance run: there is no time in it")
    validity = told.get("result_validity", "")
    if scenario not in (*TIMED, "Server", "Offline") or validity not in ("VALID", "INVALID"):
        raise UserError(f"{source.path}: tells no scenario or result: was the test ended early?")
    facts: dict[str, Any] = {
        "model": _foreign.name(told.get("sut_name", ""), "unnamed"),
        "recipe": scenario,
        "device": "loadgen",
        "batch": int(_number(told, "effective_samples_per_query", source, whole=True)),
        "where": f"{source.path}: {LINES[MEDIAN]}",
        "flags": ("invalid by LoadGen",) if validity == "INVALID" else (),
    }
    values_s: tuple[float, ...] = ()
    if scenario in TIMED:
        values_s = (_number(told, MEDIAN, source) / 1e9,)
        facts["warnings"] = ["its time is the median of its queries"]
    else:
        figures = [f"{told[key]} {words}" for key, words in TOLD.items() if key in told]
        facts |= {
            "batch": 1,
            "status": "unsupported",
            "stage": "import",
            "reason": f"{scenario} tells no latency of a call; it tells "
            + _foreign.without_paths(", ".join(figures) or "nothing"),
        }
    return Imported(
        tool=tool,
        records=(_foreign.visit(tool, values_s=values_s, **facts),),
        versions={TOOL: version} if version else {},
        started=_foreign.utc(told.get("test_datetime", "")),
        left_out=("percentiles other than the median", "rates", "settings of the test"),
    )


def _summary(source: Source) -> dict[str, str]:
    told: dict[str, str] = {}
    keys = {title: key for key, title in LINES.items()}
    for line in source.text.splitlines():
        title, colon, value = line.partition(":")
        if colon and (key := keys.get(title.strip())):
            told.setdefault(key, value.strip())
    return told


def _detail(source: Source) -> dict[str, str]:
    told: dict[str, str] = {}
    for number, line in enumerate(source.text.splitlines(), start=1):
        if not line.startswith(MARK):
            continue
        try:
            entry = json.loads(line.removeprefix(MARK))
        except (ValueError, RecursionError):
            raise UserError(f"{source.path}, line {number}: not valid JSON") from None
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise UserError(f"{source.path}, line {number}: must be a table with a key")
        told.setdefault(entry["key"], str(entry.get("value", "")))
    return told


def _number(told: Mapping[str, str], key: str, source: Source, whole: bool = False) -> float:
    text = told.get(key, "")
    if not re.fullmatch(r"\d{1,18}" if whole else r"\d{1,18}(\.\d{1,9})?", text):
        raise UserError(f"{source.path}: {LINES[key]} must be a number, got '{text[:40]}'")
    return float(text)
