"""An artifact tells how it came to be, and the same recipe makes the same file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec._model import Model, Recipe

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

STEPS = ({"method": "magnitude", "sparsity": 0.5}, {"method": "finetune", "epochs": 1, "count": 64})


def build() -> Artifact:
    order = BuildSpec(
        Model(name="digits_mlp", net="digits_mlp"), Recipe("r", STEPS), "onnx", 1, 50, 3
    )
    built = _build.build([order], 300, lambda _, result: None)[_build.key(order)]
    assert isinstance(built, Artifact)
    return built


@pytest.fixture(scope="module")
def built() -> Artifact:
    return build()


def test_the_same_recipe_twice_makes_the_same_file(built: Artifact, private_cache: Path) -> None:
    again = build()
    assert again.file != built.file
    assert again.sha256 == built.sha256


def test_a_file_does_not_tell_where_it_was_made(built: Artifact) -> None:
    content = Path(built.file).read_bytes()
    assert str(Path(__file__).parent.parent).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("by", ["file", "folder", "digits"])
def test_an_artifact_is_found(by: str, built: Artifact, call: Callable[..., Called]) -> None:
    names = {
        "file": built.file,
        "folder": str(Path(built.file).parent),
        "digits": built.sha256[:8],
    }
    result = call("show", names[by], "--json")
    table = json.loads(result.out)
    assert result.code == 0
    assert table["sha256"] == built.sha256
    assert table["lineage"]["steps"] == list(STEPS)
    assert table["lineage"]["parent"]["net"] == "digits_mlp"
    assert table["lineage"]["seed"] == 3
    assert set(table["lineage"]["versions"]) >= {"torch", "onnx"}


def test_an_artifact_is_told_in_words(built: Artifact, call: Callable[..., Called]) -> None:
    out = call("show", built.file).out
    assert "magnitude(sparsity=0.5) > finetune(epochs=1, count=64)" in out
    assert f"parent       net digits_mlp, weights {'digits_mlp.safetensors'}" in out
    assert "torch 2." in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.onnx", "no artifact 'gone.onnx': give its file"),
        ("abc", "or 6 or more digits"),
        ("0123456789", "no artifact in"),
    ],
)
def test_what_is_not_there_is_an_error(
    name: str, message: str, built: Artifact, call: Callable[..., Called]
) -> None:
    result = call("show", name)
    assert result.code == 2
    assert message in result.err


def test_a_file_from_elsewhere_is_an_error(tmp_path: Path, call: Callable[..., Called]) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"")
    result = call("show", str(tmp_path / "mine.onnx"))
    assert (result.code, "was not built here" in result.err) == (2, True)
