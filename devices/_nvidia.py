"""NVIDIA GPUs: what they are, by the driver's own library; how they are, by NVML.

The driver's library (libcuda) comes with every driver, Jetson's too; NVML is read through
nvidia-ml-py, without which clock and temperature are unknown. Both number GPUs in another order:
CUDA by speed and after CUDA_VISIBLE_DEVICES, NVML by their place on the bus. An index here is
CUDA's, and NVML is asked for the same place on the bus.

Written to the CUDA driver API and NVML reference; never run on an NVIDIA GPU.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from paretomark.devices._device import State, Unavailable

REMEDY = (
    "use a machine with an NVIDIA GPU and install its driver (nvidia.com/drivers); "
    "start a container with --gpus all"
)
# Why a clock is held down (NVML API reference, nvmlClocksEventReasons). Left out are 0x1, an idle
# GPU, and 0x2, clocks that the user has set: nothing has gone wrong then.
THROTTLES = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x100: "display clock setting",
    0x200: "board limit",
    0x400: "reliability",
}


def chip(index: int = 0) -> tuple[str, dict[str, str]]:
    """Tell the name of a GPU, and versions: `cuda`, the newest that the driver knows, and `driver`.

    The latter needs nvidia-ml-py. Raise Unavailable where there is no driver or no such GPU.
    """
    cuda = _driver()
    device = _gpu(cuda, index)
    name, version = ctypes.create_string_buffer(256), ctypes.c_int()
    _check(cuda, cuda.cuDeviceGetName(name, len(name), device))
    _check(cuda, cuda.cuDriverGetVersion(ctypes.byref(version)))
    versions = {"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}
    with _nvml() as nvml:
        if driver := _ask(nvml, lambda: nvml.nvmlSystemGetDriverVersion()):
            versions["driver"] = driver
    return name.value.decode(), versions


def state(peak_memory_bytes: int | None, index: int = 0) -> State:
    """Tell how a GPU is now: clock of its processors, temperature, and why it is held down.

    What NVML does not tell, on this GPU or for want of nvidia-ml-py, is None or ().
    """
    with _nvml() as nvml:
        gpu = _ask(nvml, lambda: nvml.nvmlDeviceGetHandleByPciBusId(_bus_id(index)))
        if gpu is None:
            return State(peak_memory_bytes=peak_memory_bytes)
        # Newer drivers know two of these by the first name, older ones by the second.
        heat = nvml.NVML_TEMPERATURE_GPU
        return State(
            clock_mhz=_ask(nvml, lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            temperature_c=_ask(
                nvml,
                lambda: nvml.nvmlDeviceGetTemperatureV(gpu, heat),
                lambda: nvml.nvmlDeviceGetTemperature(gpu, heat),
            ),
            throttled=throttles(
                _ask(
                    nvml,
                    lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
                    lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
                )
                or 0
            ),
            peak_memory_bytes=peak_memory_bytes,
        )


@contextmanager
def energy(index: int = 0) -> Iterator[Callable[[], float | None]]:
    """Give what tells how many joules a GPU has used since its driver was loaded; None once it does
    not tell any more. Raise Unavailable where NVML does not say (GPUs before Volta do not).
    """
    with _nvml() as nvml:
        if nvml is None:
            why = "NVML does not answer: there is no NVIDIA driver, or no nvidia-ml-py"
            raise Unavailable(why, f"{REMEDY}; pip install nvidia-ml-py")
        # The order of CUDA is asked of CUDA itself only where there is an order.
        if _ask(nvml, lambda: nvml.nvmlDeviceGetCount()) == 1:
            gpu = _ask(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(0))
        else:
            gpu = _ask(nvml, lambda: nvml.nvmlDeviceGetHandleByPciBusId(_bus_id(index)))

        def joules() -> float | None:
            used_mj = _ask(nvml, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))
            return None if used_mj is None else float(used_mj) / 1e3

        if gpu is None or joules() is None:
            raise Unavailable("this GPU does not count its energy", "GPUs from Volta on do")
        yield joules


def throttles(reasons: int) -> tuple[str, ...]:
    """Say why the clock is held down, by NVML's bit mask; () if nothing holds it."""
    return tuple(words for bit, words in THROTTLES.items() if reasons & bit)


def _driver() -> Any:
    """The driver's library, initialised."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        raise Unavailable("there is no NVIDIA driver on this machine", REMEDY) from None
    _check(cuda, cuda.cuInit(0))
    return cuda


def _gpu(cuda: Any, index: int) -> ctypes.c_int:
    device = ctypes.c_int()
    _check(cuda, cuda.cuDeviceGet(ctypes.byref(device), index))
    return device


def _bus_id(index: int) -> str:
    """Where a GPU of CUDA's sits on the bus, as 0000:3b:00.0."""
    cuda = _driver()
    place = ctypes.create_string_buffer(32)
    _check(cuda, cuda.cuDeviceGetPCIBusId(place, len(place), _gpu(cuda, index)))
    return place.value.decode()


def _check(cuda: Any, status: int) -> None:
    """Raise Unavailable, with the driver's own words, for a status that is not success."""
    if status:
        words = ctypes.c_char_p()
        cuda.cuGetErrorString(status, ctypes.byref(words))
        why = (words.value or b"unknown error").decode()
        raise Unavailable(f"the NVIDIA driver reports error {status}: {why}", REMEDY)


@contextmanager
def _nvml() -> Iterator[Any]:
    """nvidia-ml-py, initialised; None if it is not installed, or finds no driver."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        nvml = None
    if nvml is None or not _ask(nvml, lambda: nvml.nvmlInit() or True):
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _ask(nvml: Any, *questions: Callable[[], Any]) -> Any:
    """NVML's answer to the first question that it knows here; None if to none, or without NVML."""
    for question in questions if nvml is not None else ():
        try:
            return question()
        except (nvml.NVMLError, AttributeError):  # the driver, or nvidia-ml-py, does not know it
            continue
    return None
