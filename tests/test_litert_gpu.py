"""LiteRT on a GPU: absent without a driver, and with one, if only in software, right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.suites.records import _store
from paretomark.tests import _needs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytest.importorskip("ai_edge_litert")
SUITE = """
devices = ["litert:gpu", "litert:xnnpack"]
blocks = 1
seconds = 0.02
examples = 20
foreign_load_cores = 99.0
[model.digits_cnn]
[recipe.fp32]
[recipe.int8]
precision = "int8"
"""


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nowhere.json")


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_it_says_so_and_what_to_do(call: Callable[..., Called]) -> None:
    result = call("devices", "--device", "litert:gpu", "--device", "litert:npu", "--json")
    found = json.loads(result.out)
    gpu, npu = found["litert:gpu"], found["litert:npu"]
    assert not gpu["available"]
    assert "LiteRT finds no GPU" in gpu["reason"]
    assert "Vulkan driver" in gpu["remedy"]
    assert not npu["available"]
    assert "LiteRT finds no NPU" in npu["reason"]


@pytest.mark.build
def test_it_answers_as_the_net_does_and_a_software_driver_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    driver = _needs.SOFTWARE_VULKAN.found()
    monkeypatch.setenv("VK_DRIVER_FILES", str(driver))
    monkeypatch.setenv("VK_ICD_FILENAMES", str(driver))
    (tmp_path / "s.toml").write_text(SUITE)
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out", "--json")
    records = {(r.recipe, r.device): r for r in _store.read(tmp_path / "out").records}
    assert result.code == 0, [r.reason for r in records.values()]
    exact, small = (records[recipe, "litert:gpu"] for recipe in ("fp32", "int8"))
    assert exact.simulated == small.simulated == "emulated"
    assert records["fp32", "litert:xnnpack"].simulated == ""
    assert exact.placement.keys() == {"gpu"}
    assert exact.parity_max_abs is not None
    assert exact.parity_max_abs < 1e-3
    assert small.parity_top1 is not None
    assert small.parity_top1 >= 0.9
