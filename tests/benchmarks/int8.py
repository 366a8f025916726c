#!/usr/bin/env python3
"""What int8 costs, and what preparing the weights for it gets back, by runtime and net.

Every recipe is built and run as `bench.py run` does it, so the accuracy is that of the file on the
runtime. Prints top-1 and the paired difference, with its 95 % interval, to the float file on the
same runtime. The nets of `scenes` come with the project; for the others PARETOMARK_DATA is the
folder of real pictures and weights. Of the photos there is a test split only: the quantizers and
the steps see the same photos without labels, and nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from paretomark.devices.measure import _collect, _work
from paretomark.devices.measure._request import RunRequest
from paretomark.suites.records._record import Record
from paretomark.suites.records._stats import paired_difference

DEVICES = ["onnxruntime:cpu", "litert:xnnpack", "openvino:cpu"]
ROOT = os.environ.get("PARETOMARK_DATA", "")
WEIGHTS, TEACHER = f"{ROOT}/weights", "resnet32_cifar10.safetensors"
FILES = {
    "mobilenet_v1_0_25": ("mobilenetv1_0.25_imagenet", f"labels_csv:{ROOT}/imagenet_photos"),
    "resnet20_cifar": ("resnet20_cifar10", f"npz:{ROOT}/cifar10_small.npz"),
}
SCENES = ["scenes_mobilenet", "scenes_resnet", "scenes_repvgg"]
Step = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    nets = [*SCENES, *(FILES if ROOT else ())]
    parser.add_argument("--model", nargs="*", default=nets, choices=nets)
    parser.add_argument("--device", nargs="*", default=DEVICES)
    parser.add_argument("--recipe", nargs="*", default=[], help="only these, and float")
    parser.add_argument("--examples", type=int, default=1000)
    given = parser.parse_args()
    print(f"{'net':18} {'recipe':34} {'device':16} top-1   to float, in points [95 % interval]")
    for model in given.model:
        recipes = {
            name: recipe
            for name, recipe in recipes_of(model).items()
            if name == "fp32" or not given.recipe or name in given.recipe
        }
        with tempfile.TemporaryDirectory() as folder:
            text = suite(model, recipes, given.device, given.examples)
            request = RunRequest(text, "int8", folder)
            run = _collect.start(request, Path(folder) / "run", _work.Progress())
        for device in given.device:
            found = {r.recipe: r for r in run.records if r.device == device}
            for name in recipes:
                print(f"{model:18} {name:34} {device:16} {line(found['fp32'], found[name])}")
        sys.stdout.flush()
    return 0


def recipes_of(model: str) -> dict[str, tuple[str, list[Step]]]:
    """The precision and the steps of each recipe of a net, by name."""
    photos = model == "mobilenet_v1_0_25"
    calibrated: Step = {"split": "test"} if photos else {}
    first: list[Step] = [{"method": "reparameterize"}] if model == "scenes_repvgg" else []
    equalize: Step = {"method": "equalize"} | ({"relu6": "clip"} if photos else {})
    correct: Step = {"method": "bias_correction", **calibrated}
    adaround: Step = {"method": "rounding", **calibrated}
    qat: Step = {"method": "qat", "epochs": 2}
    if model == "resnet20_cifar":
        taught = {"teacher": "resnet32_cifar", "teacher_weights": f"{WEIGHTS}/{TEACHER}"}
        qat |= {"augment": ["crop", "flip"], **taught}
    ways: dict[str, list[Step]] = {
        "int8": [],
        "int8 equalize": [equalize],
        "int8 bias_correction": [correct],
        "int8 rounding": [adaround],
        "int8 rounding, bias_correction": [adaround, correct],
        "int8 equalize, bias_correction": [equalize, correct],
    }
    if photos:
        ways["int8 equalize as ReLU"] = [{"method": "equalize", "relu6": "relu"}]
    else:
        ways["int8 qat"] = [qat]
    floats = {"fp32": ("fp32", first), "fp16": ("fp16", first)}
    return floats | {name: ("int8", first + steps) for name, steps in ways.items()}


def suite(
    model: str, recipes: dict[str, tuple[str, list[Step]]], devices: list[str], examples: int
) -> str:
    """A suite of one net, as TOML."""
    lines = [f"devices = {json.dumps(devices)}", "blocks = 1", "seconds = 0.02"]
    lines += [f"examples = {examples}", f"[model.{model}]"]
    if model in FILES:
        weights, data = FILES[model]
        lines += [f'weights = "{WEIGHTS}/{weights}.safetensors"', f'data = "{data}"']
        lines += ['calibration = "test"'] if data.startswith("labels_csv") else []
    for name, (precision, steps) in recipes.items():
        tables = (", ".join(f"{k} = {json.dumps(v)}" for k, v in step.items()) for step in steps)
        lines += [f'[recipe."{name}"]', f'precision = "{precision}"']
        lines += ["steps = [" + ", ".join(f"{{ {table} }}" for table in tables) + "]"]
    return "\n".join(lines)


def line(exact: Record, record: Record) -> str:
    """Top-1 in percent, and the difference; or why there is none."""
    if not record.outcomes:
        return f"{record.status}: {record.reason}"
    top1 = f"{100 * record.outcomes.count('1') / len(record.outcomes):5.1f} %"
    difference = paired_difference(exact.outcomes, record.outcomes)
    if difference is None:
        return top1
    value, low, high = (100 * v for v in difference[:3])
    return f"{top1} {value:+5.1f} [{low:+5.1f}, {high:+5.1f}]"


if __name__ == "__main__":
    sys.exit(main())
