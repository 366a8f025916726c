"""The table, page and plots of a profile, from operators that are known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from paretomark.devices._device import Operator
from paretomark.devices.measure import _peak
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._profile import Profile
from paretomark.models.build._artifact import Artifact
from paretomark.reports import _profile_words, profile
from paretomark.suites.records._record import Probe
from paretomark.suites.spec._model import Model, Preprocess, Recipe
from paretomark.suites.spec._plan import Cell
from paretomark.tests._pages import EVIL, assert_self_contained

pytestmark = pytest.mark.slow

PEAKS = _peak.Peaks(1e11, 1e10, 1, "blas", 512, "Copy", 2**27)
OPERATORS = (
    Operator("first", "Conv", "cpu", 6000.0, 120_000, 8000),  # 40 GFLOP/s, 30 FLOP/byte
    Operator("then", "Relu", "cpu", 1000.0, 0, 4000),
    Operator("last", "Conv", "cpu", 3000.0, 3_000, 6000),  # 2 GFLOP/s, 1 FLOP/byte
)


def made(
    *operators: Operator, latency_ns: int = 10_000, precision: str = "fp32", **measured: object
) -> Profile:
    """A profile as if a device had told this."""
    table: dict[str, Any] = {
        "placement": {"cpu": 3}, "home": "cpu", "fell_back": False, "on_host": True,
        "slices_ns": [[latency_ns] * 11], "peaks": vars(PEAKS), "no_peaks": "",
        "operators": list(operators or OPERATORS),
    }  # fmt: skip
    lineage = json.dumps({"parent": {"net": "net", "sha256": "0" * 64}})
    return Profile(
        cell=Cell(Model("net", "net"), Recipe("r", (), precision), "onnxruntime:cpu", 1, 1),
        artifact=Artifact(
            file="f",
            format="onnx",
            identity="",
            sha256="0" * 64,
            bytes=1000,
            lineage=lineage,
            data="",
            images="",
            labels="",
            reference="",
            preprocess=Preprocess((8, 8)),
            label_offset=0,
        ),
        visit=Visit("ok", measured=table | measured),
        probe=Probe(
            device="onnxruntime:cpu", available=True, chip="a chip", versions={"runtime": "1.0"}
        ),
        runs=50,
        started="2026-01-02T03:04:05+00:00",
    )


def test_the_table_shows_the_slowest_first_and_what_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    many = [Operator(f"op{i}", "Conv", "cpu", 1000.0 + i, 10, 10) for i in range(20)]
    profile.show(made(*many, latency_ns=30_000))
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split()[1] for line in lines if re.search(r"\bop\d+\b", line)]
    assert shown == [f"op{i}" for i in range(19, 4, -1)]
    text = "\n".join(lines)
    assert re.search(r"5 more\s+5\.01 µs", text)
    assert re.search(r"all operators\s+20\.2 µs", text)
    assert re.search(r"outside operators\s+9\.81 µs", text)
    assert re.search(r"latency, unprofiled\s+30\.0 µs", text)


@pytest.mark.parametrize(
    ("latency_ns", "row", "sentence"),
    [
        (20_000, r"outside operators\s+10\.0 µs", "10.0 µs, 50.0 % of the latency, is outside"),
        (10_500, r"outside operators\s+500 ns", ""),
        (9_500, r"profiling overhead\s+−500 ns", ""),
        (5_000, r"profiling overhead\s+−5\.00 µs", "operators take 5.00 µs, 100.0 % of"),
    ],
)
def test_what_operators_do_not_explain_is_a_row_and_a_sentence_if_it_is_much(
    capsys: pytest.CaptureFixture[str], latency_ns: int, row: str, sentence: str
) -> None:
    it = made(latency_ns=latency_ns)
    profile.show(it)
    assert re.search(row, capsys.readouterr().out)
    remarks = _profile_words.remarks(it)
    assert len(remarks) == bool(sentence)
    assert sentence in " ".join(remarks)


def test_the_roofline_has_the_operators_that_multiply(tmp_path: Path) -> None:
    profile.write(made(), tmp_path)
    svg = (tmp_path / "roofline.svg").read_text()
    tips = re.findall(r"<title>(.*?)</title>", svg)
    assert tips == [
        "1: first (Conv, cpu): 6.00 µs, 60.0 % of the time, 40.0 GFLOP/s at 30.0 FLOP/byte",
        "3: last (Conv, cpu): 3.00 µs, 30.0 % of the time, 2.00 GFLOP/s at 1.00 FLOP/byte",
    ]
    assert "100 GFLOP/s: float32 matrix product, 1 thread" in svg
    assert "10.0 GB/s: memory, STREAM Copy, 1 thread" in svg
    assert "int8" not in svg
    assert "then" in (tmp_path / "index.html").read_text()


def test_the_roofline_of_int8_says_that_its_roof_is_not(tmp_path: Path) -> None:
    profile.write(made(precision="int8"), tmp_path)
    assert "kernels of int8 or fp16 may lie above it" in (tmp_path / "roofline.svg").read_text()


@pytest.mark.parametrize(("precision", "doubted"), [("fp32", 1), ("int8", 0)])
def test_float32_that_is_faster_than_its_roof_is_doubted(precision: str, doubted: int) -> None:
    peaks = vars(PEAKS) | {"flop_per_s": 3e10}  # the first operator reaches 4e10
    assert _profile_words.remarks(made(precision=precision)) == []
    remarks = _profile_words.remarks(made(precision=precision, peaks=peaks))
    assert [r[:43] for r in remarks] == ["Operators are faster than the flat roof: th"] * doubted


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"on_host": False, "peaks": None}, "drawn for this machine's processor"),
        ({"peaks": None, "no_peaks": "killed by SIGKILL"}, "not measured: killed by SIGKILL"),
        ({"operators": [Operator("a", "b", "cpu", 9.0)]}, "tells of no operator"),
    ],
)
def test_without_a_roofline_it_is_said_why(
    tmp_path: Path, measured: dict[str, Any], why: str
) -> None:
    written = profile.write(made(**measured), tmp_path)
    assert not any("roofline" in path.name for path in written)
    assert why.replace("'", "&#x27;") in (tmp_path / "index.html").read_text()


def test_what_was_predicted_is_not_called_measured(tmp_path: Path) -> None:
    it = made(predicted_s=2e-5, simulated="predicted", on_host=False, peaks=None)
    profile.write(it, tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert it.latency_ns == pytest.approx(20_000)
    assert "<span class=tag>predicted</span>" in text
    assert "(predicted)" in (tmp_path / "times.svg").read_text()
    assert "profiled</span>" not in text


def test_names_of_a_hostile_file_stay_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = made(*(Operator(EVIL + "\x1b[2J", EVIL, EVIL, 100.0, 10, 10) for _ in range(70)))
    written = profile.write(it, tmp_path)
    assert_self_contained(written[0])
    for path in tmp_path.glob("*.svg"):
        assert not {e.tag for e in ElementTree.parse(path).iter() if "script" in str(e.tag)}
    profile.show(it)
    assert "\x1b" not in capsys.readouterr().out
    assert "\x1b" not in (tmp_path / "operators.csv").read_text()
