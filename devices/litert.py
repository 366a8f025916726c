"""LiteRT (TensorFlow Lite): ai-edge-litert, or tflite-runtime where only that is installed."""

from __future__ import annotations

from paretomark.devices import _emulated, _litert_accelerator, _litert_interpreter
from paretomark.devices._device import Device

FORMAT = "tflite"
VARIANTS = ("xnnpack", "reference", "xnnpack@aarch64", "gpu", "npu")
ALONE = ("gpu", "npu")


def device(variant: str) -> Device:
    """Open a variant.

    `xnnpack`: with the delegate that the runtime applies by itself; `reference`: without any;
    `xnnpack@aarch64`: the former, for Arm, in an emulator; `gpu`, `npu`: all of it there.
    """
    if variant in ("gpu", "npu"):
        return _litert_accelerator.Compiled(variant)
    if variant == "xnnpack@aarch64":
        return _emulated.Emulated()
    return _litert_interpreter.Cpu("builtin" if variant == "reference" else variant)
