"""Records survive kills and lies: what is written comes back, what is damaged is named."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomark.suites.records import _store
from paretomark.suites.records._record import Header, Host, Malformed, Probe, Record
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import HOST, PROBES, failed, record, run

RECORDS = [record(), record(block=1, flags=("drift",), placement={"cpu": 3}), failed(model="b")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with three records."""
    path = tmp_path / "run"
    _store.create(path, run(RECORDS).header)
    with _store.Writer(path) as writer:
        for each in RECORDS:
            writer.append(each)
    return path


def lines(folder: Path) -> list[bytes]:
    return (folder / _store.RECORDS).read_bytes().splitlines(keepends=True)


def signed(table: object) -> bytes:
    text = json.dumps(table).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def test_what_is_written_comes_back(folder: Path) -> None:
    stored = _store.read(folder)
    assert list(stored.records) == RECORDS
    assert stored.header == run(RECORDS).header


def test_a_record_is_on_disk_when_append_returns(folder: Path) -> None:
    with _store.Writer(folder) as writer:
        writer.append(record(block=7))
        assert len(_store.read(folder).records) == 4


@pytest.mark.parametrize("keep", [0, 1, 9, 100, -1])
def test_a_torn_last_line_is_skipped_and_then_cut(folder: Path, keep: int) -> None:
    whole = lines(folder)
    (folder / _store.RECORDS).write_bytes(b"".join(whole[:2]) + whole[2][:keep])
    assert list(_store.read(folder).records) == RECORDS[:2]
    with _store.Writer(folder) as writer:
        writer.append(RECORDS[2])
    assert list(_store.read(folder).records) == RECORDS


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_damaged_whole_line_is_named(folder: Path, at: int) -> None:
    damaged = lines(folder)
    damaged[at] = damaged[at].replace(b"digits", b"digitz").replace(b"build", b"guild")
    (folder / _store.RECORDS).write_bytes(b"".join(damaged))
    with pytest.raises(UserError, match=rf"records\.jsonl, line {at + 1}: the checksum"):
        _store.read(folder)


def test_a_lost_line_end_in_the_middle_is_named(folder: Path) -> None:
    damaged = lines(folder)
    damaged[0] = damaged[0].rstrip(b"\n")
    (folder / _store.RECORDS).write_bytes(b"".join(damaged))
    with pytest.raises(UserError, match="line 1"):
        _store.read(folder)


@pytest.mark.parametrize("line", [b"\n", b"\xff\xfe\n", b"nonsense\n", signed([]), signed(None)])
def test_a_line_that_is_no_record_is_named(folder: Path, line: bytes) -> None:
    (folder / _store.RECORDS).write_bytes(line + b"".join(lines(folder)))
    with pytest.raises(UserError, match="line 1"):
        _store.read(folder)


def test_an_endless_line_is_not_read_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "MAX_LINE_BYTES", 50)
    with pytest.raises(UserError, match="line 1"):
        _store.read(folder)


def test_no_records_yet(tmp_path: Path) -> None:
    _store.create(tmp_path / "run", run([]).header)
    assert _store.read(tmp_path / "run").records == ()


def test_only_one_writer(folder: Path) -> None:
    with _store.Writer(folder), pytest.raises(UserError, match="another process is writing"):
        _store.Writer(folder).__enter__()
    with _store.Writer(folder):  # the lock is gone with the first
        pass


