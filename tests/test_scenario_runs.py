"""Scenarios measured on the fake device, whose slow variant takes two milliseconds a call."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.devices.measure import _crew, _process, _scenarios
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.suites.records import _store
from paretomark.suites.records._summary import Summary, summarise
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.spec._scenario import Server, Sustained
from paretomark.tests._files import net_of_fake

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SUITE = """
devices = ["fake:slow"]
scenario = ["single", "batch", "server", "cold", "sustained"]
batch = [1, 4]
blocks = 2
seconds = 0.05
examples = 64
foreign_load_cores = 99.0
precision = 0.9
[server]
rates = [100, 600]
p99 = "60ms"
seconds = 0.5
[sustained]
seconds = 1.5
[model.digits_mlp]
[recipe.fp32]
"""
RULES = _crew.Rules(deadline_s=60.0, foreign_load_cores=1e9, seed="0/0")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = tmp_path_factory.mktemp("run")
    (folder / "s.toml").write_text(SUITE)
    assert bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out")]) == 0
    return summarise(_store.read(folder / "out"))


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., VisitSpec]:
    file = net_of_fake(tmp_path)

    def make(scenario: str, variant: str = "ok") -> VisitSpec:
        return VisitSpec(
            device=f"fake:{variant}", file=str(file), threads=1, batch=1, seconds=0.02,
            max_samples=2000, images="", labels="", reference="", preprocess=Preprocess((0, 0)),
            label_offset=0, score=False, parity_limit=None, seed=0, scenario=scenario,
        )  # fmt: skip

    return make


def visits(
    *specs: VisitSpec, rules: _crew.Rules = RULES, seconds: float = 0.5, **server: object
) -> list[Visit]:
    tasks = [_crew.Task(str(i), spec) for i, spec in enumerate(specs)]
    own = Server(**{"rates": (200.0,), "seconds": 0.1} | server)  # type: ignore[arg-type]
    lasting, turn = Sustained(seconds), lambda done, total: None
    return [visit for _, visit in _scenarios.visits(tasks, rules, own, lasting, turn)]


@pytest.mark.build
@pytest.mark.timing
def test_a_server_is_slow_at_a_rate_that_one_worker_cannot_answer(measured: Summary) -> None:
    row = next(row for row in measured.rows if row.scenario == "server")
    assert row.valid
    assert row.examples == 64  # it is scored as single calls are
    assert row.server_median_s["100"] >= 0.002
    assert row.server_median_s["600"] > 10 * row.server_median_s["100"]
    assert row.server_p99_s["600"] > 0.1
    pool = measured.visits[row.cell].pool
    assert len(pool) == 2
    for record in pool:
        assert record.p99_bound_s == pytest.approx(0.06)
        assert [t.rate for t in record.trials[:2]] == [100.0, 600.0]
        assert all(t.queries >= 662 for t in record.trials)
        assert len(record.trials) > 4
        assert record.foreign_load_cores is not None
    assert row.best_rate is not None
    assert 20 < row.best_rate < 600


@pytest.mark.build
@pytest.mark.timing
def test_every_scenario_has_its_rows(measured: Summary) -> None:
    rows = {row.cell.removeprefix("digits_mlp/fp32/fake:slow/"): row for row in measured.rows}
    assert rows.keys() == {
        *("b1/t1", "b1/t1/batch", "b4/t1/batch"),
        *("b1/t1/server", "b1/t1/cold", "b1/t1/sustained"),
    }
    assert all(row.valid for row in rows.values())
    whole = rows["b4/t1/batch"]
    assert whole.throughput == pytest.approx(4 / (whole.latency_s or 0))
    start = rows["b1/t1/cold"]
    parts = (start.interpreter_s, start.import_s, start.load_s, start.first_s)
    assert all(part and part > 0 for part in parts)
    assert (start.first_s or 0) > 0.002
    assert (start.latency_s or 0) > 10 * (rows["b1/t1"].latency_s or 1)
    assert start.accuracy is None  # nothing comes after its first answer
    assert rows["b1/t1"].accuracy == whole.accuracy is not None
    lasting = rows["b1/t1/sustained"]
    assert lasting.accuracy is not None
    assert lasting.burst_s == pytest.approx(lasting.latency_s, rel=0.5)
    assert (measured.run.folder / "records.jsonl").stat().st_size < 1_000_000


@pytest.mark.build
@pytest.mark.timing
def test_nothing_else_is_alive_meanwhile(measured: Summary) -> None:
    """A crew of singles and batches is done before, and slices follow each other."""
    records = [r for r in measured.run.records if r.block == 1]
    ends = {r.scenario: (r.slices_at_s[0], r.slices_at_s[-1]) for r in records if r.slices_at_s}
    assert ends["single"][1] < ends["sustained"][0]
    for record in records:
        if record.scenario == "sustained":
            assert len(record.readings) == len(record.slices_ns) >= 6
            assert record.slices_at_s[-1] - record.slices_at_s[0] > 1.0


@pytest.mark.build
@pytest.mark.timing
def test_a_stopped_run_goes_on(
    measured: Summary, tmp_path: Path, call: Callable[..., Called]
) -> None:
    """Without its last record, which is made again in its scenario."""
    source = measured.run
    _store.create(tmp_path / "out", source.header)
    with _store.Writer(tmp_path / "out") as writer:
        for record in source.records[:-1]:
            writer.append(record)
    assert call("run", "--resume", tmp_path / "out").code == 0
    again = _store.read(tmp_path / "out").records
    assert (again[-1].cell, again[-1].block) == (source.records[-1].cell, 1)
    assert len(again) == len(source.records)
    assert call("run", "--resume", tmp_path / "out", "--scenario", "cold").code == 2


@pytest.mark.build
@pytest.mark.timing
def test_the_command_line_sustains(tmp_path: Path, call: Callable[..., Called]) -> None:
    text = SUITE.replace("slow", "ok").replace("blocks = 2", "blocks = 1")
    (tmp_path / "s.toml").write_text(text)
    told = call("run", tmp_path / "s.toml", "--sustained", "1s", "--json", "--out", tmp_path / "o")
    assert told.code == 0
    rows = json.loads(told.out)["rows"]
    assert {row["scenario"] for row in rows} == {"sustained"}
    [record, *_] = _store.read(tmp_path / "o").records
    kept = sum(map(len, record.slices_ns))
    assert kept <= 2 * _scenarios.KEPT  # of a call that takes microseconds


@pytest.mark.build
def test_a_check_makes_a_single_call_for_all_scenarios(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    told = call("check", tmp_path / "s.toml", "--out", tmp_path / "sheets", "--json")
    assert told.code == 0
    assert [cell["cell"].rpartition("fake:slow/")[2] for cell in json.loads(told.out)["cells"]] == [
        *("b1/t1", "b4/t1")
    ]


@pytest.mark.timing
def test_visits_are_alone_and_one_that_fails_costs_only_itself(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []
    start, end = _process.Child.__init__, _process.Child.kill

    def started(self: _process.Child, *arguments: object) -> None:
        start(self, *arguments)  # type: ignore[arg-type]
        alive.append(self.pid)
        assert len(alive) == 1

    def killed(self: _process.Child) -> int:
        if self.pid in alive:
            alive.remove(self.pid)
        return end(self)

    monkeypatch.setattr(_process.Child, "__init__", started)
    monkeypatch.setattr(_process.Child, "kill", killed)
    specs = [
        spec(scenario, variant)
        for scenario in ("server", "cold", "sustained")
        for variant in ("ok", "load-crash", "abort", "nan")
    ]
    found = visits(*specs)
    stages = [(visit.status, visit.stage) for visit in found]
    assert stages[0::4] == [("ok", "")] * 3
    assert stages[1::4] == [("failed", "load")] * 3
    assert stages[3::4] == [("failed", "first inference")] * 3
    # It dies at its sixth call, which a cold start never comes to.
    assert [status for status, _ in stages[2::4]] == ["failed", "ok", "failed"]


@pytest.mark.timing
def test_one_that_hangs_is_late(spec: Callable[..., VisitSpec]) -> None:
    begun = time.monotonic()
    rules = _crew.Rules(deadline_s=4.0, foreign_load_cores=1e9)
    [visit] = visits(spec("server", "hang"), rules=rules)
    assert visit.status == "failed"
    assert "did not finish within" in visit.reason
    assert time.monotonic() - begun < 60


def test_what_others_disturb_is_made_again_but_for_what_takes_minutes(
    spec: Callable[..., VisitSpec],
) -> None:
    """No machine has less than no load."""
    rules = _crew.Rules(60.0, foreign_load_cores=-1.0)
    found = visits(spec("cold"), spec("sustained"), rules=rules)
    assert [visit.flags for visit in found] == [(_crew.FOREIGN,)] * 3


def test_what_is_only_predicted_has_no_queue(
    spec: Callable[..., VisitSpec], plugin: Callable[[str, str], Path]
) -> None:
    plugin("devices/oracle.py", '''
"""Predicts."""
import dataclasses
from paretomark.devices import fake
FORMAT, VARIANTS = "npz", ()
class Oracle(fake._Fake):
    def load(self, model, threads):
        return dataclasses.replace(super().load(model, threads), predicted_s=1e-3)
def device(variant):
    return Oracle("ok")
''')  # fmt: skip
    for scenario in ("server", "cold", "sustained"):
        [visit] = visits(dataclasses.replace(spec(scenario), device="oracle"))
        assert visit.status == "unsupported"
        assert "only predicted" in visit.reason


def test_an_answer_that_is_none_is_a_failure(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_process.Child, "ask", lambda *_: _process.Answer({"ns": "soon"}, "", ""))
    for scenario in ("server", "sustained"):
        [visit] = visits(spec(scenario))
        assert (visit.status, visit.stage) == ("failed", "answer")
