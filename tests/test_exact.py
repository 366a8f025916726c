"""What says that it is exact is so on nets drawn at random, or refuses: folding, steps, formats.

PARETOMARK_EXAMPLES is how many nets are drawn, for each format a tenth of it.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.models.export import _export, _fold
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests import _drawn

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

EXAMPLES = int(os.environ.get("PARETOMARK_EXAMPLES", "8"))
CTX = _step.Context(
    "noise", Preprocess((_drawn.SIZE, _drawn.SIZE), (127.0,) * 3, (64.0,) * 3), seed=0
)
EXACT: dict[str, dict[str, Any]] = {
    "skip": {"method": "equalize"},
    "clip": {"method": "equalize", "relu6": "clip"},
    "magnitude": {"method": "magnitude", "sparsity": 0.0},
    "cluster": {"method": "cluster", "bits": 8},
    "low_rank": {"method": "low_rank", "energy": 0.9999999},
}


def drawn(count: int) -> Callable[[Any], Any]:
    """Of so many nets, the same in every run."""
    quiet = settings(
        max_examples=max(1, count),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: quiet(given(_drawn.plans())(test))


def simple(net: nn.Module) -> nn.Module:
    """With weights of few values, and of rank 2 where they are matrices, so that these are kept."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1 and parameter[0, 0].numel() == 1 and len(parameter) > 2:
                rows = parameter.view(len(parameter), -1)
                rows.copy_(rows[torch.arange(len(rows)) % 2])
            parameter.copy_((parameter * 32).round().clamp(-32, 32) / 32)
    return net


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@drawn(EXAMPLES)
def test_a_folded_net_answers_as_before(plan: _drawn.Plan) -> None:
    net = _drawn.lively(_drawn.Drawn(plan))
    assert _drawn.off(net, _fold.folded(net, _drawn.pictures(1)), _drawn.pictures(3, 1)) < 1e-4


@pytest.mark.parametrize("step", EXACT)
@drawn(EXAMPLES)
def test_an_exact_step_changes_no_answer(step: str, plan: _drawn.Plan) -> None:
    net = simple(_drawn.lively(_drawn.Drawn(plan)))
    before = copy.deepcopy(net.state_dict())
    try:
        got = _step.apply(net, EXACT[step], CTX)
    except UserError:
        return
    finally:
        assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    assert _drawn.off(net, got, _drawn.pictures(3)) < 1e-4
    assert parameters(got) <= parameters(net) or "equalize" in EXACT[step].values()
    file = io.BytesIO()
    torch.save(got, file)
    file.seek(0)
    kept = torch.load(file, weights_only=False)
    assert _drawn.off(got, kept, _drawn.pictures(1)) == 0
    assert parameters(kept) == parameters(got)


def answers(form: str, file: Path, x: Tensor) -> Tensor:
    """What the runtime of a format says."""
    array = x.numpy()
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        out = session.run(None, {"input": array})[0]
    elif form == "xml":
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": "f32"}
        out = openvino.Core().compile_model(file, "CPU", hints)(array)[0]
    elif form == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(file))
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], array.transpose(0, 2, 3, 1)
        )
        interpreter.invoke()
        out = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    elif form == "pte":
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(file).load_method("forward")
        out = method.execute([x])[0].numpy()
    else:
        out = torch.export.load(file).module()(x).detach().numpy()
    return torch.from_numpy(np.array(out))


@pytest.mark.parametrize("form", ["onnx", "tflite", "pte", "xml", "pt2"])
@drawn(EXAMPLES // 10)
def test_a_file_answers_as_the_net_or_is_refused(
    form: str, tmp_path_factory: pytest.TempPathFactory, plan: _drawn.Plan
) -> None:
    net, x = _drawn.lively(_drawn.Drawn(plan)), _drawn.pictures(1)
    file = tmp_path_factory.mktemp(form) / f"model.{form}"
    try:
        _export.module(form).export(_fold.folded(net, x), x, file)
    except UserError:
        return
    assert float((answers(form, file, x) - net(x)).abs().max() / net(x).std()) < 1e-4


def test_executorch_is_not_believed(tmp_path: Path) -> None:
    """Its fusion of a normalisation goes wrong in a net whose code reads a weight besides."""
    plan = ((("read", 0), ("functional", 5), ("padded", 5)), "mean", 10)
    net, x = _drawn.lively(_drawn.Drawn(plan)), _drawn.pictures(1)
    with pytest.raises(UserError, match="a program of this net that answers otherwise"):
        _export.module("pte").export(_fold.folded(net, x), x, tmp_path / "model.pte")
