"""Runs that others send: what cannot be true is found, and what is merely odd is let be."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark import bench
from paretomark.reports import _submitted
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import noisy, realistic, record, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called


def problems(source: Run, *known: Run) -> list[str]:
    return _submitted.problems(summarise(source), [summarise(each) for each in known])


def honest() -> Run:
    """A run of a clean checkout, every cell of which has a file of its own."""
    source = realistic()
    records = tuple(
        dataclasses.replace(r, sha256=hashlib.sha256(r.cell.encode()).hexdigest())
        for r in source.records
    )
    header = dataclasses.replace(source.header, dirty=False)
    return dataclasses.replace(source, header=header, records=records)


def test_nothing_speaks_against_an_honest_run() -> None:
    assert problems(honest()) == []
    assert problems(honest(), honest()) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dirty": True}, "not committed"),
        ({"started": "2999-01-01T00:00:00Z"}, "in the future"),
        ({"started": "yesterday"}, "no time"),
        ({"started": "2027-01-02T03:04:05Z"}, "future|before it started"),
        ({"request": {"folder": "/home/me"}}, "publish"),
        ({"cells": ("other",)}, "did not plan"),
    ],
)
def test_what_a_header_cannot_say(changes: dict[str, Any], why: str) -> None:
    (found,) = problems(run(visits(noisy(1e-3, 3, 0.01, 1)), **changes))
    assert any(word in found for word in why.split("|"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"macs": 10**9, "latency": 1e-3}, "no processor does more"),  # a teramac on one core
        ({"macs": 10**9, "latency": 1e-3, "precision": "int8"}, ""),  # which matrix units reach
        ({"macs": 10**9, "latency": 1e-3, "device": "tensorrt"}, ""),
        ({"macs": 10**8, "latency": 1e-3}, ""),
        ({"samples_ns": (20,) * 10 + (21,) * 10}, "no call is so short"),
        ({"samples_ns": (1_000_000,) * 30}, "same number of nanoseconds"),
    ],
)
def test_what_times_cannot_be(changes: dict[str, Any], why: str) -> None:
    found = problems(run([record(**{"device": "onnxruntime:cpu"} | changes)]))
    assert [why in each for each in found] == [True] * bool(why)


def test_the_same_file_answers_the_same() -> None:
    known = run(visits(noisy(1e-3, 3, 0.01, 1), outcomes="1" * 80 + "0" * 20))
    other = run(visits(noisy(1e-3, 3, 0.01, 2), outcomes="1" * 90 + "0" * 10))
    (found,) = problems(other, known)
    assert "10.0 % of its answers" in found
    built_anew = [dataclasses.replace(r, sha256="cd" * 32) for r in other.records]
    assert problems(run(built_anew), known) == []


def test_a_visit_counts_once() -> None:
    twice = [record(), record(latency=2e-3)]
    assert "more than once" in problems(run(twice))[0]


def test_the_command_names_what_speaks_against_each(
    call: Callable[..., Called], tmp_path: Path
) -> None:
    good = written(honest(), tmp_path / "runs" / "good")
    damaged = written(honest(), tmp_path / "runs" / "damaged")
    lines = (damaged / "records.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"status":"ok"', b'"status":"no"')
    (damaged / "records.jsonl").write_bytes(b"".join(lines))
    told = call("leaderboard", tmp_path / "runs", "--check")
    assert told.code == 1
    assert "good: nothing speaks against it" in told.out
    assert "records.jsonl, line 4: the checksum does not fit" in told.out
    assert call("leaderboard", "--check", good, "--known", good).code == 0
    out = tmp_path / "x"
    assert call("leaderboard", good, "--out", out, "--known", good).code == bench.USER_ERROR
    assert not out.exists()
