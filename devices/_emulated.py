"""LiteRT on an AArch64 that QEMU emulates in user mode: right answers, but no speed of any chip.

It is for what x86 cannot show: XNNPACK's sparse inference, which x86 with AVX turns off. Emulated
times say whether a path was taken, and are no latency: every row is marked *emulated*.

    python -m paretomark.devices._emulated      sets it up, on Debian 12 or later

QEMU 7.2 and the sysroot of Debian 12 were used; on other systems it was never run. The memory of
a visit is that of the process that asks, not of the emulated one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from paretomark.devices._device import Arrays, Chip, Placement, State, Unavailable
from paretomark.devices._emulated_guest import receive, send
from paretomark.devices.formats import _tflite
from paretomark.models import _cache
from paretomark.suites.spec._errors import UserError

QEMU = ("qemu-aarch64", "qemu-aarch64-static")
CPU = "cortex-a76"
DEADLINE_S = 120.0  # of an answer
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
# The runtime asks which processor it has, and crashes over the answers of an x86 host. QEMU opens
# what is in the sysroot in place of the host's file of that name.
ANSWERS = {
    "proc/cpuinfo": (
        "processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid"
        " asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        "CPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n"
    ),
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
}


class Emulated:
    """The adapter of `litert:xnnpack@aarch64`. Not thread-safe; one process per loaded model."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._invoke_ns: list[int] = []
        self._shapes: list[tuple[int, ...]] = []

    def probe(self) -> Chip:
        """Raise Unavailable where QEMU or what it runs is missing; nothing is downloaded here."""
        qemu = _qemu()
        try:
            installed = json.loads((sysroot() / "versions.json").read_text())
        except OSError:
            raise Unavailable(
                f"there is no AArch64 system to emulate in {sysroot()}",
                "python -m paretomark.devices._emulated",
            ) from None
        version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
        versions = {"qemu-user": version.stdout.split()[2], **installed}
        return Chip(f"{CPU} (emulated)", versions)

    def load(self, model: Path, threads: int) -> Placement:
        """Start an emulated process that loads the model. Raise RuntimeError where it dies."""
        self.close()
        guest = Path(__file__).with_name("_emulated_guest.py")
        command = [*_python(sysroot()), str(guest), str(model.absolute()), str(threads)]
        pipe = subprocess.PIPE
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log)
        self._invoke_ns = []
        (answer,) = self._receive()
        loaded = json.loads(str(answer))
        self._shapes = [tuple(port["shape"]) for port in loaded["inputs"]]
        return Placement(
            home="xnnpack",
            operators=_tflite.operators_by_unit(loaded["nodes"]),
            inputs=[_tflite.port(port) for port in loaded["inputs"]],
            outputs=[_tflite.port(port) for port in loaded["outputs"]],
            simulated="emulated",
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference. Raise RuntimeError where the emulated process has died or hangs."""
        assert self._process is not None
        assert self._process.stdin is not None
        if shapes := [a.shape for a in inputs if a.shape not in self._shapes]:
            raise ValueError(f"takes inputs of shape {self._shapes}, not {shapes}")
        try:
            send(self._process.stdin, inputs)
        except BrokenPipeError:
            raise RuntimeError(self._death()) from None
        took_ns, *outputs = self._receive()
        self._invoke_ns.append(int(took_ns))
        return outputs

    def phases_ns(self) -> Mapping[str, Sequence[int]]:
        """Give the processor time of each inference in the emulated process, without the pipes."""
        return {"compute": self._invoke_ns}

    def state(self) -> State:
        """Tell nothing: an emulated processor has no clock rate and no temperature."""
        return State()

    def close(self) -> None:
        """End the emulated process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _receive(self) -> Arrays:
        assert self._process is not None
        assert self._process.stdout is not None
        timer = threading.Timer(DEADLINE_S, self._process.kill)
        timer.start()
        try:
            arrays = receive(self._process.stdout)
        finally:
            timer.cancel()
        if arrays is None:
            raise RuntimeError(self._death())
        return arrays

    def _death(self) -> str:
        assert self._process is not None
        assert self._log is not None
        code = self._process.wait()
        self._log.seek(0)
        tail = self._log.read().decode(errors="replace").strip().splitlines() or ["no output"]
        late = f" (an answer may take {DEADLINE_S:g} s)" if code == -9 else ""
        return f"the emulated process ended with {code}{late}: {tail[-1]}"[:500]


def sysroot() -> Path:
    """Name the folder of the AArch64 system."""
    return _cache.folder() / "emulated" / "aarch64"


def _qemu() -> str:
    program = next(filter(None, map(shutil.which, QEMU)), None)
    if program is None:
        raise Unavailable(f"{QEMU[0]} is not on PATH", "apt-get install qemu-user")
    return program


def _python(root: Path) -> list[str]:
    """The command that starts the Python of a system."""
    variables = {
        "PYTHONHOME": root / "usr",
        "PYTHONPATH": root / "site",
        "PYTHONDONTWRITEBYTECODE": 1,
    }
    settings = [part for key, value in variables.items() for part in ("-E", f"{key}={value}")]
    python = (root / "usr/bin/python3").resolve()
    return [_qemu(), "-cpu", CPU, "-L", str(root), *settings, str(python)]


def install() -> None:
    """Download a Debian for AArch64 and the wheels that it needs, into the cache; needs no root.

    Raise UserError where a tool is missing or fails, and Unavailable without QEMU.
    """
    _qemu()
    target = sysroot()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        root, state = Path(name) / "root", Path(name) / "apt"
        for package in _debian(state):
            _call(["dpkg-deb", "-x", str(package), str(root)])
        for path, text in ANSWERS.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        version = (root / "usr/bin/python3").resolve().name.removeprefix("python")
        _call(_pip(root / "site", version))
        ask = "from importlib.metadata import version as v; print(v('ai-edge-litert'))"
        litert = _call([*_python(root), "-c", f"import ai_edge_litert.interpreter; {ask}"])
        (root / "versions.json").write_text(json.dumps({"ai-edge-litert": litert.strip()}))
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)


def _debian(state: Path) -> list[Path]:
    """Packages of Python and all that it needs, by an apt that shares only the list of servers."""
    (state / "lists/partial").mkdir(parents=True)
    (state / "archives/partial").mkdir(parents=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Dir::State": state,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    _call(["apt-get", *options, "update"])
    _call(["apt-get", *options, "--yes", "--download-only", "install", "python3", "libstdc++6"])
    return sorted((state / "archives").glob("*.deb"))


def _pip(site: Path, python: str) -> list[str]:
    """The command that puts the runtime, as new as the one here, and numpy into a folder."""
    try:
        runtime = f"ai-edge-litert=={metadata.version('ai-edge-litert')}"
    except metadata.PackageNotFoundError:
        runtime = "ai-edge-litert"
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--target", site]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *platforms, *map(str, options)]
    return [*pip, runtime, "numpy"]


def _call(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is missing; this set-up needs Debian 12 or later") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"{command[0]} failed with {done.returncode}: {last}"[:500])
    return done.stdout


if __name__ == "__main__":
    try:
        install()
    except (UserError, Unavailable) as error:
        sys.exit(f"error: {error}")
    print(f"litert:xnnpack@aarch64 is set up in {sysroot()}")
