"""The adapter of Core ML: what can be known of it off macOS."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from paretomark.devices import _device, coreml
from paretomark.models.export import mlpackage
from paretomark.models.nets import digits_cnn

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

torch = pytest.importorskip("torch")
# The converter warns of a torch that is newer than the one it was tested with.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]
with_tools = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None, reason="coremltools is not installed"
)
off_macos = pytest.mark.skipif(platform.system() == "Darwin", reason="here Core ML runs")

REASON = "Core ML runs on macOS only; here models are converted and compressed but not run"


@off_macos
def test_off_macos_it_says_why_it_is_not_here(call: Callable[..., Called]) -> None:
    result = call("devices", "--device", "coreml:ane")
    words = " ".join(result.out.split())
    assert f"coreml:ane no {REASON}" in words
    with pytest.raises(_device.Unavailable, match=REASON) as caught:
        _device.open_device("coreml:ane").probe()
    assert "macOS 14.4" in caught.value.remedy


@with_tools
@off_macos
@pytest.mark.parametrize(
    ("macos", "why"),
    [("14.3.1", "macOS 14.3.1 does not tell where"), ("15.0", "without its link to Core ML")],
)
def test_what_is_missing_on_a_mac_is_said(
    monkeypatch: pytest.MonkeyPatch, macos: str, why: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: (macos, ("", "", ""), "arm64"))
    with pytest.raises(_device.Unavailable, match=why):
        coreml.device("ane").probe()


@off_macos
def test_a_suite_for_it_alone_is_refused_with_the_reason(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    (tmp_path / "s.toml").write_text(
        'devices = ["coreml:ane"]\n[model.digits_cnn]\n[recipe.fp16]\nprecision = "fp16"\n'
    )
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert result.code == 2
    assert f"no device is available: coreml:ane: {REASON}" in " ".join(result.err.split())


def plan(*kinds: tuple[str, str | None], costs: dict[str, float]) -> Any:
    """A compute plan of one block with a loop in it, on devices of coremltools' own classes.

    `costs` are estimated by the name of the operator; of others nothing is.
    """
    from coremltools.models import compute_device
    from coremltools.models.compute_plan import MLComputePlanCost

    def operation(name: str, kind: str | None, *inner: Any) -> Any:
        on = kind and object.__new__(getattr(compute_device, f"ML{kind}ComputeDevice"))
        usage = SimpleNamespace(preferred_compute_device=on) if on else None
        return SimpleNamespace(operator_name=name, usage=usage, blocks=list(inner))

    inside = SimpleNamespace(operations=[operation(*kind) for kind in kinds])
    block = SimpleNamespace(operations=[operation("ios16.while_loop", "CPU", inside)])
    program = SimpleNamespace(functions={"main": SimpleNamespace(block=block)})
    return SimpleNamespace(
        model_structure=SimpleNamespace(program=program),
        get_compute_device_usage_for_mlprogram_operation=lambda operation: operation.usage,
        get_estimated_cost_for_mlprogram_operation=lambda operation: (
            MLComputePlanCost(costs[operation.operator_name])
            if operation.operator_name in costs
            else None
        ),
    )


@with_tools
@pytest.mark.parametrize(
    ("variant", "costs", "home", "fell_back"),
    [
        ("ane", {}, "ane", False),
        ("gpu", {}, "gpu", True),
        ("cpu", {}, "cpu", True),
        ("all", {}, "ane", False),
        # three small operators on the Neural Engine, and a large one on the GPU
        ("ane", {"ios16.conv": 0.1, "ios16.linear": 0.7}, "ane", True),
        ("gpu", {"ios16.conv": 0.1, "ios16.linear": 0.7}, "gpu", False),
        ("all", {"ios16.conv": 0.1, "ios16.linear": 0.7}, "gpu", False),
    ],
)
def test_the_adapter_around_stand_ins_for_what_only_macos_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    costs: dict[str, float],
    home: str,
    fell_back: bool,
) -> None:
    """Shows that names exist in coremltools and fit together, not what Core ML does."""
    import coremltools as ct
    from coremltools.models import compute_plan

    asked = []

    class Compiled:
        def __init__(self, path: str, compute_units: Any) -> None:
            asked.append((Path(path).name, compute_units))

        def predict(self, data: Any) -> Any:
            return {"output": data["input"].reshape(1, -1)[:, :10]}

    operators = [("ios16.conv", "NeuralEngine")] * 3 + [("ios16.linear", "GPU")]
    unplaced = [("const", None), ("ios16.constexpr_affine_dequantize", None), ("ios16.relu", None)]
    found = plan(*operators, *unplaced, costs=costs)
    monkeypatch.setattr(ct.models.utils, "compile_model", lambda model, out: out)
    monkeypatch.setattr(ct.models, "CompiledMLModel", Compiled)
    monkeypatch.setattr(
        compute_plan.MLComputePlan, "load_from_path", lambda path, compute_units: found
    )
    package = tmp_path / "model.mlpackage"
    mlpackage.export(digits_cnn.net().eval(), torch.zeros(1, 1, 8, 8), package)
    device = coreml.device(variant)
    placement = device.load(package, 1)
    assert placement.operators == {"cpu": 1, "ane": 3, "gpu": 1, "unknown": 1}
    assert (placement.home, placement.fell_back) == (home, fell_back)
    assert placement.costs == (pytest.approx({"ane": 0.3, "gpu": 0.7}) if costs else {})
    assert asked == [("model.mlmodelc", ct.ComputeUnit[coreml.ALLOWED[variant]])]
    assert placement.inputs == [_device.Port("input", (1, 1, 8, 8), "float32")]
    assert placement.outputs == [_device.Port("output", (1, 10), "float32")]
    (answer,) = device.run([np.ones((1, 1, 8, 8), np.float32)])
    assert answer.shape == (1, 10)
