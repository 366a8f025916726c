"""What a plug-in must have is looked for before anything runs, and what lacks is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.export import _export
from paretomark.models.nets import _zoo
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SEAMS: dict[str, Sequence[str]] = {
    "nets": _zoo.NEEDS,
    "data": _data.NEEDS,
    "methods": _step.NEEDS,
    "formats": _export.NEEDS,
    "tasks": _task.NEEDS,
}
NET = """
DATA = "digits"
PREPROCESS = ...
def net(): ...
"""
FORMAT = """
PACKAGES = ("torch",)
PRECISIONS = ("fp32",)
def export(net, sample, out): ...
"""
WRONG = {
    "nets/mine.py": {
        NET.replace("DATA", "DATE"): "a net needs DATA; add it",
        NET.replace("PREPROCESS", "SEEN"): "a net needs PREPROCESS; add it",
        NET.replace("net()", "network()"): "a net needs net(); add it",
        NET.replace("net()", "net(width)"): "a net needs net(), and this has net(width)",
        NET.replace("def", "fed"): "is not valid Python",
    },
    "methods/mine.py": {
        "": "a compression method needs apply(net, ctx); add it",
        "def apply(net, *, share): ...": "needs apply(net, ctx), and this has apply(net, *, share)",
        "def apply(net, ctx, share): ...": "and this has apply(net, ctx, share)",
        "import nothing\ndef apply(net, ctx): ...": "No module named 'nothing'",
    },
    "formats/mine.py": {
        FORMAT: "a format needs quantize(model, out, precision, calibration); add it",
    },
    "data/mine.py": {
        "def load(split, count): ...": "a data set needs load(split, count, preprocess, argument)",
        "TASKS = ()\ndef load(split, count, preprocess, argument): ...": "argument, task), and",
    },
    "tasks/mine.py": {"METRIC = 'score'": "a task needs LONG; add it"},
}
SUITE = """
devices = ["fake:ok"]
[model.m]
{model}
[recipe.r]
"""
MODEL = {
    "nets/mine.py": 'net = "mine"',
    "methods/mine.py": 'net = "digits_mlp"',
    "formats/mine.py": 'net = "digits_mlp"',
    "data/mine.py": 'net = "digits_mlp"\ndata = "mine"',
    "tasks/mine.py": 'net = "python:net.py:make"\ntask = "mine"\npreprocess = { size = [8, 8] }',
}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [(file, text, message) for file, texts in WRONG.items() for text, message in texts.items()],
)
def test_a_plug_in_that_lacks_something_is_refused_when_a_suite_is_planned(
    tmp_path: Path,
    plugin: Callable[[str, str], Path],
    call: Callable[..., Called],
    file: str,
    text: str,
    message: str,
) -> None:
    path = plugin(file, text)
    (tmp_path / "net.py").write_text("def make(): ...")
    (tmp_path / "s.toml").write_text(SUITE.format(model=MODEL[file]))
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert result.code == bench.USER_ERROR
    assert f"{path}" in result.err
    assert message in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", SEAMS)
def test_those_of_the_project_have_what_they_must(kind: str) -> None:
    for name in _plugins.names(kind):
        tasks = kind == "data" and _plugins.definition(kind, name, "TASKS")
        _plugins.check(kind, name, _data.NEEDS_OF_TASKS if tasks else SEAMS[kind])


def test_what_is_imported_or_has_defaults_will_do(plugin: Callable[[str, str], Path]) -> None:
    plugin("methods/mine.py", "from paretomark.models.compress.magnitude import apply")
    plugin("methods/ours.py", "def apply(net, ctx, *rest, share=0.5, **more): ...")
    plugin("methods/theirs.py", "def apply(net, ctx, share=0.5): ...")
    for name in ("mine", "ours", "theirs"):
        _plugins.check("methods", name, _step.NEEDS)
    with pytest.raises(UserError, match="needs net"):
        _plugins.check("methods", "mine", ("net()",))