def test_a_killed_writer_leaves_its_records_and_no_lock(folder: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from paretomark.suites.records import _store
from paretomark.tests._runs import record
with _store.Writer(Path(sys.argv[1])) as writer:
    writer.append(record(block=5))
    os._exit(9)
"""
    process = subprocess.run([sys.executable, "-P", "-c", code, str(folder)], check=False)
    assert process.returncode == 9
    with _store.Writer(folder) as writer:
        writer.append(record(block=6))
    assert [r.block for r in _store.read(folder).records] == [0, 1, 0, 5, 6]


def test_a_closed_writer_does_not_write(folder: Path) -> None:
    with pytest.raises(ValueError, match="with statement"):
        _store.Writer(folder).append(record())


def test_create_and_read_say_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--resume"):
        _store.create(folder, run([]).header)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        _store.create(tmp_path / "file" / "run", run([]).header)
    with pytest.raises(UserError, match="not a run"):
        _store.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"schema": 1'])
def test_a_damaged_header_is_named(folder: Path, text: str) -> None:
    (folder / _store.HEADER).write_text(text)
    with pytest.raises(UserError, match=r"run\.json: not a readable header"):
        _store.read(folder)


def test_another_schema_is_refused(folder: Path) -> None:
    table = run([]).header.to_json() | {"schema": 99}
    (folder / _store.HEADER).write_text(json.dumps(table))
    with pytest.raises(UserError, match="schema 99"):
        _store.read(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"load_s": math.nan},
        {"load_s": math.inf},
        {"load_s": "1"},
        {"load_s": True},
        {"batch": True},
        {"batch": 1.0},
        {"batch": None},
        {"model": None},
        {"model": 3},
        {"samples_ns": 5},
        {"samples_ns": [1.5]},
        {"samples_ns": [0]},
        {"samples_ns": [-1]},
        {"samples_ns": []},  # of an ok record
        {"flags": "drift"},
        {"flags": [1]},
        {"status": "fine"},
        {"status": []},
        {"status": "failed", "reason": ""},
        {"outcomes": "012", "examples": 3},
        {"outcomes": "1", "examples": 2},
        {"placement": {"cpu": "3"}},
        {"placement": []},
        {"surprise": 1},
    ],
)
def test_a_record_of_the_wrong_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Record.from_json(record().to_json() | change)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Record)])
def test_only_fields_with_a_default_may_lack(field: str) -> None:
    table = failed().to_json()
    del table[field]
    needed = {f.name for f in dataclasses.fields(Record) if "default" not in _defaults(f)}
    if field in needed:
        with pytest.raises(Malformed, match=f"lacks '{field}'"):
            Record.from_json(table)
    elif field == "reason":
        with pytest.raises(Malformed, match="no reason"):
            Record.from_json(table)
    else:
        Record.from_json(table)


def _defaults(field: dataclasses.Field[Any]) -> set[str]:
    has = field.default is not dataclasses.MISSING
    has = has or field.default_factory is not dataclasses.MISSING
    return {"default"} if has else set()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from([f.name for f in dataclasses.fields(Record)]), JSON)
@settings(deadline=None)
def test_any_json_is_a_record_or_malformed(field: str, value: object) -> None:
    try:
        read = Record.from_json(record().to_json() | {field: value})
    except Malformed:
        return
    assert Record.from_json(json.loads(json.dumps(read.to_json(), allow_nan=False))) == read


@given(JSON)
@settings(deadline=None)
def test_any_json_at_all(value: object) -> None:
    for kind in (Record, Header, Probe, Host):
        with pytest.raises(Malformed):
            kind.from_json(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("load_s", 10**400),
        ("batch", 10**40),
        ("batch", -1),
        ("load_s", -0.5),
        ("nonzeros", 10**9),
        ("measures", {"top5": float("nan")}),
        ("measures", {"top5": "1"}),
        ("parity_top1", 7.0),
    ],
)
def test_nonsense_numbers_are_refused(field: str, value: object) -> None:
    with pytest.raises(Malformed):
        Record.from_json(record().to_json() | {field: value})


@pytest.mark.parametrize(("field", "value"), [("host", {}), ("probes", [{}])])
def test_a_header_is_read_whole(tmp_path: Path, field: str, value: object) -> None:
    table = run([record()]).header.to_json() | {field: value}
    (tmp_path / "run.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"run\.json: not a readable header: \w+ lacks"):
        _store.read(tmp_path)


def test_deeply_nested_json_is_an_error_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not a readable header"):
        _store.read(tmp_path)


def test_probe_and_host_come_back() -> None:
    for table in PROBES:
        assert Probe.from_json(table).to_json() == table
    assert Host.from_json(Host.from_json(HOST).to_json()) == Host.from_json(HOST)
    assert Host.from_json(HOST).features == ("avx2", "avx512_vnni")
