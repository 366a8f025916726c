"""JUnit XML: a run is a test suite, and a cell a test case, as CI systems show them.

A cell that failed, fell back, was not run, or has no visit that counts is a failure; one whose
device is not here or that a format cannot hold is skipped, both with the reason. The time of a
case is the latency of a call. Further figures stand in its output.

The schema is junit-10.xsd of https://github.com/jenkinsci/xunit-plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from paretomark.reports import _text
from paretomark.reports.writers import _cells
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary

SUFFIX = "xml"
SKIPPED = ("unavailable", "unsupported")
FIGURES = ("latency_s", "accuracy", "speedup", "artifact_bytes", "peak_memory_bytes", "energy_j")


def write(summaries: Sequence[Summary]) -> str:
    """Write a suite per run."""
    root = ElementTree.Element("testsuites")
    for summary in summaries:
        root.append(_suite(summary))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(summary: Summary) -> ElementTree.Element:
    header, rows = summary.run.header, summary.rows
    skipped = sum(row.status in SKIPPED for row in rows)
    counts = {
        "tests": len(rows),
        "failures": sum(_failed(row) for row in rows),
        "errors": 0,
        "skipped": skipped,
    }
    suite = ElementTree.Element(
        "testsuite",
        name=_text.clean(header.suite),
        timestamp=_text.clean(header.started).removesuffix("Z"),
    )
    for name, count in counts.items():
        suite.set(name, str(count))
    about = {"run": header.run, "commit": header.commit, "machine": header.host.chip}
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in about.items():
        if value:
            ElementTree.SubElement(properties, "property", name=name, value=_text.clean(value))
    suite.extend(map(_case, rows))
    return suite


def _case(row: Row) -> ElementTree.Element:
    place = _text.clean(f"{row.model}.{row.recipe}")
    case = ElementTree.Element("testcase", name=_cells.name(row), classname=place)
    if row.valid and row.latency_s is not None:
        case.set("time", f"{row.latency_s:.9f}")
    if row.status in SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_cells.why_not(row))
    elif _failed(row):
        kind = _text.clean(row.stage if row.status != "ok" else "validity") or row.status
        message = _cells.why_not(row) or _text.clean(row.broken, 2000)
        ElementTree.SubElement(case, "failure", type=kind, message=message)
    told = [f"{n}: {f.value!r}" for n in FIGURES if (f := _cells.figure(row, n)) is not None]
    if told:
        ElementTree.SubElement(case, "system-out").text = "\n".join(told)
    return case


def _failed(row: Row) -> bool:
    return row.status not in SKIPPED and (not row.valid or bool(row.broken))
