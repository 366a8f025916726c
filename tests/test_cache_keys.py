"""What is built anew after a change of the code: all that the change can matter to, and no more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark.models import _sources
from paretomark.models.build import _artifact, _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec import _suite

pytestmark = pytest.mark.slow

PLACES = """
import json, sys
from paretomark.models.build import _artifact, _facts
from paretomark.models.data import _data
from paretomark.models.nets import _zoo
from paretomark.models.build._artifact import BuildSpec
from paretomark.suites.spec._model import RANDOM, Model, Preprocess, Recipe

step = {"method": "rigl", "sparsity": 0.5, "epochs": 1}
recipes = {
    "plain": (),
    "magnitude": ({"method": "magnitude", "sparsity": 0.5},),
    "rigl": (step,),
    "taught": ({"method": "finetune", "teacher": "digits_mlp"},),
}
models = {
    "cnn": Model(net="digits_cnn"),
    "drawn": Model(net="scenes_resnet", weights=RANDOM),
    "own": Model(net=f"python:{sys.argv[1]}/own/net.py:make", preprocess=Preprocess((8, 8))),
}
places = {"known": _facts.file("", ["digits_cnn", _zoo.code("digits_cnn")])}
for name, model in models.items():
    for recipe, steps in recipes.items() if name == "cnn" else [("plain", ())]:
        places[f"{name} {recipe} net"] = _artifact.net(model, steps, 0)
        for form in ("onnx", "xml", "tflite"):
            order = BuildSpec(model, Recipe(steps=steps), form, 1, 100, 0)
            places[f"{name} {recipe} {form}"] = _artifact.folder(order)
for data in ("digits", "noise"):
    preprocess = Preprocess((8, 8))
    places[f"pictures of {data}"] = _artifact.prepared(data, preprocess, 100, "classification")
print(json.dumps({name: str(place) for name, place in places.items()}))
"""
TRAINING = """
from paretomark.models.nets import digits_mlp
from paretomark.models.training import _checkpoint
print(_checkpoint.checkpoint_file("digits_mlp", digits_mlp.TRAIN))
"""
NET = """
from torch import nn
import helper

def make():
    from parts import block
    return nn.Sequential(nn.Flatten(), nn.Linear(192, helper.CLASSES), block.last())
"""
CODE = "CHANGED = 1\n"
COMMENT = "# a comment\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, and with a net of the user's."""
    root, here = tmp_path_factory.mktemp("copy"), Path(__file__).parent.parent
    package = root / "paretomark"
    for folder in ("devices", "models", "reports", "suites"):
        shutil.copytree(here / folder, package / folder, ignore=shutil.ignore_patterns("*.pyc"))
    (package / "__init__.py").touch()
    for name, text in {
        "net.py": NET,
        "helper.py": "CLASSES = 10\n",
        "parts/__init__.py": "",
        "parts/block.py": "from .deep import last\n",
        "parts/deep.py": "from torch.nn import Identity as last\n",
        "other.py": "",
    }.items():
        (root / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "own" / name).write_text(text)
    return root


