"""Engines of TensorRT: built from ONNX, kept in a cache of their own, and looked into.

Nothing is written or read here but below `cache() / "engines"`, which only this user may enter:
an engine is a program. A file there is loaded if its checksum, taken with the key it was built
for, holds; a damaged, renamed or foreign one is built anew. Which kernels an engine has is decided
by timing them while it is built, so two builds may differ in speed: thanks to the cache the
visits of one cell measure the same engine. Delete the folder to have another one built.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paretomark.devices._device import Unavailable
from paretomark.devices.formats import _tensorrt_onnx
from paretomark.models import _cache
from paretomark.suites.spec._errors import UserError

REMEDY = "pip install 'paretomark[tensorrt]', on Linux or Windows with an NVIDIA GPU"
DIGEST_BYTES = 32
# In the key of every engine: change it whenever `_build` or _tensorrt_onnx.py builds otherwise.
RECIPE = "strongly typed, sparse weights, detailed, 1"


def bindings() -> Any:
    """Import TensorRT's Python module. Raise Unavailable if there is none that works."""
    # The second is there without the first where NVIDIA's packages were installed one by one.
    for name in ("tensorrt", "tensorrt_bindings"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise Unavailable(f"TensorRT cannot be imported: {error}", REMEDY) from None
        except (ImportError, OSError) as error:
            raise Unavailable(f"TensorRT is here without its libraries: {error}", REMEDY) from None
    raise Unavailable("the package tensorrt is not installed", REMEDY)


def plan(trt: Any, model: Path, gpu: Mapping[str, str]) -> tuple[bytes, float | None]:
    """Give the serialized engine of an ONNX file for this GPU, and the seconds its building took.

    These are None if it was built before. Raise UserError where others may write into the cache,
    RuntimeError with what TensorRT says where it cannot build.
    """
    parts = {"tensorrt": trt.__version__, "model": _cache.sha256(model), "recipe": RECIPE}
    key = hashlib.sha256(json.dumps({**parts, **gpu}, sort_keys=True).encode()).hexdigest()
    file = _folder() / f"{key}.engine"
    if (kept := _kept(file, key)) is not None:
        return kept, None
    start = time.perf_counter()
    built = _build(trt, model)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        part = Path(folder) / file.name
        part.write_bytes(_digest(key, built) + built)
        part.replace(file)
    return built, seconds


def _folder() -> Path:
    folder = _cache.folder() / "engines"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077):
        raise UserError(
            f"{folder} is open to others, and an engine is a program; "
            "remove the folder, and it is made anew for you alone"
        )
    return folder


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _kept(file: Path, key: str) -> bytes | None:
    """The engine in a file of the cache; None if there is none, or not the one for the key."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    digest, engine = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return engine if digest == _digest(key, engine) else None


def _build(trt: Any, model: Path) -> bytes:
    """Raise RuntimeError with what TensorRT says."""
    graph, precision = _tensorrt_onnx.read(model)
    log = logger(trt)
    builder = trt.Builder(log)
    # TensorRT 11 takes the flag and has no other networks.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT cannot read the file: {'; '.join(errors)}")
    config = builder.create_builder_config()
    # By default TensorRT multiplies float32 in TF32, with 10 of the 23 bits of the mantissa, and
    # a file called fp32 would be measured in another precision.
    if precision == "tf32":
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    # Allows kernels for 2:4 sparsity where weights have it and such a kernel is faster.
    config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise RuntimeError(f"TensorRT cannot build the engine: {'; '.join(log.errors[-3:])}")
    return bytes(built)


def logger(trt: Any) -> Any:
    """Give the logger of this process, which keeps the errors from now on in `errors`."""
    log = _logger(trt)
    log.errors.clear()
    return log


@functools.cache  # TensorRT goes on using the first logger that it was given
def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def layer_times(trt: Any) -> Any:
    """Make a profiler that adds up, in `ms`, the time of each layer by name, in running order."""

    class Times(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.ms: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.ms[layer_name] = self.ms.get(layer_name, 0.0) + ms

    return Times()


def layers(trt: Any, engine: Any) -> list[tuple[str, str]]:
    """List name and kind of each layer, changes of layout included, in order.

    Of what the engine inspector tells, this is the same in TensorRT 10 and 11. A layer of which it
    gives the name alone has the kind "".
    """
    inspector = engine.create_engine_inspector()
    information = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return [
        (layer, "") if isinstance(layer, str) else (layer["Name"], layer.get("LayerType", ""))
        for layer in information["Layers"]
    ]
