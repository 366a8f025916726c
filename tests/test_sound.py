"""Nets of the user's own: which are taken as they are, which are put right, and which refused."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.models.nets import _libraries, _load, _structure
from paretomark.models.nets._load import Net
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import RANDOM, Model, Preprocess
from paretomark.tests import _drawn

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

PREPROCESS = Preprocess((8, 8), (127.0,) * 3, (64.0,) * 3)
HEAD = """
import collections, dataclasses
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 4)
    def features(self, x):
        return torch.relu(self.last(torch.relu(self.conv(x)))).mean((2, 3))
    def forward(self, x):
        return self.head(self.features(x))
"""


def load(folder: Path, code: str, net: str = "make", output: str = "", weights: str = "") -> Net:
    file = folder / "net.py"
    file.write_text(HEAD + code)
    return _load.load(
        Model(net=f"python:{file}:{net}", preprocess=PREPROCESS, output=output, weights=weights), 0
    )


def made(base: str, forward: str, init: str = "") -> str:
    """Code of a net that forwards so."""
    return (
        f"class Own({base}):\n    def __init__(self):\n        super().__init__()\n        {init}\n"
        f"    def forward(self, x):\n        {forward}\ndef make():\n    return Own()\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        "nn.utils.weight_norm(net.last)",
        "nn.utils.spectral_norm(net.last)",
        "parametrizations.weight_norm(net.last)",
        "parametrizations.spectral_norm(net.last)",
        "parametrizations.orthogonal(net.head)",
        "prune.l1_unstructured(net.last, 'weight', 0.3)",
    ],
)
@pytest.mark.parametrize("weights", ["", RANDOM])
def test_weights_computed_before_use_are_plain_so_that_steps_reach_them(
    tmp_path: Path, change: str, weights: str
) -> None:
    code = f"def make():\n    net = Base()\n    {change}\n    return net\n"
    net = load(tmp_path, code, weights=weights)
    layer = net.module.head if "head" in change else net.module.last
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert isinstance(layer._parameters["weight"], nn.Parameter)
    assert not net.warnings
    pruned = _step.apply(
        net.module,
        {"method": "magnitude", "sparsity": 0.9},
        _step.Context("noise", PREPROCESS, 0),
    )
    assert _drawn.off(net.module, pruned, torch.randn(2, 3, 8, 8)) > 1e-2
    assert _drawn.off(net.module, copy.deepcopy(net.module), torch.randn(2, 3, 8, 8)) == 0
    if not weights:
        torch.manual_seed(0)
        namespace: dict[str, object] = {}
        exec(HEAD + code, namespace)
        before = namespace["make"]().eval()  # type: ignore[operator]
        assert _drawn.off(before, net.module, torch.randn(2, 3, 8, 8)) < 1e-5


def test_weights_that_cannot_be_made_plain_are_refused(tmp_path: Path) -> None:
    code = (
        "class Twice(nn.Module):\n    def forward(self, w):\n        return 2 * w\n"
        "def make():\n    net = Base()\n    net.last = nn.Conv2d(8, 8, 3)\n"
        "    net.more = nn.Conv2d(8, 8, 3)\n    net.more.weight = net.last.weight\n"
        "    for layer in (net.last, net.more):\n"
        "        parametrize.register_parametrization(layer, 'weight', Twice())\n"
        "    last = lambda x: net.more(F.pad(net.last(net.conv(x)), (1,) * 4))\n"
        "    net.features = lambda x: last(x).mean((2, 3))\n"
        "    return net\n"
    )
    with pytest.raises(UserError, match="cannot be replaced by their values"):
        load(tmp_path, code)


def test_other_hooks_before_a_layer_are_told(tmp_path: Path) -> None:
    code = (
        "def reset(layer, x):\n    layer.weight.data.fill_(1)\n"
        "def make():\n    net = Base()\n    net.last.register_forward_pre_hook(reset)\n"
        "    return net\n"
    )
    (warning,) = load(tmp_path, code).warnings
    assert warning.startswith("last has a hook that runs before it, reset")


@pytest.mark.parametrize(
    ("value", "where"),
    [("nan", "last.weight"), ("inf", "head.bias"), ("-inf", "conv.weight")],
)
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: str, where: str) -> None:
    code = (
        "def make():\n    net = Base()\n    with torch.no_grad():\n"
        f"        net.get_parameter('{where}').flatten()[0] = float('{value}')\n    return net\n"
    )
    with pytest.raises(UserError, match=f"1 of the .* numbers of {where} are NaN or infinite"):
        load(tmp_path, code)


def test_statistics_that_are_no_numbers_are_refused_and_masks_are_not(tmp_path: Path) -> None:
    mask = "self.register_buffer('mask', torch.tensor([0.0, -torch.inf]))"
    load(tmp_path, made("Base", "return super().forward(x)", mask))
    (tmp_path / "b").mkdir()
    norm = "self.norm = nn.BatchNorm1d(4); self.norm.running_var[1] = torch.inf"
    with pytest.raises(UserError, match="running_var are NaN or infinite"):
        load(tmp_path / "b", made("Base", "return self.norm(super().forward(x))", norm))


@pytest.mark.parametrize(
    ("forward", "init", "why"),
    [
        ("return self.head(F.dropout(self.features(x)))", "pass", "random or stateful"),
        (
            "return super().forward(x + 0.1 * torch.randn_like(x))",
            "self.train = lambda mode: self",
            "random or stateful",
        ),
        (
            "self.seen = getattr(self, 'seen', 0) + x.mean().item(); "
            "return super().forward(x) + self.seen",
            "pass",
            "random or stateful",
        ),
        (
            "self.count.add_(1); return super().forward(x)",
            "self.register_buffer('count', torch.zeros(()))",
            "stateful: a pass changes count",
        ),
        (
            "self.norm.train(); return self.head(self.norm(self.features(x)))",
            "self.norm = nn.BatchNorm1d(8)",
            "stateful: a pass changes norm.running_mean",
        ),
        (
            "return self.head(self.norm(self.features(x)))",
            "self.norm = nn.BatchNorm1d(8, track_running_stats=False)",
            "does not take an input|dependent on the batch",
        ),
        (
            "return self.head(self.features(x - x.mean(0, keepdim=True)))",
            "pass",
            "dependent on the batch",
        ),
        ("return super().forward(x).mean(0)", "pass", "of shape .4,. for 2 pictures"),
    ],
)
def test_answers_that_are_no_function_of_the_picture_are_refused(
    tmp_path: Path, forward: str, init: str, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        load(tmp_path, made("Base", forward, init))


def test_dropout_that_knows_of_evaluation_and_caches_are_taken(tmp_path: Path) -> None:
    cache = "self.cache.copy_(torch.ones(8))"
    forward = f"{cache}; return self.head(F.dropout(self.features(x), training=self.training))"
    load(tmp_path, made("Base", forward, "self.register_buffer('cache', torch.zeros(8))"))


@pytest.mark.parametrize("kind", ["half", "bfloat16", "double"])
def test_other_floats_become_float32_and_it_is_said(tmp_path: Path, kind: str) -> None:
    net = load(tmp_path, f"def make():\n    return Base().{kind}()\n")
    assert {p.dtype for p in net.module.parameters()} == {torch.float32}
    (warning,) = net.warnings
    assert "taken as float32" in warning


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("Base().to('meta')", "conv.weight lies on 'meta': return the net on 'cpu'"),
        ("nn.Sequential(nn.LazyConv2d(4, 3))", "0.weight has no shape yet"),
        ("nn.Sequential(nn.Conv2d(1, 4, 3))", "does not take an input of this size, float32"),
    ],
)
def test_nets_that_cannot_run_here_are_refused(tmp_path: Path, code: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        load(tmp_path, f"def make():\n    return {code}\n")


POINT = (
    "\nPoint = collections.namedtuple('Point', 'score where')\n"
    "@dataclasses.dataclass\nclass Said:\n    logits: object\n    hidden: object = None\n"
)
ONE = "self.head(f)"


@pytest.mark.parametrize(
    ("answer", "output", "warning"),
    [
        (f"collections.OrderedDict(out={ONE})", "", ""),
        (f"dict(any={ONE})", "", ""),
        (f"({ONE},)", "", ""),
        (f"[[{ONE}], None]", "", ""),
        (f"Said({ONE})", "", ""),
        (f"dict(aux=f, out={ONE})", "", "'out' is taken"),
        (f"Said({ONE}, (f,))", "", "'logits' is taken"),
        (f"(f, {ONE})", "1", ""),
        (f"Point(f, {ONE})", "where", ""),
        (f"dict(a=dict(b={ONE}, c=f))", "a.b", ""),
        (ONE, "0", ""),
    ],
)
def test_the_tensor_in_an_answer_is_taken(
    tmp_path: Path, answer: str, output: str, warning: str
) -> None:
    net = load(
        tmp_path, POINT + made("Base", f"f = self.features(x); return {answer}"), output=output
    )
    plain = load(tmp_path, "def make():\n    return Base()\n", "Base")
    assert [w for w in net.warnings if warning and warning in w] == list(net.warnings)
    assert bool(net.warnings) == bool(warning)
    x = torch.randn(2, 3, 8, 8)
    expected: Tensor = plain.module(x)
    file = io.BytesIO()
    torch.save(net.module, file)
    file.seek(0)
    for module in (
        net.module,
        copy.deepcopy(net.module),
        torch.load(file, weights_only=False),
        torch.fx.symbolic_trace(net.module),
        torch.export.export(net.module, (x,)).module(),
        _step.apply(net.module, {"method": "equalize"}, _step.Context("noise", PREPROCESS, 0)),
    ):
        assert torch.allclose(module(x), expected, atol=1e-5)
    assert list(net.module.state_dict()) == list(plain.module.state_dict())


@pytest.mark.parametrize(
    ("answer", "output", "why"),
    [
        (f"({ONE}, f)", "", r"output = .KEY.: '0' \(2, 4\), '1' \(2, 8\)"),
        (f"dict(a={ONE}, b=f)", "", r"'a' \(2, 4\), 'b' \(2, 8\)"),
        (f"dict(out={ONE}, b=f)", "aux", "no output 'aux'; it has 'out'"),
        (ONE, "logits", "answers with one tensor"),
        ("None", "", "holds no tensor"),
        ("{'n': 3}", "", "holds no tensor"),
    ],
)
def test_an_answer_of_which_none_is_meant_is_refused(
    tmp_path: Path, answer: str, output: str, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        load(
            tmp_path, POINT + made("Base", f"f = self.features(x); return {answer}"), output=output
        )


def test_another_output_is_another_net(tmp_path: Path) -> None:
    code = POINT + made("Base", f"f = self.features(x); return ({ONE}, f)")
    nets = [load(tmp_path, code, output=output).module for output in ("0", "1")]
    assert _structure.structure(nets[0]) != _structure.structure(nets[1])


def test_the_default_weights_of_torchvision_have_a_name() -> None:
    assert "DEFAULT" in _libraries.names("torchvision")["resnet18"]
    entry = _libraries.entry("torchvision", "resnet18.DEFAULT", None)
    assert entry.weights == "ResNet18_Weights.IMAGENET1K_V1"
    assert _libraries.entry("timm", "resnet18.a1_in1k", None).weights == "resnet18.a1_in1k"
    for library, net in (("torchvision", "resnet18.DEFALT"), ("timm", "resnet18.a1_in2k")):
        with pytest.raises(UserError, match="did you mean"):
            _libraries.entry(library, net, None)
