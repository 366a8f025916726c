"""Core ML packages (.mlpackage, a folder) through torch.export and coremltools.

Inputs and outputs are float32 at every precision, in NCHW. An ML program computes in the types it
is written in, and the Neural Engine takes float16 only: an fp32 program runs on CPU and GPU
(https://apple.github.io/coremltools/docs-guides/source/typed-execution.html). So fp16 means float16
weights and float16 arithmetic, which is what coremltools writes by itself.

int8-weights   weights int8, symmetric, one scale per output channel, arithmetic float16
int4-weights   the same in int4, for macOS 15 or later

Activations are never int8: to calibrate them, coremltools must run the model, which takes macOS.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "coremltools")
PRECISIONS = ("fp32", "fp16", "int8-weights", "int4-weights")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 package with fixed shapes, and beside it the graph it came from (.pt2).

    coremltools can narrow the arithmetic only while it converts, so `quantize` starts at the graph.
    """
    import torch

    # Of one channel, (N, H, W, C) transposed to (N, C, H, W) counts as contiguous already and keeps
    # its strides, in which coremltools sees another order of dimensions, and refuses the net.
    sample = torch.empty(sample.shape).copy_(sample)
    with torch.no_grad():
        program = torch.export.export(net, (sample,))
    torch.export.save(program, _graph(out))
    _save(_convert(program, "fp32"), out)


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write `model` in another precision. Reads the graph that `export` left beside it.

    The calibration pictures are not used: weights need none.
    """
    import torch

    package = _convert(torch.export.load(_graph(model)), precision)
    if precision.endswith("-weights"):
        from coremltools.optimize import coreml

        # By default weights of up to 2048 numbers stay as they are: most of a small net's.
        scheme = coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype=precision.removesuffix("-weights"),
            granularity="per_channel",
            weight_threshold=0,
        )
        config = coreml.OptimizationConfig(global_config=scheme)
        package = coreml.linear_quantize_weights(package, config)
    _save(package, out)


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, and the zeros among them; integers are symmetric."""
    import coremltools as ct
    from coremltools.optimize import coreml

    from paretomark.models.export import _zeros

    package = ct.models.MLModel(str(model), skip_model_load=True)
    metadata = coreml.get_weights_metadata(package, weight_threshold=0)
    return _zeros.counted(weight.val for weight in metadata.values())


def _graph(model: Path) -> Path:
    return model.with_name("graph.pt2")


def _convert(program: Any, precision: str) -> Any:
    """An ML program for the first macOS to hold such weights per channel: 15 for int4, else 13."""
    import coremltools as ct
    import numpy as np

    (sample,), _ = program.example_inputs
    half, exact = ct.precision.FLOAT16, ct.precision.FLOAT32
    target = ct.target.macOS15 if precision == "int4-weights" else ct.target.macOS13
    # Types are named at both ends: for this target an fp16 program would answer in float16.
    return ct.convert(
        program.run_decompositions({}),
        convert_to="mlprogram",
        inputs=[ct.TensorType(name="input", shape=tuple(sample.shape), dtype=np.float32)],
        outputs=[ct.TensorType(name="output", dtype=np.float32)],
        compute_precision=exact if precision == "fp32" else half,
        minimum_deployment_target=target,
        skip_model_load=True,
    )


def _save(package: Any, out: Path) -> None:
    """Write the package so that the same net gives the same bytes on any day.

    coremltools puts in the date and random identifiers, and leaves the order of maps open. It also
    adds a table for debuggers, which no loader reads and which can be as large as the weights.
    """
    import coremltools as ct

    package.save(str(out))
    (out / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    manifest = json.loads((out / "Manifest.json").read_text())
    root = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    spec = ct.utils.load_spec(str(out))
    spec.description.metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    (out / "Data" / root).write_bytes(spec.SerializeToString(deterministic=True))
    entries = {_identifier(e["path"]): e for e in manifest["itemInfoEntries"].values()}
    manifest |= {"itemInfoEntries": entries, "rootModelIdentifier": _identifier(root)}
    # Whoever opens a package with coremltools writes its manifest anew, sorted and with an end of
    # line: written in the same way here, it stays as it was hashed.
    (out / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")


def _identifier(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, path))
