"""The command line as a whole: version, flags, patterns, and what a terminal cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.devices.measure._request import RunRequest
from paretomark.reports import _encoding
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

BENCH = Path(bench.__file__)


def printed(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, with these variables of the environment."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONIOENCODING", "LC_ALL")}
    return subprocess.run(
        [sys.executable, str(BENCH), *map(str, words)],
        capture_output=True,
        env={**environment, "COLUMNS": "80", **variables},
    )


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"paretomark {metadata.version('paretomark')}\n"


@pytest.mark.parametrize(
    ("words", "usage", "told"),
    [
        (["run", "quick", "--modle", "x"], "bench.py run [-h]", "--modle; did you mean --model?"),
        (["report", "--jsn"], "bench.py report [-h]", "--jsn; did you mean --json?"),
        (["leaderboard", "--uot=site"], "bench.py leaderboard [-h]", "--uot; did you mean --out?"),
        (["history", "--zzz"], "bench.py history [-h]", "unknown flag --zzz\n"),
        (["--hlep", "run"], "bench.py [-h]", "--hlep; did you mean --help?"),
        (["show", "a", "b"], "bench.py show [-h]", "unexpected: b"),
    ],
)
def test_a_flag_that_is_none_shows_the_usage_of_its_command_and_the_nearest(
    words: list[str], usage: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(words)
    assert ended.value.code == bench.USER_ERROR
    err = capsys.readouterr().err
    assert err.startswith(f"usage: {usage}")
    assert told in err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("paretomark comp", {"compare"}),
        ("paretomark history --sui", {"--suite"}),
        ("paretomark compare --require ", {"conclusive"}),
        ("paretomark no-such-command --", {"--help", "--plugins", "--version"}),
    ],
)
def test_a_shell_is_told_what_may_come_next(typed: str, told: set[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="pip install 'paretomark[completion]'")
    answer = tmp_path / "answer"
    asked = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "_ARGCOMPLETE": "1"}
    names = {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n"}
    printed(**asked, **names)
    assert {word.strip() for word in answer.read_text().splitlines()} == told


def test_a_command_that_is_none_is_named_with_the_nearest(call: Callable[..., Called]) -> None:
    result = call("comapre", "a", "b")
    assert result.code == bench.USER_ERROR
    assert "unknown command 'comapre'; did you mean 'compare'?" in result.err


def test_what_is_short_for_a_flag_still_works(call: Callable[..., Called], tmp_path: Path) -> None:
    run = _runs.written(_runs.run(_runs.visits([1e-3])), tmp_path / "run")
    assert call("report", run, "--js").code == 0


@pytest.mark.parametrize(
    ("devices", "models", "recipes", "count"),
    [
        (["litert:*"], [], [], 14),
        ([], ["scenes_m*", "scenes_resnet"], ["pruned??"], 10),
        (["*"], ["*"], ["fp[13]*"], 13),
    ],
)
def test_a_pattern_names_all_that_are_like_it(
    devices: list[str], models: list[str], recipes: list[str], count: int
) -> None:
    _, cells = RunRequest.of("quick", devices, models, recipes).plan()
    assert len(cells) == count


def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"--recipe: no recipe matches 'prned\*'; did you mean 'pr"):
        RunRequest.of("quick", [], [], ["prned*"]).plan()
    with pytest.raises(UserError, match=r"no model matches 'timm:res\*'; .*valid: scenes_mob"):
        RunRequest.of("quick", [], ["timm:res*"], []).plan()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("±0.3 µs → ● ≈ −1 Δ 2× ▼", "+-0.3 us -> * ~ -1 d 2x v"),
        ("┏━┃─│╭", "--|-|-"),
        ("Ünï ﬁ Größe 名", "Uni fi Grosse ?"),
    ],
)
def test_what_ascii_lacks_has_a_likeness(text: str, told: str) -> None:
    assert _encoding.plain(text) == told


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
    ],
    ids=["latin-1", "cp1252", "C"],
)
@pytest.mark.slow
def test_every_command_prints_in_any_encoding(tmp_path: Path, variables: dict[str, str]) -> None:
    a, b = (
        _runs.written(_runs.realistic(seed=seed, slower=slower), tmp_path / name)
        for name, seed, slower in (("a", 1, 1.0), ("b", 2, 1.3))
    )
    foreign = (tmp_path / "µ→", "näht")  # which the shell's encoding may lack
    commands: list[tuple[str | Path, ...]] = [
        ("report", a), ("compare", a, b), ("compare", a, b, "--markdown"), ("--help",),
        ("history", "--runs", tmp_path), ("export", a, "--format", "csv"),
        ("leaderboard", a, b, "--out", tmp_path / "site"),
        ("report", foreign[0]), ("run", foreign[1]),
    ]  # fmt: skip
    for words in commands:
        done = printed(*words, **variables)
        assert b"Traceback" not in done.stdout + done.stderr, done.stderr.decode("latin-1")
        assert done.returncode in (0, 1, 2)
        said = (done.stdout + done.stderr).decode(variables.get("PYTHONIOENCODING", "ascii"))
        assert "?" not in said.replace("got worse?", "") or words[-1] in foreign


@pytest.mark.slow
def test_columns_stay_below_each_other_where_a_likeness_is_longer(tmp_path: Path) -> None:
    run = _runs.written(_runs.realistic(), tmp_path / "a")
    out = printed("report", run, PYTHONIOENCODING="ascii").stdout.decode("ascii")
    lines = [line for line in out.splitlines() if line.startswith("scenes_") and "kB" in line]
    assert len(lines) > 5
    assert all("+-" in line for line in lines[:5])
    assert len({line.index(" kB") for line in lines[:5]}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False])
def test_a_page_is_opened_in_a_browser_if_there_is_one(
    tmp_path: Path, there: bool, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def show(page: str) -> bool:
        opened.append(page)
        return there

    monkeypatch.setattr(webbrowser, "open", show)
    run = _runs.written(_runs.run(_runs.visits([1e-3, 1e-3])), tmp_path / "a")
    page = tmp_path / "c.html"
    result = call("compare", run, run, "--html", page, "--open")
    assert opened == [page.as_uri()]
    assert page.exists()
    assert (f"open {page} in one" in result.err) is not there
    result = call("compare", run, run, "--open")
    assert (result.code, "by --html FILE" in result.err) == (bench.USER_ERROR, True)
    result = call("history", "--runs", tmp_path, "--open")
    assert (result.code, "by --html FILE" in result.err) == (bench.USER_ERROR, True)


EVIL = "\x1b]0;owned\x07\x9b31m\u202ex\n\r\x08y"


@pytest.mark.slow
def test_nothing_foreign_brings_control_characters_to_a_terminal(
    tmp_path: Path, call: Callable[..., Called], capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs come from elsewhere, and every text in them may be anything."""
    told = {name: EVIL for name in ("steps", "precision", "data", "simulated")}
    records = [
        *_runs.visits([1e-3, 1.1e-3], "a" + EVIL, "dense", "cpu" + EVIL, warnings=(EVIL,)),
        *_runs.visits([1e-3, 1.1e-3], "a" + EVIL, "r" + EVIL, "cpu" + EVIL, **told),
        *_runs.visits([1e-3], "b", flags=(EVIL,), broken=EVIL, energy_why=EVIL),
        _runs.failed("c" + EVIL, stage=EVIL, reason=EVIL),
    ]
    host = {**_runs.HOST, "chip": EVIL, "system": EVIL, "python": EVIL, "fingerprint": EVIL}
    probes = [
        {**_runs.PROBES[0], "chip": EVIL, "versions": {EVIL: EVIL}, "device": "cpu" + EVIL},
        {**_runs.PROBES[1], "reason": EVIL, "remedy": EVIL},
    ]
    made = [
        _runs.run(
            records, suite=EVIL, title=EVIL, commit=commit, host=host, probes=probes, version=EVIL,
            started=f"2026-01-0{day}T03:04:05+00:00",
        )
        for day, commit in ((1, EVIL), (2, "b"))
    ]  # fmt: skip
    a, b = (_runs.written(run, tmp_path / str(i)) for i, run in enumerate(made))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text(EVIL)
    commands: list[tuple[str | Path, ...]] = [
        ("report", a), ("compare", a, b, "--by-name", "--all"), ("runs", "--runs", tmp_path),
        ("compare", a, b, "--markdown"), ("history", "--runs", tmp_path, "--machine", EVIL),
        ("leaderboard", a, "--out", tmp_path / f"site{EVIL[-1]}"), ("recipes", f"{EVIL}.toml"),
        ("show", EVIL), ("show", EVIL, EVIL), ("show", f"--{EVIL}"), ("import", EVIL),
        ("devices", "--device", EVIL), ("profile", EVIL),
    ]  # fmt: skip
    codes = []
    for words in commands:
        try:
            result = call(*words)
            codes.append(result.code)
            said = result.out + result.err
        except SystemExit:  # of argparse
            said = "".join(capsys.readouterr())
        bad = {c for c in said if not c.isprintable()} - {"\n"}
        assert not bad, (words[0], bad, said)
    assert codes[:4] == [0, 0, 0, 0]


def test_errors_bring_no_control_characters_to_a_terminal(call: Callable[..., Called]) -> None:
    result = call("run", "quick", "--model", "\x1b[31mred\x07\n\u202eback")
    assert result.code == bench.USER_ERROR
    assert all(c.isprintable() for c in result.err.rstrip("\n"))
