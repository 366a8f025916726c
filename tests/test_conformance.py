"""Good devices pass the conformance checks, and every bad one is caught with the right reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.devices import fake
from paretomark.devices.measure import _conformance
from paretomark.devices.measure._conformance import Caught

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = [pytest.mark.build, pytest.mark.timing]


@pytest.fixture(scope="module")
def caught() -> dict[str, Caught]:
    return {c.variant: c for c in _conformance.self_test(deadline_s=8.0)}


@pytest.mark.parametrize(
    ("variant", "by", "reason"),
    [
        ("absent", "probe", "it is never there"),
        ("load-crash", "visit, load", "this device fails to load"),
        ("memory", "visit, load", "MemoryError"),
        ("crash", "visit, timing", "this device fails in the middle"),
        ("abort", "visit, timing", "killed by SIGABRT"),
        ("hang", "visit, timing", "did not finish within 8 s"),
        ("nan", "visit, first inference", "not finite"),
        ("batch", "visit, first inference", "has shape (2, 10)"),
        ("wrong", "visit, scoring", "wrong answers"),
        ("fallback", "visit, load", "not on numpy"),
        ("drift", "visit, flags", "drift"),
        ("bimodal", "visit, flags", "two modes"),
        ("early", "visit, scoring", "wrong answers"),
        ("cached", "verify, own_answers", "changed in place"),
        ("lazy", "verify, first", "second to fourth call"),
        ("overwrites", "verify, own_memory", "overwrites the answer"),
        ("leak", "verify, again", "keeps 30 MB at each load"),
    ],
)
def test_a_bad_device_is_caught(
    caught: dict[str, Caught], variant: str, by: str, reason: str
) -> None:
    assert caught[variant].by == by
    assert reason in caught[variant].reason


def test_a_device_that_uses_more_threads_than_it_was_given_is_caught(
    caught: dict[str, Caught],
) -> None:
    assert caught["threads"].by in ("verify, threads", "visit, flags")


def test_every_variant_is_tried_and_a_good_one_passes(caught: dict[str, Caught]) -> None:
    assert caught.keys() == set(fake.VARIANTS)
    bad = {c.variant for c in caught.values() if c.by}
    assert bad >= set(fake.VARIANTS) - set(_conformance.WELL_BEHAVED)
    assert len(bad) >= 12


@pytest.mark.parametrize("device", ["litert:xnnpack", "onnxruntime:cpu", "openvino:cpu"])
def test_a_real_device_passes(call: Callable[..., Called], device: str) -> None:
    result = call("devices", "--verify", "--device", device, "--json")
    checks = json.loads(result.out)
    # ten in float32, ten in int8, and whether int8 is what it says
    assert len(checks) == 21
    assert {c["precision"] for c in checks} == {"fp32", "int8"}
    assert not [c for c in checks if not c["held"]]
    assert result.code == 0


def test_verifying_what_is_not_here_is_an_error(call: Callable[..., Called]) -> None:
    result = call("devices", "--verify", "--device", "fake:absent")
    assert (result.code, "none of fake:absent is available" in result.err) == (2, True)


OWN = """
from paretomark.devices import _kitchen, fake

FORMAT = "npz"
VARIANTS = ("hot", "cold")


def device(variant):
    return fake.device(_kitchen.BEHAVIOUR[variant])
"""
ENGINE = 'BEHAVIOUR = {"hot": "ok", "cold": "overwrites"}\n'


def test_a_device_of_ones_own_passes_the_same_checks_or_fails_them(
    plugin: Callable[[str, str], Path], call: Callable[..., Called]
) -> None:
    plugin("devices/_kitchen.py", ENGINE)
    plugin("devices/toaster.py", OWN)
    checks = json.loads(call("devices", "--verify", "--device", "toaster:hot", "--json").out)
    assert len(checks) == 10
    assert not [c for c in checks if not c["held"] and c["check"] not in ("linear", "first")]
    result = call("devices", "--verify", "--device", "toaster:cold", "--json")
    assert "own_memory" in {c["check"] for c in json.loads(result.out) if not c["held"]}
    assert result.code == 1


def test_the_code_of_a_device_of_ones_own_is_one_of_its_versions(
    plugin: Callable[[str, str], Path], call: Callable[..., Called]
) -> None:
    def versions(*targets: str) -> list[dict[str, str]]:
        result = call("devices", *[f"--device={target}" for target in targets], "--json")
        return [probe["versions"] for probe in json.loads(result.out).values()]

    engine = plugin("devices/_kitchen.py", ENGINE)
    plugin("devices/toaster.py", OWN)
    own, fakes = versions("toaster:hot", "fake:ok")
    code = own.pop("plug-in toaster")
    assert len(code) == 12
    assert own == fakes
    engine.write_text(ENGINE + "# but a comment\n")
    assert versions("toaster:hot")[0]["plug-in toaster"] == code
    engine.write_text(ENGINE + "MORE = 1\n")
    assert versions("toaster:hot")[0]["plug-in toaster"] != code
