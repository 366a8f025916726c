"""Runs of every version that there was are read; those of a version to come are named as such."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.suites.records import _record, _store
from paretomark.suites.records._summary import summarise

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SCHEMAS = Path(__file__).with_name("schemas")  # a run of each older version, as that wrote it
FIELDS = SCHEMAS / "fields.json"  # what the records of the newest schema consist of


def older() -> list[int]:
    return list(range(1, _record.SCHEMA))


@pytest.mark.parametrize("schema", older())
def test_a_run_of_an_older_version_is_read_and_reported(
    tmp_path: Path, schema: int, call: Callable[..., Called]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(SCHEMAS / str(schema), folder)
    rows = {row.cell: row for row in summarise(_store.read(folder)).rows}
    whole = rows["digits_mlp/fp32/fake:ok/b1/t1"]
    assert (whole.status, whole.valid_visits, whole.examples) == ("ok", 2, 40)
    assert whole.latency_s
    assert whole.measures["top5"] == 1.0
    assert rows["net/segmentation/fake:ok/b1/t1"].measures == {"pooled_iou": 0.5}
    assert rows["net/keypoints/fake:ok/b1/t1"].metric == "PCK"
    assert rows["net/keypoints/fake:ok/b1/t1"].measures == {"keypoint_error": 0.07}
    assert call("report", folder).code == 0
    assert call("compare", folder, folder).code == 0
    assert call("leaderboard", folder, "--out", tmp_path / "site").code == 0


@pytest.mark.parametrize("schema", older())
def test_a_run_of_an_older_version_is_not_gone_on_with(
    tmp_path: Path, schema: int, call: Callable[..., Called]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(SCHEMAS / str(schema), folder)
    result = call("run", "--resume", folder)
    assert result.code == bench.USER_ERROR
    assert "older version" in result.err


def test_a_run_of_a_newer_version_asks_for_an_update(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    """Its header and records have fields that this version has never heard of."""
    folder = tmp_path / "run"
    shutil.copytree(SCHEMAS / "1", folder)
    header = json.loads((folder / _store.HEADER).read_text())
    header |= {"schema": _record.SCHEMA + 1, "energy": {"meter": "none"}}
    (folder / _store.HEADER).write_text(json.dumps(header))
    result = call("report", folder)
    assert result.code == bench.USER_ERROR
    assert "written by a newer version of paretomark" in result.err
    assert "update" in result.err


def test_whoever_changes_a_field_raises_the_schema() -> None:
    """If this fails: raise SCHEMA, keep a small run of the version before in `schemas/`, and write
    the new fields into `fields.json`."""
    kinds = (_record.Header, _record.Record, _record.Host, _record.Probe)
    fields = {k.__name__: {f.name: str(f.type) for f in dataclasses.fields(k)} for k in kinds}
    assert json.loads(FIELDS.read_text()) == {"schema": _record.SCHEMA, **fields}
