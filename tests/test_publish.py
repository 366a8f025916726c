"""The copy of a run that is published: nothing of its owner is in it, and all else is."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.reports import publish
from paretomark.suites.records import _store
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import failed, realistic, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

PLACES = [
    ("/home/ada/nets/small.py:12: no such layer", "small.py:12: no such layer"),
    ("data: imagefolder:/srv/pictures/cats", "data: imagefolder:cats"),
    ("in 'C:\\Users\\ada\\mine.onnx'", "in 'mine.onnx'"),
    ("~/nets/mine.onnx is too large", "mine.onnx is too large"),
    ("net/pruned/litert:xnnpack/b1/t1", "net/pruned/litert:xnnpack/b1/t1"),
    (
        "see https://example.org/a/b, and 3/4 or and/or",
        "see https://example.org/a/b, and 3/4 or and/or",
    ),
    ("/dev/null", "null"),
    ("/", "/"),
    ("two (/opt/a/b) [/opt/c/d]", "two (b) [d]"),
]


@pytest.mark.parametrize(("text", "clean"), PLACES)
def test_a_path_becomes_its_last_part(text: str, clean: str) -> None:
    assert publish.cleaner(run([]).header, {})(text) == clean


def test_nothing_of_the_owner_is_left(
    call: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada_lovelace")
    monkeypatch.setattr(socket, "gethostname", lambda: "engine.example.org")
    home = "/home/ada lovelace"
    monkeypatch.setenv("HOME", home)
    records = [
        *visits([1e-3] * 2, data=f"imagefolder:{home}/my pictures"),
        failed("b", reason=f"Traceback: {home}/nets/x.py on engine by ADA_LOVELACE (adapt)"),
    ]
    request = {"suite": f'data = "imagefolder:{home}/my pictures"', "folder": f"{home}/suites"}
    folder = written(run(records, request=request), tmp_path / "run")
    told = call("publish", folder, "--out", tmp_path / "copy")
    assert told.code == 0, told.err
    assert home in told.out
    for path in (tmp_path / "copy").iterdir():
        text = path.read_text().lower()
        assert not any(word in text for word in ("lovelace", "engine", "/home", 'folder"')), text
    copy = _store.read(tmp_path / "copy")
    assert copy.records[0].data == "imagefolder:my pictures"
    assert "nets/x.py on someone by someone (adapt)" in copy.records[2].reason


def test_all_else_is_as_it_was(tmp_path: Path) -> None:
    source = realistic()
    folder = written(source, tmp_path / "run")
    publish.write(folder, tmp_path / "copy")
    copy = _store.read(tmp_path / "copy")
    assert copy.header == source.header
    assert copy.records == source.records
    assert summarise(copy).rows == summarise(source).rows


def test_it_overwrites_nothing(call: Callable[..., Called], tmp_path: Path) -> None:
    folder = written(run(visits([1e-3] * 2)), tmp_path / "run")
    (tmp_path / "copy").mkdir()
    told = call("publish", folder, "--out", tmp_path / "copy")
    assert told.code == bench.USER_ERROR
    assert "is there already" in told.err
    assert list((tmp_path / "copy").iterdir()) == []
    assert json.loads((folder / "run.json").read_text())["run"]
