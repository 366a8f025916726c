"""Energy: what meters tell, recorded or played."""

from __future__ import annotations

import plistlib
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paretomark.devices import _device, _energy, _nvidia
from paretomark.devices._device import Unavailable
from paretomark.devices._energy import Lost
from paretomark.tests._kernel import powercap, use

PACKAGE = ("package-0", 5_000_000, 262_143_328_850)
linux = pytest.mark.skipif(sys.platform == "darwin", reason="RAPL is Linux's")


@pytest.fixture
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A machine with these zones."""

    def make(**zones: tuple[str, int, int | None]) -> Path:
        tree = {
            name.replace("_", ":").replace("rapl", "intel-rapl"): z for name, z in zones.items()
        }
        monkeypatch.setattr(_energy, "POWERCAP", powercap(tmp_path / "powercap", tree))
        return tmp_path / "powercap"

    return make


@linux
def test_rapl_adds_packages_and_memory_and_nothing_twice(zones: Callable[..., Path]) -> None:
    """psys holds the packages, a package its cores; an intel-rapl-mmio zone is the same again."""
    folder = zones(rapl_0=PACKAGE, rapl_1=("package-1", 0, 10**9), rapl_2=("psys", 0, 10**9),
                   rapl_0_0=("core", 0, 10**9), rapl_0_1=("dram", 0, 10**9))  # fmt: skip
    powercap(folder, {"intel-rapl-mmio:0": PACKAGE})
    with _energy.source("host") as source:
        assert source.name == "RAPL: package-0, dram of package-0, package-1"
        assert source.period_s == 0.001
        before = source.joules()
        used = {":0": 9_000_000, ":1": 2_000_000, ":2": 7, ":0:0": 7, ":0:1": 500_000, "-mmio:0": 7}
        for zone, used_uj in used.items():
            use(folder, f"intel-rapl{zone}", used_uj)
        assert source.joules() - before == pytest.approx(4 + 2 + 0.5)


@linux
def test_rapl_that_begins_anew_goes_on_from_its_range(zones: Callable[..., Path]) -> None:
    folder = zones(rapl_0=("package-0", 900_000, 1_000_000))
    with _energy.source("host") as source:
        told = []
        for used_uj in (950_000, 50_000, 60_000, 20_000):
            use(folder, "intel-rapl:0", used_uj)
            told.append(source.joules())
    assert told == pytest.approx([0.05, 0.15, 0.16, 1.12])


@linux
def test_rapl_that_runs_backwards_without_a_range_is_lost(zones: Callable[..., Path]) -> None:
    folder = zones(rapl_0=("package-0", 900_000, None))
    with _energy.source("host") as source:
        use(folder, "intel-rapl:0", 100)
        with pytest.raises(Lost, match="backwards"):
            source.joules()
        (folder / "intel-rapl:0" / "energy_uj").unlink()
        with pytest.raises(Lost, match="cannot be read any more"):
            source.joules()


@linux
def test_rapl_for_root_only_says_how_to_allow_it(
    zones: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Linux 5.10. Root, which may run this test, reads every file: the refusal is played."""
    folder = zones(rapl_0=PACKAGE)
    (folder / "intel-rapl:0" / "energy_uj").chmod(stat.S_IWUSR)
    read = Path.read_text

    def refused(path: Path, *arguments: Any, **more: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(Unavailable, match="only root") as caught, _energy.source("host"):
        pass
    assert "sudo chmod a+r" in caught.value.remedy


@linux
@pytest.mark.parametrize("text", ["", "lots", "-5"])
def test_rapl_that_tells_nonsense_is_no_meter(zones: Callable[..., Path], text: str) -> None:
    folder = zones(rapl_0=PACKAGE)
    (folder / "intel-rapl:0" / "energy_uj").write_text(text)
    with pytest.raises(Unavailable, match="cannot be read"), _energy.source("host"):
        pass


@linux
def test_without_rapl_there_is_no_meter(zones: Callable[..., Path]) -> None:
    zones(rapl_0=("psys", 1, 2))
    with pytest.raises(Unavailable, match="no energy counter"), _energy.source("host"):
        pass


def plist(milliseconds: int, **processor: Any) -> bytes:
    """A sample as powermetrics writes it, without what is not read."""
    told = {"is_delta": True, "elapsed_ns": milliseconds * 1_000_000, "hw_model": "Mac14,9",
            "processor": {"clusters": [{"name": "E-Cluster", "freq_hz": 1e9}], **processor},
            "gpu": {"freq_hz": 444.0, "idle_ratio": 0.99}}  # fmt: skip
    return plistlib.dumps(told)


@pytest.mark.parametrize(
    ("processor", "joules"),
    [
        (
            {"cpu_power": 1500.5, "gpu_power": 250.0, "ane_power": 2000.0, "combined_power": 9},
            0.375,
        ),
        ({"cpu_energy": 150, "gpu_energy": 20, "ane_energy": 5}, 0.175),  # as of macOS 12
        ({"package_watts": 12.5}, 1.25),  # of Intel's
    ],
)
def test_a_sample_of_powermetrics_is_joules(processor: dict[str, Any], joules: float) -> None:
    assert _energy.sample_j(plist(100, **processor)) == pytest.approx(joules, rel=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        b"powermetrics: unrecognized sampler: ane_power",
        plistlib.dumps({"elapsed_ns": 5}),
        plist(100),
        plist(100, cpu_power="many"),
        plist(100, cpu_power=float("nan")),
        plist(100, cpu_power=-3.0),
        plistlib.dumps([1]),
    ],
)
def test_what_is_no_sample_of_powermetrics_is_lost(text: bytes) -> None:
    with pytest.raises(Lost, match="powermetrics"):
        _energy.sample_j(text)


