#!/usr/bin/env python3
"""What weights take when their content is made use of, and what that costs in accuracy.

SqueezeNet as published after Deep Compression (Iandola et al., 2016: 0.66 MB at 8 bits, 0.47 MB at
6), encoded as it is and clustered to 6 bits without training. ResNet-20 clustered to 4 bits, and
pruned to 70 % zeros, trained, and clustered to 5 bits with trained centroids; ResNet-32 teaches,
for the pictures to train on are few. Goals: ResNet-20 at most 1/12 of its bytes for at most 1.5
points, and 4 bits alone for at most 1.0 point. Bytes are of all that evaluation reads, statistics
of normalisation as well. Top-1 is that of the decoded net, on the same pictures; the difference is
paired. Needs real pictures and weights: PARETOMARK_DATA is the folder that has them.

    python tests/benchmarks/encoding.py [--epochs 30] [--lr 0.01]
"""

from __future__ import annotations

import argparse
import copy
import lzma
import os
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from paretomark.models.build import _encode
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.nets import resnet20_cifar, squeezenet1_0
from paretomark.suites.records import _stats
from paretomark.suites.spec._model import Preprocess

Step = Mapping[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="of each training; 0: none")
    parser.add_argument("--lr", type=float, default=0.01)
    arguments = parser.parse_args()
    root = Path(os.environ.get("PARETOMARK_DATA", "."))
    tuning = {
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "augment": ["crop", "flip"],
        "teacher": "resnet32_cifar",
        "teacher_weights": str(root / "weights" / "resnet32_cifar10.safetensors"),
        "weight": 0.9,
    }
    train: list[Step] = [{"method": "finetune", **tuning}] if arguments.epochs else []
    trained = ", trained" if arguments.epochs else ""
    print(
        f"{'':38}{'float32':>9} {'zlib':>9} {'lzma':>9} {'encoded':>9} {'ratio':>6} {'top-1':>7} "
        f"{'points':>7}  95 %             encode, decode"
    )
    table(
        squeezenet1_0,
        root / "weights" / "squeezenet1_0_deep_compressed_imagenet.safetensors",
        f"labels_csv:{root}/imagenet_photos",
        {
            "squeezenet as published": [],
            "squeezenet 6 bits": [{"method": "cluster", "bits": 6, "cluster_first": True}],
        },
    )
    pruned: Step = {"method": "magnitude", "sparsity": 0.7}
    table(
        resnet20_cifar,
        root / "weights" / "resnet20_cifar10.safetensors",
        f"npz:{root}/cifar10_small.npz",
        {
            "resnet20": [],
            "resnet20 4 bits": [{"method": "cluster", "bits": 4}],
            f"resnet20 4 bits{trained}": [{"method": "cluster", "bits": 4, **tuning}],
            f"resnet20 70 % zeros{trained}": [pruned, *train],
            f"resnet20 70 % zeros, 5 bits{trained}": [
                pruned,
                *train,
                {"method": "cluster", "bits": 5, "cluster_first": True, **tuning},
            ],
        },
    )
    return 0


def table(module: Any, weights: Path, data: str, rows: Mapping[str, Sequence[Step]]) -> None:
    """One line for each list of steps; the first is what the others are compared with."""
    net = module.net().eval()
    net.load_state_dict(load_file(weights))
    ctx = _step.Context(data, module.PREPROCESS, seed=0)
    examples = _data.load(data, "test", None, module.PREPROCESS)
    first = ""
    for name, steps in rows.items():
        changed = net
        for step in steps:
            changed = _step.apply(changed, step, ctx)
        tensors = read_at_evaluation(changed)
        raw = b"".join(tensor.tobytes() for tensor in tensors.values())
        start = time.perf_counter()
        encoded = _encode.encode(tensors)
        middle = time.perf_counter()
        decoded = _encode.decode(encoded)
        end = time.perf_counter()
        right = outcomes(restored(changed, decoded), examples, module.PREPROCESS)
        first = first or right
        difference = _stats.paired_difference(first, right)
        assert difference is not None
        sizes = (raw, zlib.compress(raw, 9), lzma.compress(raw), encoded)
        print(
            f"{name:38}"
            + " ".join(f"{len(size):9,}" for size in sizes)
            + f" {len(raw) / len(encoded):6.2f} {right.count('1') / len(right):7.1%}"
            f" {100 * difference.value:+7.1f}"
            f"  {100 * difference.low:+5.1f} .. {100 * difference.high:+5.1f}"
            f"  {middle - start:5.2f} s, {end - middle:5.2f} s",
            flush=True,
        )


def read_at_evaluation(net: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Parameters and statistics; pruning leaves a -0.0 for what was negative, here it is 0.0."""
    return {
        name: tensor.detach().contiguous().numpy() + np.float32(0)
        for name, tensor in net.state_dict().items()
        if tensor.is_floating_point()
    }


def restored(net: nn.Module, tensors: Mapping[str, NDArray[np.float32]]) -> nn.Module:
    net = copy.deepcopy(net)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name in tensors:
                tensor.copy_(torch.from_numpy(tensors[name]))
    return net


def outcomes(net: nn.Module, examples: _data.Examples, preprocess: Preprocess) -> str:
    """'1' for each picture that is answered right, '0' for the others."""
    right: list[bool] = []
    with torch.inference_mode():
        for at in range(0, len(examples.images), 50):
            x = torch.from_numpy(_data.normalise(preprocess, examples.images[at : at + 50]))
            answers = net(x.permute(0, 3, 1, 2)).argmax(1).numpy()
            right += (answers == examples.labels[at : at + 50]).tolist()
    return "".join("01"[answer] for answer in right)


if __name__ == "__main__":
    sys.exit(main())
