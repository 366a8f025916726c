"""The Edge TPU's library as a stub has it: what is missing here is named, and what falls back.

Nothing in here runs on an Edge TPU.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from paretomark.devices import _device, edgetpu, litert
from paretomark.devices._device import Unavailable
from paretomark.tests import _needs
from paretomark.tests.test_edgetpu import DEEPLAB, compiled, fake_compiler, there

# A C library with the functions of libedgetpu that are called, and as many Edge TPUs as COUNT says.
STUB = """
#include <stddef.h>
enum edgetpu_device_type { EDGETPU_APEX_PCI = 0, EDGETPU_APEX_USB = 1 };
struct edgetpu_device { enum edgetpu_device_type type; const char *path; };
static struct edgetpu_device listed[] = {{EDGETPU_APEX_USB, "/sys/a"}, {EDGETPU_APEX_PCI, "/b"}};
struct edgetpu_device *edgetpu_list_devices(size_t *count) {
    *count = COUNT;
    return COUNT ? listed : NULL;
}
void edgetpu_free_devices(struct edgetpu_device *devices) { (void)devices; }
const char *edgetpu_version(void) { return "stub 14"; }

/* A delegate of TensorFlow Lite (TfLiteDelegate) that takes no operator. */
struct delegate { void *data; int (*prepare)(void *, void *); void *unused[3]; long long flags;
                  void *builder; };
static int prepare(void *context, void *self) { (void)context; (void)self; return 0; }
static struct delegate nothing = {0, prepare, {0, 0, 0}, 0, 0};
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                    void (*report)(const char *)) {
    if (COUNT) return &nothing;
    report(count == 1 ? keys[0] : "?");
    report(count == 1 ? values[0] : "?");
    return NULL;
}
void tflite_plugin_destroy_delegate(void *delegate) { (void)delegate; }
"""


def test_the_device_and_its_model_are_targets_for_int8_only() -> None:
    for target in ("edgetpu", "edgetpu:model"):
        assert _device.formats()[target] == "tflite"
        assert _device.precisions(target) == ("int8",)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgetpu, "LIBRARY", "libedgetpu-that-is-not-here.so.1")
    with pytest.raises(Unavailable, match="libedgetpu-that-is-not-here") as caught:
        edgetpu.device("").probe()
    assert "libedgetpu1-std" in caught.value.remedy


def test_an_edge_tpu_that_is_not_attached_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgetpu, "LIBRARY", stub(tmp_path, 0))
    with pytest.raises(Unavailable, match="no Edge TPU is attached") as caught:
        edgetpu.device("").probe()
    assert "plug in" in caught.value.remedy


def test_an_attached_edge_tpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgetpu, "LIBRARY", stub(tmp_path, 2))
    chip = edgetpu.device("").probe()
    assert chip.name == "Edge TPU (USB)"
    assert chip.versions["libedgetpu"] == "stub 14"


def test_an_edge_tpu_that_cannot_be_opened_fails_the_load(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgetpu, "LIBRARY", stub(tmp_path, 0))
    with pytest.raises(ValueError, match=r"Failed to load delegate from (?s:.*)device:0"):
        edgetpu.device("").load(compiled(real_data, DEEPLAB), 1)


def test_a_model_of_which_nothing_is_mapped_is_a_fallback_that_answers(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = there(real_data / "tflite/mobilenet_v1_0.25_128_quant.tflite")
    fake_compiler(tmp_path, monkeypatch, 'cp "$3" "$2/$(basename "$3" .tflite)_edgetpu.tflite"')
    monkeypatch.setattr(edgetpu, "LIBRARY", stub(tmp_path, 1))
    tpu, cpu = edgetpu.device(""), litert.device("xnnpack")
    here, expected = tpu.load(model, 1), cpu.load(model, 1)
    assert (here.home, here.operators) == ("edgetpu", {"edgetpu": 0, "cpu": 31})
    assert here.fell_back
    assert here.compile_s is not None
    assert (here.inputs, here.outputs) == (expected.inputs, expected.outputs)
    image = np.random.default_rng(0).integers(0, 256, here.inputs[0].shape, np.uint8)
    assert (tpu.run([image])[0] == cpu.run([image])[0]).all()


def stub(folder: Path, count: int) -> str:
    """A shared library that lists this many Edge TPUs."""
    compiler = _needs.C_COMPILER.found()
    (folder / "stub.c").write_text(STUB)
    library = folder / "libstub.so"
    flags = ["-shared", "-fPIC", f"-DCOUNT={count}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(folder / "stub.c")], check=True)
    return str(library)
