"""The families of the zoo: counts against published ones, the list, and what works where."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from paretomark.devices import _device
from paretomark.devices.measure import _zoo_check
from paretomark.models.build import _artifact, _build, _facts
from paretomark.models.nets import _families
from paretomark.reports import models
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

FAMILIES = [
    *("SqueezeNet", "AlexNet", "VGG", "Inception V1", "Inception V3", "Inception V4"),
    *("Inception-ResNet V2", "ResNet", "MobileNet V1", "MobileNet V2", "MobileNet V3"),
    *("MobileNet V4", "MnasNet", "ShuffleNet V1", "ShuffleNet V2", "EfficientNet"),
    *("EfficientNet-Lite", "EfficientNet-EdgeTPU", "RepVGG", "MobileOne", "ViT", "Swin", "PVT v2"),
    *("PoolFormer", "EfficientFormer", "EfficientFormer V2", "FastViT", "MobileViT"),
]


def test_every_family_is_there_and_has_a_net_for_the_check() -> None:
    rows = _families.entries()
    assert list(dict.fromkeys(row.family for row in rows)) == FAMILIES
    assert {row.family for row in rows if row.check} == set(FAMILIES)
    assert len({row.net for row in rows}) == len(rows)
    for row in rows:
        assert bool(row.counts) == bool(row.parameters or row.macs), row.net
        assert bool(row.accuracy) == bool(row.top1), row.net


SMALL = (
    "squeezenet1_0", "resnet20_cifar", "timm:resnet18", "timm:mobilenetv1_100@128",
    "timm:mobilenetv2_050", "timm:mobilenetv3_small_100", "shufflenet_v1_0_5",
    "torchvision:shufflenet_v2_x1_0", "timm:efficientnet_es", "timm:mobileone_s0",
    "timm:deit_small_patch16_224",
)  # fmt: skip


@pytest.fixture(scope="module")
def small() -> dict[str, models.Listed]:
    return {row.published.net: row for row in models.listed(SMALL)}


@pytest.mark.build
@pytest.mark.parametrize("net", SMALL)
def test_counts_are_those_that_are_published(small: dict[str, models.Listed], net: str) -> None:
    row = small[net]
    assert row.missing == ""
    offs = [off for off in (row.parameters_off, row.macs_off) if off is not None]
    assert offs
    if not row.published.note:
        assert all(abs(off) <= 0.02 for off in offs), offs
    assert row.agrees


@pytest.mark.build
def test_a_count_that_is_off_without_a_reason_is_found(small: dict[str, models.Listed]) -> None:
    row = small["timm:resnet18"]
    wrong = dataclasses.replace(row.published, parameters=11_000_000.0)
    assert not dataclasses.replace(row, published=wrong).agrees


@pytest.mark.build
@pytest.mark.usefixtures("small")
def test_the_list_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    def never(arguments: object) -> list[str]:
        raise AssertionError(f"asked again for {arguments}")

    monkeypatch.setattr(_facts, "_ask", never)
    result = call("models", "--json", *[f"--model={net}" for net in SMALL[:3]])
    assert result.code == 0
    rows = {row["net"]: row for row in json.loads(result.out)}
    assert rows["timm:resnet18"]["counted"]["parameters"] == 11_689_512
    assert rows["timm:resnet18"]["licence"] == "apache-2.0"
    assert "ResNet" in call("models", "--model", "timm:resnet18").out
    assert call("models", "--model", "resnet").code == 2


def test_without_the_library_the_list_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    def version(package: str) -> str:
        if package == "timm":
            raise metadata.PackageNotFoundError(package)
        return "0"

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(
        UserError, match=r"timm need the package timm; pip install 'paretomark\[zoo"
    ):
        _facts.check("timm:resnet18")
    assert "pip install" in call("models", "--model", "timm:resnet18").out


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[_zoo_check.Checked]]:
    """Tried now, and kept for this file only: an older trial says nothing of the devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETOMARK_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(_zoo_check, "DEVICES", ("pytorch:eager", "onnxruntime:cpu"))
        yield _zoo_check.check(["timm:mobilenetv3_small_050@32"], lambda result: None)


@pytest.mark.build
def test_a_net_is_tried_on_every_runtime(checked: list[_zoo_check.Checked]) -> None:
    assert [result.device for result in checked] == ["pytorch:eager", "onnxruntime:cpu"]
    for result in checked:
        assert result.works, result.reason
        assert result.error is not None
        assert result.error < 1e-4


@pytest.mark.build
def test_what_was_tried_is_kept_and_its_files_are_not(
    checked: list[_zoo_check.Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(_build, "build", never)
    again = _zoo_check.check(["timm:mobilenetv3_small_050@32"], lambda result: None)
    assert again == checked
    order = _zoo_check.build_spec("timm:mobilenetv3_small_050@32", "onnxruntime:cpu")
    assert _artifact.lookup(order) is None


@pytest.mark.build
@pytest.mark.usefixtures("private_cache")
def test_wrong_answers_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zoo_check, "DEVICES", ("fake:ok", "fake:wrong"))
    monkeypatch.setattr(_device, "formats", lambda: {"fake:ok": "npz", "fake:wrong": "npz"})
    good, bad = _zoo_check.check(["digits_mlp"], lambda result: None)
    assert good.works
    assert not bad.works
    page = models.document(models.listed(["digits_mlp"]), [good, bad])
    assert "1 of 2 work." in page
    assert "- `digits_mlp` on fake:wrong: " in page
