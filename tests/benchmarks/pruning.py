#!/usr/bin/env python3
"""What each way to prune costs in accuracy: ResNet-20 on CIFAR-10, by sparsity.

Needs real pictures and weights: PARETOMARK_DATA is the folder that has them. Prints top-1 on the
1,000 test pictures, and the paired difference with its 95 % interval to the dense net and to
pruning at once. What trains learns from a ResNet-32 on the few pictures of the train split, all
by the same settings. `zeros` is the share in the layers that pruning may touch.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from paretomark.models.compress import _budgets, _step
from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.models.nets import resnet20_cifar
from paretomark.suites.records._stats import paired_difference

ROOT = Path(os.environ.get("PARETOMARK_DATA", "."))
CONTEXT = _step.Context(f"npz:{ROOT}/cifar10_small.npz", resnet20_cifar.PREPROCESS, 0)
SPARSITIES = [0.5, 0.7, 0.8, 0.9]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--weight", type=float, default=0.7, help="of the teacher, 0 to 1")
    parser.add_argument("--frozen-norm", action="store_true", help="keep the statistics")
    parser.add_argument("--augment", nargs="*", default=["crop", "flip"])
    parser.add_argument("--sparsity", nargs="*", type=float, default=SPARSITIES)
    parser.add_argument("--only", nargs="*", help="ways to prune, as they are printed")
    given = parser.parse_args()
    training = {
        "epochs": given.epochs,
        "lr": given.lr,
        "augment": given.augment,
        "frozen_norm": given.frozen_norm,
        "teacher": "resnet32_cifar",
        "teacher_weights": str(ROOT / "weights" / "resnet32_cifar10.safetensors"),
        "weight": given.weight,
    }
    test = _data.load(CONTEXT.data, "test", None, CONTEXT.preprocess)
    dense = resnet20_cifar.net().eval()
    dense.load_state_dict(load_file(ROOT / "weights" / "resnet20_cifar10.safetensors"))
    known = outcomes(dense, test)
    print(f"dense: {100 * known.count('1') / len(known):.1f} %; {training}", flush=True)
    for sparsity in given.sparsity:
        at_once = ""
        for name, steps in ways(sparsity, training).items():
            if given.only and name not in given.only and name != "one-shot":
                continue
            start, net = time.monotonic(), dense
            for step in steps:
                net = _step.apply(net, step, CONTEXT)
            right = outcomes(net, test)
            at_once = at_once or right
            print(
                f"{sparsity:.0%} {name:18} {100 * right.count('1') / len(right):5.1f} % "
                f" zeros {100 * zeros(net):4.1f} %  to dense {against(known, right)}"
                f"  to one-shot {against(at_once, right)}  {time.monotonic() - start:.0f} s",
                flush=True,
            )
    return 0


def ways(sparsity: float, training: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The steps of each way to prune, by name; 2:4 only has one sparsity."""
    finetune = {"method": "finetune", **training}
    at_once = {"method": "magnitude", "sparsity": sparsity}
    block = {"method": "block", "sparsity": sparsity, "shape": "4x1"}
    found = {
        "one-shot": [at_once],
        "one-shot erk": [at_once | {"scope": "erk"}],
        "finetuned": [at_once, finetune],
        "gradual": [{"method": "gradual", "sparsity": sparsity, **training}],
        "rigl": [{"method": "rigl", "sparsity": sparsity, **training}],
        "4x1": [block],
        "4x1 finetuned": [block, finetune],
    }
    if sparsity == 0.5:
        found |= {"2:4": [{"method": "n_m"}], "2:4 finetuned": [{"method": "n_m"}, finetune]}
    return found


def outcomes(net: nn.Module, test: Examples) -> str:
    """For each picture, in order, 1 if the net is right and 0 if not."""
    pixels = torch.from_numpy(_data.normalise(CONTEXT.preprocess, test.images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        answers = torch.cat([net(part).argmax(1) for part in torch.split(pixels, 250)])
    return "".join(str(int(right)) for right in answers == torch.from_numpy(test.labels))


def zeros(net: nn.Module) -> float:
    weights = [layer.weight for layer in _budgets.prunable(net).values()]
    return 1 - sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def against(a: str, b: str) -> str:
    difference = paired_difference(a, b)
    assert difference is not None
    value, low, high = (100 * v for v in difference[:3])
    return f"{value:+5.1f} [{low:+5.1f}, {high:+5.1f}]"


if __name__ == "__main__":
    sys.exit(main())
