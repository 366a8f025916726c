"""What tests need beyond the `test` extra: where it is, and how to get it where it is not.

A test asks by a fixture of conftest.py, and is skipped with the remedy where something is missing.
`.ci/install` gets all of it but the real data; `skips.toml` lists what may still be skipped there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from paretomark.devices import _host
from paretomark.devices._device import Device, Unavailable

Adapter = TypeVar("Adapter", bound=Device)
HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A Vulkan driver that computes on the processor; Mesa's may be too old.
SWIFTSHADER = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/usr/share/vulkan/icd.d/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
)


@dataclass(frozen=True)
class Need:
    """Something on the machine: `find` returns where it is, or None."""

    find: Callable[[], Path | None]
    missing: str  # what is said of it where it is not, with the remedy

    def found(self) -> Path:
        """Where it is. Skips the test that asks where it is not."""
        place = self.find()
        if place is None:
            pytest.skip(self.missing)
        return place


def probed(adapter: Adapter) -> Adapter:
    """The adapter, asked for its device. Skips the test that wants it where that is not here."""
    try:
        adapter.probe()
    except Unavailable as error:
        pytest.skip(f"{error}: {error.remedy}")
    return adapter


def exact_int8_products() -> None:
    """Skip the test where ONNX Runtime's products of uint8 and int8 saturate."""
    if platform.machine() in ("x86_64", "AMD64") and not any("vnni" in f for f in _host.features()):
        pytest.skip("no VNNI: ONNX Runtime's int8 saturates on this processor")


def _program(*names: str) -> Path | None:
    path = next(filter(None, map(shutil.which, names)), None)
    return Path(path) if path else None


def _software_vulkan() -> Path | None:
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return None
    return next((p for p in map(Path, SWIFTSHADER) if p.exists()), None)


def _real_data() -> Path | None:
    folder = Path(os.environ.get("PARETOMARK_DATA") or HERE.parent.parent / "shared" / "data")
    return folder.absolute() if (folder / "weights").is_dir() else None


def _axe() -> Path | None:
    """The script that tells who cannot use a page; npm gets it for the first test that asks."""
    folder = Path(os.environ.get("PARETOMARK_TEST_CACHE", "~/.cache/paretomark-tests")).expanduser()
    place = folder / "npm"
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists() and (npm := _program("npm")):
        place.mkdir(parents=True, exist_ok=True)
        quiet = ("--silent", "--no-audit", "--no-fund")
        command = [str(npm), "install", *quiet, "--prefix", str(place), f"axe-core@{AXE_VERSION}"]
        subprocess.run(command, capture_output=True, check=False, timeout=120)
    return script if script.exists() else None


AXE_VERSION = "4.14.1"
AXE = Need(_axe, "no axe-core: install npm, which gets it")
BROWSER = Need(lambda: _program(*BROWSERS), "no browser on PATH: apt-get install chromium")
SOFTWARE_VULKAN = Need(
    _software_vulkan, "no Vulkan loader with SwiftShader: apt-get install libvulkan1 chromium"
)
C_COMPILER = Need(lambda: _program("cc"), "no C compiler on PATH: apt-get install gcc")
REAL_DATA = Need(
    _real_data, "no real data: set PARETOMARK_DATA to the folder with pictures and trained weights"
)