def test_samples_of_powermetrics_are_added_as_they_are_written(tmp_path: Path) -> None:
    whole = [plist(100, cpu_power=1000.0, gpu_power=0.0, ane_power=0.0)] * 3
    written = b"\0".join(whole)
    with (tmp_path / "out").open("w+b") as out:
        samples, told = _energy.Samples(out), []
        for part in (written[:100], written[100 : len(whole[0]) + 5], written[len(whole[0]) + 5 :]):
            out.write(part)
            out.flush()
            told.append(samples.joules())
    assert told == pytest.approx([0.0, 0.1, 0.3])


def test_powermetrics_is_started_read_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in its place, that writes what was recorded."""
    recorded = tmp_path / "recorded"
    recorded.write_bytes(plist(100, cpu_power=2000.0, gpu_power=0.0, ane_power=0.0) + b"\0")
    program = tmp_path / "powermetrics"
    script = f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {recorded} {recorded}\nexec sleep 60\n'
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr(_energy, "POWERMETRICS", program)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    start = time.monotonic()
    with _energy.source("host") as source:
        assert source.joules() == pytest.approx(0.4)
    assert time.monotonic() - start < 30
    assert "--format plist" in (tmp_path / "asked").read_text()
    monkeypatch.setattr("os.geteuid", lambda: 501)
    with pytest.raises(Unavailable, match="only root") as caught, _energy.source("host"):
        pass
    assert "sudo" in caught.value.remedy


class _NvmlError(Exception):
    pass


def nvml(told_mj: list[int | None], gpus: int = 1) -> SimpleNamespace:
    """NVML, whose GPU tells these millijoules one after the other; None: it refuses."""
    asked: list[object] = []

    def total(gpu: object) -> int:
        asked.append(gpu)
        if (value := told_mj.pop(0)) is None:
            raise _NvmlError("Not Supported")
        return value

    return SimpleNamespace(
        NVMLError=_NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: asked.append("shut down"),
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=lambda index: f"gpu {index}",
        nvmlDeviceGetHandleByPciBusId=lambda bus: f"gpu at {bus}",
        nvmlDeviceGetTotalEnergyConsumption=total,
        asked=asked,
    )


def test_nvml_tells_the_joules_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvml([1, 2_000, 3_500, None])
    monkeypatch.setitem(sys.modules, "pynvml", library)
    with _energy.source("nvidia") as source:
        assert [source.joules(), source.joules()] == [2.0, 3.5]
        with pytest.raises(Lost):
            source.joules()
    assert library.asked == ["gpu 0"] * 4 + ["shut down"]


def test_of_several_gpus_it_is_the_first_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvml([1, 2], gpus=4)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(_nvidia, "_bus_id", lambda index: "0000:3b:00.0")
    with _energy.source("nvidia") as source:
        source.joules()
    assert library.asked[:2] == ["gpu at 0000:3b:00.0"] * 2


def test_a_gpu_that_does_not_count_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml([None]))
    with pytest.raises(Unavailable, match="does not count"), _energy.source("nvidia"):
        pass
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Unavailable, match="NVML") as caught, _energy.source("nvidia"):
        pass
    assert "nvidia-ml-py" in caught.value.remedy


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("fake:ok", "host"), ("onnxruntime:cpu", "host"), ("pytorch:cuda", "nvidia"),
        ("tensorrt", "nvidia"), ("onnxruntime:tensorrt", "nvidia"), ("coreml:ane", "host"),
        ("litert:gpu", ""), ("edgetpu", ""),
    ],
)  # fmt: skip
def test_a_target_has_the_meter_of_what_runs_it(target: str, kind: str) -> None:
    assert _device.meter(target) == kind
