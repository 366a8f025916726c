"""Which net to ship: the answer of `pick`, and what pages say in short."""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark import bench
from paretomark.reports import _csv, _repeat, _short, report
from paretomark.suites.records._record import Record
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec import _pick, _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._pick import Pick
from paretomark.tests._runs import failed, noisy, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

Call = Callable[..., "Called"]
EXAMPLES = 10_000


def net(
    name: str, recipe: str, latency: float, wrong: int, size: int, **changes: Any
) -> list[Record]:
    """Visits of a net that gets the first so many of 10,000 examples wrong."""
    times = noisy(latency, 5, 0.003, zlib.crc32(f"{name}{recipe}".encode()))
    outcomes = "0" * wrong + "1" * (EXAMPLES - wrong)
    common = {"artifact_bytes": size, "peak_memory_bytes": 10 * size}
    return visits(times, name, recipe, outcomes=outcomes, **common | changes)


RECORDS = [
    *net("big", "dense", 10e-3, 500, 4_000_000),
    *net("big", "int8", 4e-3, 520, 1_000_000),
    *net("big", "0.9", 3e-3, 900, 900_000),
    *net("small", "dense", 2e-3, 1500, 500_000),
    *net("small", "int8", 1e-3, 1600, 130_000),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(run(RECORDS), tmp_path / "run")


def picked(call: Call, folder: Path, *words: str) -> tuple[int, str | None]:
    told = call("pick", folder, *words, "--json")
    (choice,) = json.loads(told.out)["choices"]
    return told.code, choice["chosen"] and choice["chosen"]["cell"].partition("/cpu")[0]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ((), "big/int8"),  # 0.2 points less than the best float net, which is not that of `small`
        (("--max-drop", "0"), "big/dense"),
        (("--max-drop", "12"), "small/int8"),
        (("--max-drop", "12", "--by", "accuracy"), "big/dense"),
        (("--under", "5ms"), "big/int8"),
        (("--under", "3500us"), "big/0.9"),
        (("--under", "5ms", "--max-drop", "5"), "big/0.9"),
        (("--max-size", "600kB"), "small/dense"),
        (("--max-memory", "2MB"), "small/int8"),
        (("--max-drop", "20", "--by", "size"), "small/int8"),
        (("--model", "sm*"), "small/dense"),
    ],
)
def test_it_is_the_best_of_those_that_keep_to_the_limits(
    call: Call, folder: Path, words: tuple[str, ...], answer: str
) -> None:
    assert picked(call, folder, *words) == (0, answer)


def test_where_nothing_does_the_nearest_is_named(call: Call, folder: Path) -> None:
    assert picked(call, folder, "--under", "900us") == (1, None)
    told = call("pick", folder, "--under", "900us")
    assert told.code == 1
    assert "none of 5 nets keeps to 900 µs; the nearest is small/int8" in told.out
    assert "latency" in told.out


def test_how_sure_it_is_decides(call: Call, tmp_path: Path) -> None:
    """One net lies 0.3 points below the other on 1,000 examples: ten lost, seven won."""
    base = "1" * 950 + "0" * 50
    near = "0" * 10 + "1" * 940 + "1" * 7 + "0" * 43
    records = [
        *visits([2e-3] * 3, "a", "dense", outcomes=base),
        *visits([1e-3] * 3, "a", "int8", outcomes=near),
    ]
    folder = written(run(records), tmp_path / "run")
    told = json.loads(call("pick", folder, "--json").out)["choices"][0]
    assert told["chosen"]["recipe"] == "dense"
    assert told["bolder"]["recipe"] == "int8"
    error = math.sqrt(10 + 7 - 9 / 1000) / 1000
    expected = 0.5 * (1 + math.erf((0.005 - 0.003) / error / math.sqrt(2)))
    assert told["bolder"]["chance"] == pytest.approx(expected, abs=0.02)
    text = call("pick", folder).out
    assert "a/int8 would be better" in text
    assert "% sure" in text
    bold = json.loads(call("pick", folder, "--sure", "60%", "--json").out)["choices"][0]
    assert bold["chosen"]["recipe"] == "int8"


def test_a_latency_near_the_limit_is_as_sure_as_it_is_known(call: Call, tmp_path: Path) -> None:
    outcomes = "1" * 90 + "0" * 10
    records = [
        *visits(noisy(1e-3, 8, 0.02, 1), "a", "dense", outcomes=outcomes),
        *visits(noisy(1e-3, 8, 0.02, 2), "b", "dense", outcomes=outcomes),
    ]
    folder = written(run(records), tmp_path / "run")
    level = summarise(run(records)).visits[records[0].cell].level
    assert level is not None
    limit = f"{1e3 * level.seconds:.9f}ms"
    (choice,) = json.loads(call("pick", folder, "--under", limit, "--model", "a", "--json").out)[
        "choices"
    ]
    assert choice["chosen"] is None
    assert choice["nearest"][0]["chance"] == pytest.approx(0.5, abs=0.01)


