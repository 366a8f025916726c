"""What is measured of a user's file is what is recorded: all it refers to, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from paretomark import bench
from paretomark.devices.measure import _work
from paretomark.models.build import _artifact, _build, _child, _model_files
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.records import _store
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import AS_IS, Recipe
from paretomark.tests._files import PICTURES, PLAIN, colours, measured, save, suite

pytestmark = pytest.mark.build


def external(folder: Path, sign: float) -> Path:
    """A net whose weights lie in a file beside it."""
    weight = np.zeros((3, 3000), np.float32)
    weight[:, :3] = sign * np.eye(3)
    text = (
        '<ir_version: 8, opset_import: ["": 13]> g (float[1,3,8,8] x) => (float[1,3] y) '
        "<int64[1] s = {0}, int64[1] e = {3}, int64[1] a = {1}> "
        "{ m = ReduceMean<axes=[2,3], keepdims=0>(x) c = Slice(w, s, e, a) y = MatMul(m, c) }"
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    for old in folder.glob("net.onnx*"):
        old.unlink()
    file = folder / "net.onnx"
    onnx.save(model, file, save_as_external_data=True, location="net.onnx.data", size_threshold=99)
    return file


def test_weights_beside_a_file_are_part_of_it(tmp_path: Path) -> None:
    colours(tmp_path / "colours")
    told = []
    for sign in (1.0, -1.0):
        file = external(tmp_path, sign)
        row = measured(tmp_path, suite(tmp_path, [("net", "")]))["net"]
        assert row.artifact_bytes == file.stat().st_size + 36_000
        told.append((row.accuracy, row.sha256, row.identity))
    (good, *before), (bad, *after) = told
    assert (good, bad) == (1.0, 0.0)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_weights_that_are_missing_or_lie_elsewhere_are_named(tmp_path: Path) -> None:
    file = external(tmp_path, 1.0)
    data = tmp_path / "net.onnx.data"
    assert _model_files.parts(file) == [file, data]
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"no file .*net\.onnx\.data"):
        _model_files.parts(file)
    file.write_bytes(file.read_bytes().replace(b"net.onnx.data", b"../../secret!"))
    with pytest.raises(UserError, match="does not lie beside it"):
        _model_files.parts(file)
    for content in (b"", b"<html>404</html>", file.read_bytes()[:-7]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=str(file)):
            _model_files.parts(file)
    xml = tmp_path / "net.xml"
    xml.write_text('<net><layer type="Const"/></net>')
    with pytest.raises(UserError, match=r"net\.bin"):
        _model_files.parts(xml)
    (tmp_path / "net.bin").write_bytes(b"1")
    assert _model_files.parts(xml) == [xml, tmp_path / "net.bin"]


def spec_of(folder: Path) -> BuildSpec:
    model = _suite.parse((folder / "s.toml").read_text(), "s", folder).model["plain"]
    return BuildSpec(model, Recipe(AS_IS, (), AS_IS), "onnx", 1, PICTURES, 0)


def test_what_is_measured_is_what_was_hashed(tmp_path: Path) -> None:
    """Neither a new original nor a changed copy is timed under the old digest."""
    colours(tmp_path / "colours")
    original = tmp_path / "plain.onnx"
    save(original, "float[1,3,8,8] x", "float[1,3] y", PLAIN)
    suite(tmp_path, [("plain", "")])
    spec = spec_of(tmp_path)
    (built,) = _build.build([spec], 60, lambda *_: None).values()
    assert isinstance(built, Artifact)
    save(original, "float[1,3,8,8] x", "float[1,3] y", PLAIN.replace("y =", "m =") + " y = Neg(m)")
    assert _artifact.intact(built)
    assert Path(built.file).read_bytes() != original.read_bytes()
    content = bytearray(Path(built.file).read_bytes())
    content[-3] ^= 1
    Path(built.file).write_bytes(content)
    assert "not what was built any more" in _work.not_intact(built)
    save(original, "float[1,3,8,8] x", "float[1,3] y", PLAIN)
    assert _artifact.lookup(spec) is None
    (again,) = _build.build([spec], 60, lambda *_: None).values()
    assert isinstance(again, Artifact)
    assert (again.sha256, again.file) == (built.sha256, built.file)


def test_a_file_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cache would hold one file under the digest of another."""
    colours(tmp_path / "colours")
    original = tmp_path / "plain.onnx"
    save(original, "float[1,3,8,8] x", "float[1,3] y", PLAIN)
    suite(tmp_path, [("plain", "")])
    spec = spec_of(tmp_path)
    copy = shutil.copyfile

    def late(source: Path, target: Path) -> None:
        copy(source, target)
        target.write_bytes(target.read_bytes() + b"\0")

    monkeypatch.setattr(shutil, "copyfile", late)
    with pytest.raises(UserError, match="was changed while it was read"):
        _child.make(spec)
    monkeypatch.setattr(shutil, "copyfile", copy)
    assert _artifact.lookup(spec) is None


def test_memory_of_scoring_is_not_that_of_the_model(tmp_path: Path) -> None:
    """Answers are scaled to masks of nine million pixels, in the first visit only."""
    for folder in ("images", "masks"):
        (tmp_path / "seg" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 2, (8, 8)), np.ones((375, 375))).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "seg" / "masks" / "a.png")
    Image.fromarray(np.stack([mask * 200] * 3, 2)).save(tmp_path / "seg" / "images" / "a.png")
    body = "y = ReduceMean<axes=[1], keepdims=1>(x)"
    save(tmp_path / "net.onnx", "float[1,3,8,8] x", "float[1,1,8,8] y", body)
    path = suite(tmp_path, [("net", 'task = "segmentation"')], "masks:seg")
    path.write_text(path.read_text().replace("blocks = 1", "blocks = 2"))
    row = measured(tmp_path, path, bench.ALL_WELL)["net"]
    assert row.measures["own_size_iou"] > 0.6
    scored, timed = (r.peak_memory_bytes for r in _store.read(tmp_path / "out").records)
    assert scored is not None
    assert timed is not None
    assert abs(scored - timed) < 20e6  # a layer of answers at that size takes 36 MB
