"""From records to rows: what counts, what is compared with what, and what is only shown."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from paretomark.reports import _terminal, _text, report
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, summarise
from paretomark.tests._runs import failed, key, noisy, realistic, record, run, visits

HALF = "10" * 50


def rows_in(source: Run) -> tuple[Row, ...]:
    return summarise(source).rows


def rows_of(*records: Any, **changes: Any) -> dict[str, Row]:
    flat = [r for group in records for r in (group if isinstance(group, list) else [group])]
    return {r.recipe: r for r in rows_in(run(flat, **changes))}


def test_one_visit_has_a_latency_but_no_interval() -> None:
    (row,) = rows_in(run([record()]))
    assert row.latency_s == pytest.approx(1e-3)
    assert row.latency_low_s is None
    assert row.accuracy == 0.8
    assert row.accuracy_low
    assert row.accuracy_high
    assert row.accuracy_low < 0.8 < row.accuracy_high
    assert row.on_front
    assert row.front_probability is None  # nothing is known of the noise
    assert row.p90_s is None


def test_latency_is_the_geometric_mean_of_visits() -> None:
    (row,) = rows_in(run(visits([1e-3, 4e-3])))
    assert row.latency_s == pytest.approx(2e-3, rel=1e-3)
    assert row.visits == row.valid_visits == 2


def test_p90_is_pooled_over_visits() -> None:
    (row,) = rows_in(run(visits([1e-3] * 4)))  # 4 x 21 samples
    assert row.p90_s == pytest.approx(1.008e-3, rel=1e-3)
    (row,) = rows_in(run(visits([1e-3] * 3)))  # 63: one too few
    assert row.p90_s is None


def test_every_planned_cell_is_a_row_in_order() -> None:
    cells = [key("z", "dense", "cpu", 8, 2), key("net", "dense", "cpu"), "odd"]
    rows = rows_in(run([record()], cells))
    assert [r.cell for r in rows] == cells
    assert [r.status for r in rows] == ["not run", "ok", "not run"]
    first = rows[0]
    assert (first.model, first.recipe, first.device) == ("z", "dense", "cpu")
    assert (first.batch, first.threads) == (8, 2)
    assert "--resume" in first.reason


def test_records_of_unplanned_cells_are_shown() -> None:
    assert [r.cell for r in rows_in(run([record()], []))] == [key("net", "dense", "cpu")]


def test_what_a_block_does_to_all_cells_is_taken_out_and_delta_is_paired_by_example() -> None:
    drift = [1.0, 1.4, 0.8, 1.1]
    better = "1" * 100
    rows = rows_of(
        visits([4e-3 * d for d in drift], recipe="dense", outcomes=HALF),
        visits([2e-3 * d for d in drift], recipe="int8", outcomes=better),
        *(visits([n * 1e-3 * d for d in drift], recipe=f"0.{n}") for n in range(1, 8)),
    )
    dense, int8 = rows["dense"], rows["int8"]
    assert dense.dense
    assert dense.speedup is None
    assert int8.speedup == pytest.approx(2)
    assert int8.speedup_low
    assert int8.speedup_high
    assert int8.speedup_high - int8.speedup_low < 0.01
    assert int8.delta == 0.5
    assert not int8.loss
    assert int8.on_front
    assert not dense.on_front


@pytest.mark.parametrize("changes", [{"batch": 8}, {"threads": 2}, {"device": "gpu"}])
def test_the_baseline_is_dense_in_the_same_place(changes: dict[str, Any]) -> None:
    rows = rows_of(record(recipe="dense"), record(recipe="int8", **changes))
    assert rows["int8"].speedup is None
    assert rows["int8"].delta is None


def test_steps_or_precision_make_no_baseline() -> None:
    rows = rows_of(record(recipe="0.9"), record(recipe="int8"))
    assert not rows["0.9"].dense
    assert rows["int8"].delta is None


def test_losses_are_corrected_for_their_number() -> None:
    """One clear loss among many is a loss; a p just below 0.05 among many is not."""
    dense = "1" * 900 + "0" * 100
    worse = "1" * 850 + "0" * 150
    slightly = "1" * 894 + "0" * 106
    records = [record(recipe="dense", outcomes=dense), record(recipe="0.9", outcomes=worse)]
    records += [record(recipe=f"0.{i}", outcomes=dense) for i in range(10, 20)]
    records += [record(recipe="0.7", outcomes=slightly)]
    rows = rows_of(records)
    assert rows["0.9"].loss
    p, q = rows["0.7"].delta_p, rows["0.7"].delta_q
    assert p is not None
    assert q is not None
    assert p < 0.05 < q
    assert not rows["0.7"].loss
    assert not rows["0.10"].loss


def test_flagged_visits_are_shown_but_not_counted() -> None:
    slow = record(block=1, latency=5e-3, flags=("drift",))
    (row,) = rows_in(run([record(), slow, record(block=2)]))
    assert row.latency_s == pytest.approx(1e-3)
    assert (row.valid_visits, row.visits) == (2, 3)
    assert row.flags == ("drift",)
    assert row.valid


def test_a_cell_without_a_valid_visit_keeps_its_latency() -> None:
    rows = rows_of(record(recipe="dense", latency=2e-3), record(recipe="int8", flags=("quota",)))
    row = rows["int8"]
    assert row.latency_s == pytest.approx(1e-3)
    assert not row.valid
    assert not row.on_front
    assert row.speedup is None
    assert row.delta == 0
    assert rows["dense"].on_front


def test_a_fallback_is_on_no_front() -> None:
    row = rows_of(record(recipe="int8", status="fallback", reason="3 operators on the CPU"))["int8"]
    assert row.latency_s
    assert not row.valid
    assert not row.on_front
    assert _text.front_note(row) == "✗ fallback"


def test_too_few_samples_do_not_make_a_median() -> None:
    (row,) = rows_in(run([record(samples_ns=(5, 6, 7))]))
    assert row.flags == ("few samples",)
    assert row.latency_s == pytest.approx(5e-9, rel=0.01)
    assert not row.valid


def test_a_crash_in_one_block_fails_the_cell() -> None:
    crash = failed(block=1, stage="run", reason="killed by signal 11")
    (row,) = rows_in(run([record(), crash, record(block=2)]))
    assert row.status == "failed"
    assert row.reason == "in 1 of 3 visits: killed by signal 11"
    assert row.latency_s == pytest.approx(1e-3)
    assert not row.valid


def test_the_newest_record_of_a_block_counts() -> None:
    (row,) = rows_in(run([failed(), record()]))
    assert row.status == "ok"
    assert row.visits == 1


def test_visits_of_different_files_are_not_pooled() -> None:
    (row,) = rows_in(run([record(), record(block=1, sha256="cd" * 32)]))
    assert "artifact changed" in row.flags
    assert not row.valid


def test_fronts_never_mix() -> None:
    """A faster and better cell beats none of another data set, device, size or kind."""
    best: dict[str, Any] = {"latency": 1e-6, "outcomes": "1" * 100}
    others: list[dict[str, Any]] = [
        {"data": "scenes"},
        {"device": "gpu"},
        {"batch": 8},
        {"threads": 4},
        {"simulated": "predicted"},
    ]
    for change in others:
        rows = rows_in(run([record(model="a"), record(model="b", **best, **change)]))
        assert all(r.on_front for r in rows), change
    same = rows_in(run([record(model="a"), record(model="b", **best)]))
    assert [r.on_front for r in same] == [False, True]


def test_a_statistical_tie_is_a_tie() -> None:
    """Slower by less than the noise, and as accurate."""
    fast, slow = noisy(1e-3, 4, 0.05, seed=1), noisy(1.01e-3, 4, 0.05, seed=2)
    rows = rows_in(run([*visits(fast, "a"), *visits(slow, "b")]))
    assert sorted(r.mark for r in rows) == ["front", "tie"]
    chances = [r.front_probability or 0 for r in rows]
    assert sum(chances) == pytest.approx(1, abs=1e-9)


def test_sizes_and_memory() -> None:
    (row,) = rows_in(
        run([record(parameters=100, nonzeros=25, peak_memory_bytes=70, before_load_bytes=50)])
    )
    assert row.sparsity == 0.75
    assert row.added_memory_bytes == 20


def test_only_failures() -> None:
    summary = summarise(run([failed(), failed(recipe="int8")]))
    assert all(r.latency_s is None and not r.valid for r in summary.rows)
    assert "Nothing was measured" in text_of(summary)


def text_of(summary: Summary, width: int = 120) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(_terminal.table(summary, width))
    return out.getvalue()


def test_table_shows_everything_once() -> None:
    summary = summarise(realistic())
    text = text_of(summary)
    assert text.count("scenes_resnet ") >= 5
    assert "(predicted)" in text
    assert "✗ foreign load" in text
    assert "the Edge TPU runs int8 networks only" in text
    assert "not run" in text
    assert max(map(len, text_of(summary, 100).splitlines())) <= 100


def test_hostile_text_cannot_drive_the_terminal() -> None:
    evil = "a\x1b[2J[red]b\u202e\ud800\nc"
    text = text_of(summarise(run([record(model=evil), failed(recipe="int8", reason=evil)])))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]" in text  # shown, not obeyed
    text.encode()


def test_json_is_plain_and_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = realistic()
    report.present(summarise(source), tmp_path, as_json=True)
    table = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert len(table["rows"]) == 46
    assert table["run"]["commit"] == source.header.commit
    assert {r["mark"] for r in table["rows"]} == {"", "front", "tie"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00312, "3.12 ms"), (1, "1.00 s"), (0.0009999, "1.00 ms"), (9.4e-5, "94.0 µs"), (None, "–")],
)
def test_seconds(value: float | None, text: str) -> None:
    assert _text.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+1.2"), (-0.02, "−2.0"), (-0.0001, "0.0"), (math.nan, "+nan")]
)
def test_points(value: float, text: str) -> None:
    assert _text.points(value) == text


def test_what_is_broken_is_on_no_front_and_is_named() -> None:
    """However fast and right it seems."""
    fine = [record(recipe=name, block=b, latency=2e-3, outcomes="1" * 80 + "0" * 20)
            for name in ("dense",) for b in range(3)]  # fmt: skip
    fault = "broken by quantization: answers agree with the float net's by 0% beyond chance"
    wrong = [record(recipe="int8", block=b, latency=1e-3, outcomes="1" * 100,
                    broken=fault if b == 0 else "", warnings=("2 pictures turned",))
             for b in range(3)]  # fmt: skip
    rows = {r.recipe: r for r in summarise(run([*fine, *wrong])).rows}
    assert rows["dense"].on_front
    assert not rows["int8"].on_front
    assert not rows["int8"].sound
    assert (rows["int8"].broken, rows["int8"].warnings) == (fault, ("2 pictures turned",))
