"""Plug-ins of one's own: found like the project's, checked like them, and hashed into the lineage.

`examples/my_plugins` has one of each kind, and `examples/own.toml` uses them all.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.suites.spec import _plugins, _suite
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import realistic

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

EXAMPLES = Path(__file__).parent.parent / "examples"
OWN = EXAMPLES / "my_plugins"


def outside(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, which has taken in nothing yet."""
    code = "import sys; from paretomark import bench; sys.exit(bench.main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", **variables},
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the example suite, started as a user would."""
    out = tmp_path_factory.mktemp("own") / "run"
    done = outside("run", EXAMPLES / "own.toml", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.build
def test_one_of_each_kind_runs_from_a_folder_that_the_suite_names(measured: Path) -> None:
    records = _store.read(measured).records
    assert {r.device for r in records} == {"plain", "fake:ok"}
    assert {r.status for r in records} == {"ok"}
    scored = {(r.device, r.recipe): r for r in records if r.examples}
    assert len(scored) == 6
    for record in scored.values():
        assert (record.task, record.metric, record.data) == ("counting", "count score", "blocks")
        assert record.examples == 500
        assert record.measures["off"] < 1
    whole = scored["plain", "fp32"]
    assert sum(whole.scores) / 500 > 0.9
    assert scored["fake:ok", "fp32"].identity == whole.identity != ""
    assert scored["plain", "clipped"].identity != whole.identity


@pytest.mark.build
def test_what_they_are_made_of_stands_in_the_lineage(measured: Path) -> None:
    records = {(r.device, r.recipe): r for r in _store.read(measured).records}
    own = json.loads(records["plain", "clipped"].lineage)["plug-ins"]
    assert own.keys() == {
        "nets/blocks_linear", "data/blocks", "methods/clip", "formats/txt", "tasks/counting",
    }  # fmt: skip
    assert all(len(digest) == 12 for digest in own.values())
    probe = next(p for p in _store.read(measured).header.probes if p.device == "plain")
    assert len(probe.versions["plug-in plain"]) == 12


@pytest.mark.build
def test_their_numbers_stand_in_the_tables(measured: Path) -> None:
    with (measured / "report" / "cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    assert all(0 <= float(line["off"]) < 1 for line in lines)
    page = (measured / "report" / "index.html").read_text()
    assert "mean miscount" in page
    assert "count score" in page


@pytest.mark.build
def test_a_report_is_read_also_where_the_plug_ins_are_not(measured: Path, tmp_path: Path) -> None:
    done = outside("report", measured, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "count score" in done.stdout
    assert "count score" in (tmp_path / "index.html").read_text()


def test_a_report_of_ones_own_is_a_command(tmp_path: Path) -> None:
    run = realistic()
    _store.create(tmp_path / "run", run.header)
    with _store.Writer(tmp_path / "run") as writer:
        for record in run.records:
            writer.append(record)
    assert "fastest" not in outside("--help").stdout
    listed = outside("--plugins", OWN, "--help").stdout
    assert "fastest" in listed
    assert "name the fastest cell of each device" in " ".join(listed.split())
    done = outside("--plugins", OWN, "fastest", tmp_path / "run", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    chosen = json.loads((tmp_path / "fastest.json").read_text())
    assert len(done.stdout.splitlines()) == len(chosen) == 2
    assert chosen.keys() == {"litert:xnnpack", "onnxruntime:cpu"}


@pytest.mark.build
def test_a_device_of_ones_own_is_listed_and_passes_the_conformance_checks() -> None:
    assert "plain" not in json.loads(outside("devices", "--json").stdout)
    listed = json.loads(outside("--plugins", OWN, "devices", "--device", "plain", "--json").stdout)
    assert listed["plain"]["available"]


def test_what_there_is_of_each_kind(plugins_kept: None) -> None:
    before = {kind: _plugins.names(kind) for kind in _plugins.KINDS}
    _plugins.add(OWN)
    for kind in _plugins.KINDS:
        (own,) = set(_plugins.names(kind)) - set(before[kind])
        assert _plugins.is_own(kind, own)
        assert not _plugins.is_own(kind, before[kind][0])
        assert _plugins.summary(kind, own)
    _plugins.add(OWN)  # once more changes nothing
    assert os.environ[_plugins.VARIABLE] == str(OWN)


def test_a_name_that_is_taken_is_refused(plugin: Callable[[str, str], Path]) -> None:
    with pytest.raises(UserError, match=r"magnitude\.py: there is a compression method of this"):
        plugin("methods/magnitude.py", "")


def test_folders_that_are_none_are_refused(tmp_path: Path, call: Callable[..., Called]) -> None:
    for folder, message in ((tmp_path / "no", "there is no folder"), (tmp_path, "no plug-ins")):
        result = call("--plugins", folder, "devices")
        assert result.code == bench.USER_ERROR
        assert message in result.err
        assert "devices, nets, data, methods, formats, tasks, reports" in result.err
    with pytest.raises(UserError, match="there is no folder of plug-ins"):
        _suite.parse('plugins = "no"\ndevices = ["fake:ok"]\n[model.m]\n', "s", tmp_path)


@pytest.mark.parametrize("kind", list(_plugins.KINDS))
def test_an_unknown_plug_in_names_the_nearest(kind: str) -> None:
    name = _plugins.names(kind)[0]
    with pytest.raises(UserError, match=f"did you mean '{name}'"):
        _plugins.module(kind, name + "x")


@pytest.mark.build
def test_an_installed_package_brings_its_own(tmp_path: Path) -> None:
    """By an entry point, as its metadata tell; nothing has to be named."""
    package = tmp_path / "their_plugins"
    (package / "devices").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "devices" / "other.py").write_text((OWN / "devices" / "plain.py").read_text())
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[paretomark.plugins]\nall = their_plugins\n")
    done = outside("devices", "--device", "other", "--json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["other"]["available"]
