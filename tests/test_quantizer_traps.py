"""What quantizers get wrong of plain nets, and what ranges that are means cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paretomark.models.export import _export
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _needs
from paretomark.tests.test_quantizers import TARGETS, activations, answers, pictures

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("form", TARGETS)
def test_a_padded_max_pooling_of_values_below_zero_is_quantized(form: str, tmp_path: Path) -> None:
    if form == "onnx":
        _needs.exact_int8_products()
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.MaxPool2d(3, 2, 1)).eval()
    with torch.no_grad():
        net[0].bias -= 2
    module, images = _export.module(form), pictures("calibration", 20)
    module.export(net, torch.zeros(1, 1, 8, 8), tmp_path / f"float.{form}")
    module.quantize(tmp_path / f"float.{form}", tmp_path / f"int8.{form}", "int8", images)
    quantized, exact = (
        answers(form, tmp_path / f"int8.{form}", images),
        net(torch.from_numpy(images)),
    )
    assert np.abs(quantized - exact.detach().numpy()).max() < 0.05


def test_openvino_takes_a_zero_point_for_values_of_either_sign(tmp_path: Path) -> None:
    xml = _export.module("xml")
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.Conv2d(8, 4, 1)).eval()
    images = pictures("calibration", 20) - np.float32(0.2)
    xml.export(net, torch.zeros(1, 1, 8, 8), tmp_path / "model.xml")
    centred = {}
    for name in ("symmetric", "asymmetric"):
        file = tmp_path / f"{name}.xml"
        xml.quantize(tmp_path / "model.xml", file, "int8", images, activations=name)
        centred[name] = [abs(low / high + 1) < 0.02 for low, high in activations("xml", file)]
    assert all(centred["symmetric"])
    assert not all(centred["asymmetric"])


def test_mean_ranges_of_nncf_cut_bright_pictures_off(tmp_path: Path) -> None:
    """Pictures of one bright channel each: the mean over them is well below the brightest."""
    import openvino

    form = _export.module("xml")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3),
    ).eval()  # fmt: skip
    x = torch.rand(24, 3, 8, 8) * 0.1
    x[torch.arange(24), torch.arange(24) % 3] += torch.linspace(0.1, 0.9, 24)[:, None, None]
    form.export(net, x[:1], tmp_path / "model.xml")
    expected, off = net(x).detach(), {}
    for ranges in ("mean-minmax", "minmax"):
        file = tmp_path / f"{ranges}.xml"
        form.quantize(tmp_path / "model.xml", file, "int8", x.numpy(), ranges=ranges)
        run = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        said = torch.cat([torch.from_numpy(run(each[None].numpy())[0]) for each in x])
        off[ranges] = float((said - expected).abs().mean() / expected.std())
    assert off["minmax"] < 0.05
    assert off["mean-minmax"] > 3 * off["minmax"]


def test_an_int8_program_of_another_net_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lowering that goes wrong is seen by the answers of the program."""
    pte = _export.module("pte")
    lower, images = pte._lower, pictures("calibration", 20)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5))
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5)).eval()
    with torch.no_grad():
        other[1].bias += 9
    sample = torch.zeros(1, 1, 8, 8)
    pte.export(net.eval(), sample, tmp_path / "model.pte")
    pte.quantize(tmp_path / "model.pte", tmp_path / "int8.pte", "int8", images)
    wrong = torch.export.export(other, (sample,))
    monkeypatch.setattr(pte, "_lower", lambda _, out: lower(wrong, out))
    with pytest.raises(UserError, match="the int8 program answers otherwise than the net"):
        pte.quantize(tmp_path / "model.pte", tmp_path / "int8.pte", "int8", images)
