"""Report of OpenVINO's benchmark_app: -report_type no_counters, as CSV or with -json_stats as JSON.

A report is one visit whose one time is the median of its calls, or their mean where another
percentile was asked for. The tool of Python tells times to 0.01 ms: what that leaves open stands in
the row, and what is not known to 5 % has no time.

https://docs.openvino.ai/2025/get-started/learn-openvino/openvino-samples/benchmark-tool.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretomark.reports.readers import _foreign
from paretomark.reports.readers._foreign import Imported, Source
from paretomark.suites.spec._errors import UserError

TOOL = "benchmark_app"
SECTIONS = ("Command line parameters", "Configuration setup", "Execution results")
KEYS = ("cmd_options", "configuration_setup", "execution_results")
MEDIAN = ("latency (ms)", "Median latency (ms)", "latency_median")  # of Python, of C++, its JSON
MEAN = ("avg latency", "Average latency (ms)", "latency_avg")
LOAD = ("read model time (ms)", "read_model_time", "load_model_time")
COMPILE = ("compile model time (ms)", "compile_model_time")
FIRST = ("first inference time (ms)", "first_inference_time")
REQUESTS = ("number of parallel infer requests", "nireq")
BATCH = ("batch size", "batch_size")
DEVICE = ("target device", "target_device")
MODE = ("inference_only", "benchmark mode", "benchmark_mode")
PLAIN = ("UNSPECIFIED", "UNDEFINED", "")  # precisions that are none
MOST_DIGITS = 30
MOST_REQUESTS = 2**20


def reads(source: Source) -> bool:
    """Tell whether it is such a report: it has a set-up and results."""
    if source.table:
        return all(isinstance(source.table.get(key), dict) for key in KEYS[1:])
    lines = source.text[:200_000].splitlines()
    return SECTIONS[2] in lines and any(line.startswith("topology;") for line in lines)


def read(source: Source) -> Imported:
    """Read it. Raises UserError with the field that does not fit."""
    options, setup, results = _tables(source)
    requests = _count(setup, REQUESTS, source)
    facts: dict[str, Any] = {
        "model": _model(options, setup),
        "recipe": f"{requests} requests at once" if requests > 1 else _foreign.AS_GIVEN,
        "device": f"openvino:{_foreign.name(_text(setup, DEVICE), 'unnamed').lower()}",
        "batch": _count(setup, BATCH, source),
        "threads": _count(options, ("-nthreads", "--number_threads"), source, otherwise=0),
        "precision": _precision(setup),
        "where": str(source.path),
    }
    if error := str(results.get("error", "")):
        why = _foreign.without_paths(error)
        failed: dict[str, Any] = {"status": "failed", "stage": "run", "reason": why or "error"}
        record = _foreign.visit(TOOL, values_s=(), **facts, **failed)
        return Imported(tool=TOOL, records=(record,))
    key, name = next(
        ((key, name) for keys, name in ((MEDIAN, "median"), (MEAN, "mean")) for key in keys
         if key in results and not (name == "median" and _other_percentile(results))),
        ("", ""),
    )  # fmt: skip
    if not key:
        raise UserError(f"{source.path}: tells no latency: was it of several devices at once?")
    value_s, rounding_s = _milliseconds(results, key, source)
    warnings = [f"its time is the {name} of its calls"]
    if "true" in _text(setup, MODE).lower() or "inference only" in _text(setup, MODE):
        warnings.append("inputs are not handed over in the calls")
    times = {"load_s": LOAD, "compile_s": COMPILE, "first_s": FIRST}
    told: dict[str, Any] = {field: _some(results, keys, source) for field, keys in times.items()}
    record = _foreign.visit(
        TOOL, values_s=(value_s,), rounding_s=rounding_s, warnings=warnings, **facts, **told
    )
    left_out = ("throughput, least and greatest latency", "options of the command line")
    return Imported(tool=TOOL, records=(record,), left_out=left_out)


def _tables(source: Source) -> tuple[Mapping[str, Any], ...]:
    if source.table:
        options, setup, results = (source.table.get(key, {}) for key in KEYS)
        return _flat(options), setup, results
    tables: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    section = ""
    for line in source.text.splitlines():
        if line in tables:
            section = line
        elif section and ";" in line:
            key, _, value = line.partition(";")
            tables[section].setdefault(key, value)
    return tuple(tables[section] for section in SECTIONS)


def _flat(options: object) -> Mapping[str, Any]:
    """The options as a table: the tool of C++ has a list of them."""
    return options if isinstance(options, dict) else {}


def _text(table: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(table[key])[: _foreign.MAX_NAME] for key in keys if key in table), "")


def _model(options: Mapping[str, Any], setup: Mapping[str, Any]) -> str:
    """What the file of the net is called, for the topology of an .onnx file has no name."""
    path = _text(options, ("-m", "--path_to_model"))
    stem = _foreign.last(path).rpartition(".")[0] or _foreign.last(path)
    return _foreign.name(stem or _text(setup, ("topology",)), "unnamed")


def _precision(setup: Mapping[str, Any]) -> str:
    told = _foreign.name(_text(setup, ("precision",)))
    return "" if told.upper() in PLAIN else told.lower()


def _other_percentile(results: Mapping[str, Any]) -> bool:
    return str(results.get("percentile_boundary", "50")) != "50"


def _count(
    table: Mapping[str, Any], keys: tuple[str, ...], source: Source, otherwise: int = 1
) -> int:
    text = _text(table, keys)
    if not text or text == "None":
        return otherwise
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) < MOST_REQUESTS:
        raise UserError(f"{source.path}: {keys[0]} must be a whole number above 0, got '{text}'")
    return int(text)


def _some(table: Mapping[str, Any], keys: tuple[str, ...], source: Source) -> float | None:
    key = next((key for key in keys if key in table), None)
    return None if key is None else _milliseconds(table, key, source)[0]


def _milliseconds(table: Mapping[str, Any], key: str, source: Source) -> tuple[float, float]:
    """A time in seconds, and by how much its digits leave it open."""
    text = str(table[key])[:MOST_DIGITS]
    try:
        value_s = float(text) / 1e3
    except ValueError:
        raise UserError(f"{source.path}: {key} must be a number, got '{text}'") from None
    if not 0 <= value_s < 1e9:
        raise UserError(f"{source.path}: {key} must be a time, got '{text}'")
    places = len(text.partition(".")[2]) if "e" not in text.lower() else MOST_DIGITS
    return value_s, 0.5 * 10.0**-places / 1e3
