"""The Edge TPU of Google Coral, by libedgetpu as a delegate of LiteRT (TensorFlow Lite).

`edgetpu` is the chip. `edgetpu:model` is none: the file is run on the CPU for its answers, and the
latency on a chip at USB 3 is what `_edgetpu_model` predicts.

A file that edgetpu_compiler wrote is run as it is. Another one must be full integer, and is
compiled on each load, so give the compiled file where the time to load matters.

libedgetpu is built against one version of TensorFlow Lite, and with a runtime of another one may
crash (https://github.com/google-coral/edgetpu/issues/812). Therefore tflite-runtime is used where
it is installed: it can be had in the version that fits.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices import _edgetpu_model, _litert_interpreter
from paretomark.devices._device import Arrays, Chip, Device, Placement, Unavailable, require
from paretomark.devices._litert_interpreter import Loaded
from paretomark.devices.formats import _edgetpu_file

FORMAT = "tflite"
VARIANTS = ("", "model")
ALONE = ("",)
PRECISIONS = {variant: ("int8",) for variant in VARIANTS}
NAMES = {"Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
LIBRARY = NAMES.get(platform.system(), "libedgetpu.so.1")
BUSES = {0: "PCIe", 1: "USB"}  # enum edgetpu_device_type
DELEGATE = {"device": ":0"}  # the first of those that are listed


class _Listed(ctypes.Structure):
    """struct edgetpu_device of edgetpu_c.h."""

    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


class _EdgeTPU:
    again = False

    def __init__(self) -> None:
        self._model: Any = None

    def probe(self) -> Chip:
        require("ai-edge-litert", "litert")  # reads the files, even where the other one runs them
        package, _ = _runtime()
        bus, version = _first()
        versions = {package: metadata.version(package), "libedgetpu": version}
        return Chip(f"Edge TPU ({bus})", versions)

    def load(self, model: Path, threads: int) -> Placement:
        _, runtime = _runtime()
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            compiled, operators = _edgetpu_file.prepare(model, Path(folder))
            compile_s = time.perf_counter() - start if compiled != model else None
            interpreter = runtime.Interpreter(
                str(compiled),
                num_threads=threads,
                experimental_delegates=[runtime.load_delegate(LIBRARY, DELEGATE)],
            )
            self._model = Loaded(interpreter)
        return Placement("edgetpu", operators, self._model.inputs, self._model.outputs, compile_s)

    def run(self, inputs: Arrays) -> Arrays:
        outputs: Arrays = self._model.run(inputs)
        return outputs

    def inference_ns(self) -> int:
        """Give what `invoke` took in the last run, the way over the bus included."""
        return int(self._model.inference_ns)


def _runtime() -> tuple[str, Any]:
    """The package that runs the files, and its module."""
    other = importlib.util.find_spec("tflite_runtime") is not None
    package = "tflite-runtime" if other else "ai-edge-litert"
    return package, _litert_interpreter.module(package)


def _first() -> tuple[str, str]:
    """The bus of the first Edge TPU, and the version of libedgetpu. Raise Unavailable."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(
            f"the Edge TPU runtime cannot be loaded: {error}",
            f"install {LIBRARY}: libedgetpu1-std of Coral's packages "
            "(https://coral.ai/software), or a build of https://github.com/google-coral/libedgetpu",
        ) from None
    library.edgetpu_list_devices.restype = ctypes.POINTER(_Listed)
    library.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Listed)]
    library.edgetpu_version.restype = ctypes.c_char_p
    count = ctypes.c_size_t()
    devices = library.edgetpu_list_devices(ctypes.byref(count))
    if not count.value:
        raise Unavailable(
            "no Edge TPU is attached",
            "plug in a Coral USB Accelerator, or a Coral PCIe or M.2 card with its driver, "
            "gasket-dkms (https://github.com/google/gasket-driver)",
        )
    bus = BUSES.get(devices[0].type, "unknown bus")
    library.edgetpu_free_devices(devices)
    return bus, library.edgetpu_version().decode()


def device(variant: str) -> Device:
    """Open the chip; `model`: what is predicted of one."""
    return _edgetpu_model.Modelled() if variant == "model" else _EdgeTPU()