def run(root: Path, program: str) -> str:
    """What a program prints that imports the copy."""
    return subprocess.run(
        [sys.executable, "-P", "-B", "-c", program, str(root)],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def before(root: Path) -> dict[str, str]:
    places: dict[str, str] = json.loads(run(root, PLACES))
    assert len(set(places.values())) == len(places)
    return places


def changed(root: Path, before: dict[str, str], file: str, text: str) -> set[str]:
    """What has another place once the file has this text."""
    path = root / file
    kept = path.read_text()
    path.write_text(text)
    try:
        after = json.loads(run(root, PLACES))
    finally:
        path.write_text(kept)
    return {name for name, place in after.items() if place != before[name]}


@pytest.mark.parametrize(
    "file",
    [
        "paretomark/models/nets/_families.csv",
        "paretomark/models/build/_child.py",
        "paretomark/models/nets/digits_cnn.py",
        "paretomark/models/compress/_step.py",
        "paretomark/models/data/digits.py",
        "paretomark/models/export/onnx.py",
        "own/helper.py",
    ],
)
def test_a_comment_changes_nothing(root: Path, before: dict[str, str], file: str) -> None:
    assert changed(root, before, file, (root / file).read_text() + COMMENT) == set()


def test_neither_do_docstrings_formatting_and_what_is_for_type_checkers(
    root: Path, before: dict[str, str]
) -> None:
    file = "paretomark/models/compress/_step.py"
    text = (root / file).read_text()
    for old, new in (
        ('    """Apply one step of a recipe."""\n', ""),
        ("    from torch import nn\n", "    from torch import fx, nn\n"),
        ('k != "method"', "k  !=  'method'"),
    ):
        assert old in text
        text = text.replace(old, new)
    assert changed(root, before, file, text) == set()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("models/export/onnx.py", ["onnx", "xml"]),  # the latter calls the former
        ("models/export/xml.py", ["xml"]),
        ("models/export/_zero_padding.py", ["tflite"]),
        ("models/export/pte.py", []),
        ("models/compress/rigl.py", ["rigl"]),
        ("models/compress/_budgets.py", ["rigl", "magnitude"]),
        ("models/compress/reparameterize.py", ["known"]),
        ("models/training/_augment.py", ["rigl", "taught"]),  # imported in a function
        ("models/nets/digits_mlp.py", ["taught"]),  # its teacher
        ("models/nets/digits_cnn.py", ["cnn", "known"]),
        ("models/data/noise.py", ["drawn", "own", "noise"]),
        ("models/build/_build.py", []),
        ("models/build/_child.py", ["onnx", "xml", "tflite"]),
        ("models/compress/_step.py", ["onnx", "xml", "tflite", "net", "known"]),
        ("suites/tasks/classification.py", ["magnitude", "rigl", "taught"]),  # it has the loss
        ("suites/spec/_suite.py", []),
        ("suites/records/_record.py", []),
    ],
)
def test_code_changes_what_it_makes(
    root: Path, before: dict[str, str], file: str, words: list[str]
) -> None:
    text = (root / "paretomark" / file).read_text() + CODE
    moved = changed(root, before, f"paretomark/{file}", text)
    assert moved == {name for name in before if set(words) & set(name.split())}


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("net.py", True),
        ("helper.py", True),
        ("parts/__init__.py", True),
        ("parts/deep.py", True),
        ("other.py", False),
    ],
)
def test_a_net_of_the_user_changes_with_what_it_imports(
    root: Path, before: dict[str, str], file: str, matters: bool
) -> None:
    moved = changed(root, before, f"own/{file}", (root / "own" / file).read_text() + CODE)
    assert moved == {name for name in before if matters and name.startswith("own")}


@pytest.mark.build
def test_a_training_goes_on_unless_its_code_changed(root: Path) -> None:
    place = run(root, TRAINING)
    loss = root / "paretomark" / "suites" / "tasks" / "classification.py"
    kept = loss.read_text()
    loss.write_text(kept + COMMENT)
    assert run(root, TRAINING) == place
    loss.write_text(kept + CODE)
    assert run(root, TRAINING) != place
    loss.write_text(kept)


HALVES = """
import copy

def apply(net, ctx, *, share: float = 0.5):
    net = copy.deepcopy(net)
    for parameter in net.parameters():
        parameter.data *= share
    return net
"""
OWN = """
devices = ["fake:ok"]
[model.m]
net = "digits_mlp"
[recipe.r]
steps = [{ method = "halves" }]
"""


@pytest.mark.build
def test_a_method_of_ones_own_is_built_anew_once_its_code_changed(
    plugin: Callable[[str, str], Path], private_cache: Path
) -> None:
    def built(text: str) -> Artifact:
        plugin("methods/halves.py", text)
        _sources.digest.cache_clear()  # a process reads code once
        _sources.read.cache_clear()
        before = _artifact.lookup(spec)
        assert (before is not None) == text.startswith("#")
        made = _build.build([spec], 300, lambda spec, result: None)[_build.key(spec)]
        assert isinstance(made, Artifact), made
        return made

    suite = _suite.parse(OWN, "s", private_cache)
    spec = BuildSpec(suite.model["m"], suite.recipe["r"], "npz", 1, 50, 0)
    halves, commented = built(HALVES), built(f"# by me\n{HALVES}")
    assert commented == halves
    thirds = built(HALVES.replace("parameter.data *=", "parameter.data /="))
    assert thirds.sha256 != halves.sha256
    own = [json.loads(made.lineage)["plug-ins"] for made in (halves, thirds)]
    assert [list(plugins) for plugins in own] == [["methods/halves"]] * 2
    assert own[1]["methods/halves"] == _sources.digest("paretomark.models.compress.halves")[:12]
    assert own[0] != own[1]