def test_limits_of_the_suite_count(call: Call, tmp_path: Path) -> None:
    suite = '[pick]\nmax_drop = "12 points"\nmax_size = "200kB"\n[margin]\nlatency = "5%"'
    folder = written(run(RECORDS, request={"suite": suite}), tmp_path / "run")
    assert picked(call, folder) == (0, "small/int8")
    assert picked(call, folder, "--max-drop", "0.5") == (0, "big/int8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--under", "5"), '--under = "5": must be written as "5ms"'),
        (("--under=-1ms",), "must be written as"),
        (("--under", "nanms"), "must be written as"),
        (("--max-size", "2 parsecs"), 'must be written as "2MB"'),
        (("--max-drop", "a lot"), 'must be written as "0.5 points"'),
        (("--sure", "20%"), "between 50% and 100%"),
        (("--device", "cpx"), "cpu"),
    ],
)
def test_what_is_no_limit_is_refused(
    call: Call, folder: Path, words: tuple[str, ...], says: str
) -> None:
    told = call("pick", folder, *words)
    assert told.code == bench.USER_ERROR
    assert says in told.err


def test_a_run_without_valid_cells_has_nothing_to_choose_from(call: Call, tmp_path: Path) -> None:
    told = call("pick", written(run([failed()]), tmp_path / "run"))
    assert told.code == bench.USER_ERROR
    assert "nothing to choose from" in told.err


def test_limits_are_read() -> None:
    pick = Pick(max_drop="1.5 points", under="250 µs", max_size="1MiB", max_memory="", sure="95%")
    assert dataclasses.astuple(_pick.limits(pick)) == pytest.approx(
        (0.015, 250e-6, 2**20, None, 0.95)
    )
    with pytest.raises(UserError, match=r"suite, \[pick\]|\[pick\] under"):
        _suite.pick('[pick]\nunder = "fast"')
    with pytest.raises(UserError, match="margin"):
        _suite.margin('[margin]\nlatency = "2 points"')


def test_a_page_says_in_short_what_to_ship_and_what_pruning_brought(tmp_path: Path) -> None:
    summary = summarise(run([*RECORDS, failed("big", "rare")]))
    told = "\n".join(_short.lines(summary))
    assert "ship big/int8" in told
    assert "largest speed-up that surely loses less than half a point" in told
    assert "1 of 6 cells failed or were not run" in told
    page = report.write(summary, tmp_path)[0].read_text()
    assert page.index("In short") < page.index("big/int8") < page.index("<svg")


def test_what_no_example_proves_is_not_called_safe() -> None:
    few = {"outcomes": "1" * 9 + "0"}
    records = [*visits([2e-3] * 3, "a", "dense", **few), *visits([1e-3] * 3, "a", "int8", **few)]
    told = "\n".join(_short.lines(summarise(run(records))))
    assert "No compressed net is known to lose less than half a point" in told
    assert "surely" not in told


def test_the_command_of_a_row_measures_it_alone() -> None:
    request = {
        "suite": "blocks = 3",
        "effort": "gate",
        "models": ["big", "it's"],
        "precision": 0.01,
    }
    header = run(RECORDS, request=request).header
    whole = "bench.py run demo.toml --model big --model 'it'\"'\"'s' --effort gate --precision 0.01"
    assert _repeat.command(header) == whole
    row = summarise(run(RECORDS, request=request)).rows[1]
    assert _repeat.command(header, row) == (
        "bench.py run demo.toml --device cpu --model big --recipe int8 --threads 1 --effort gate "
        "--precision 0.01 --scenario single"
    )
    assert _repeat.command(run(RECORDS).header) == ""


def test_what_is_published_has_no_folder_of_the_user(call: Call, tmp_path: Path) -> None:
    request = {"suite": "blocks = 3", "folder": "/home/me/secret"}
    folder = written(run(RECORDS, request=request), tmp_path / "run")
    told = call("report", folder, "--json")
    files = [path.read_text() for path in (folder / "report").glob("*.[hcj][ts][mvo]*")]
    assert len(files) >= 4
    assert not any("secret" in text for text in (told.out, *files))
    assert json.loads(told.out)["schema"] == "paretomark/report/1"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("＝1+1", "'＝1+1"),
        ("a;=1+1", "a;'=1+1"),
        ("a; @SUM", "a; '@SUM"),
        ("plain - text", "plain - text"),
    ],
)
def test_no_cell_of_a_csv_starts_a_formula(cell: str, safe: str) -> None:
    assert _csv.text([{"x": cell}]).splitlines()[1] == safe
