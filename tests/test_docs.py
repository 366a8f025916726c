"""What the documents say holds: tables, links, files, suites and commands that they name."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretomark import bench
from paretomark.devices import _device
from paretomark.docs import tables
from paretomark.models.compress import _step, _tuning
from paretomark.models.export import _export
from paretomark.models.nets import _zoo
from paretomark.suites.spec import _plan, _plugins, _suite

ROOT = tables.ROOT
README = ROOT / "README.md"
PAGES = [*tables.documents(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ROOMS = ("bench", ".ci", "devices", "docs", "examples", "models", "reports", "suites", "tests")
FILE = re.compile(rf"`((?:{'|'.join(map(re.escape, ROOMS))})[/.][\w./-]*)`")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of all pages in a language, each with the name of its page."""
    for page in PAGES:
        yield from ((page.name, b) for name, b in FENCED.findall(text(page)) if name == language)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", tables.documents(), ids=lambda page: page.name)
def test_tables_are_those_of_the_code(page: Path) -> None:
    assert tables.written(text(page)) == text(page), "run `make docs`"


def test_every_table_stands_in_one_document() -> None:
    named = [name for page in PAGES for _, name, _ in tables.TABLE.findall(text(page))]
    assert sorted(named) == sorted(tables.TABLES)


def test_a_stale_table_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "recipes.md"
    page.parent.mkdir()
    (tmp_path / "README.md").touch()
    page.write_text(text(ROOT / "docs" / "recipes.md").replace("`magnitude` |", "`largest` |"))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    assert tables.main() == 1
    assert "docs/recipes.md: stale" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    assert tables.main() == 0
    assert text(page) == text(ROOT / "docs" / "recipes.md")


def test_tables_are_made_without_what_is_heavy() -> None:
    code = (
        "import sys; from paretomark.docs import tables\n"
        "for make in tables.TABLES.values(): make()\n"
        "print([m for m in ('torch', 'onnx', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_tables_leave_nothing_unsaid() -> None:
    assert [line for line in tables.keys().splitlines() if line.endswith("|  |")] == []
    assert [line for line in tables.training().splitlines() if line.endswith("|  |")] == []
    for name in ("magnitude", "clip"):
        assert (f"`{name}`" in tables.methods()) == (name == "magnitude")  # one of no user's


def test_the_readme_is_short() -> None:
    assert len(text(README).splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", text(target), re.MULTILINE)), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    """From the root on; names in capitals stand for any name."""
    for name in FILE.findall(text(page)):
        if not re.search(r"[A-Z]{2}", name):
            assert (ROOT / name).exists(), name


def test_every_room_and_wing_has_its_line() -> None:
    page = text(ROOT / "docs" / "architecture.md")
    rooms = ("devices", "models", "reports", "suites")
    found = [place.parent for room in rooms for place in (ROOT / room).rglob("__init__.py")]
    wings = {place.relative_to(ROOT).as_posix() for place in found}
    assert len(wings) > 12
    for wing in wings - {"models"}:
        assert f"`{wing}/`" in page or f"`{wing}/*" in page, wing
    hops = re.findall(r"^\d+\. `([\w/]+\.py)`", page, re.MULTILINE)
    assert (hops[0], hops[-1]) == ("bench.py", "reports/report.py")
    assert len(hops) == len(set(hops)) <= 10


def test_every_parameter_of_a_method_is_explained() -> None:
    glossary = tables.TABLE.sub("", text(ROOT / "docs" / "recipes.md"))
    explained = {
        name
        for line in glossary.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    parameters = {p for m in tables.own("methods") for p in _step.methods()[m]}
    assert parameters - set(_tuning.Tuning.__annotations__) <= explained
    assert explained <= parameters | {"count"}


def test_the_state_of_every_device_is_told() -> None:
    """In the README, and in the table of docs/devices.md that people keep."""
    targets = [t for t in _device.targets() if not t.startswith("fake")]
    for page in (README, ROOT / "docs" / "devices.md"):
        kept = tables.TABLE.sub("", text(page))
        told = {name for line in kept.splitlines() if "| " in line for name in _targets(line)}
        assert set(targets) <= told, page.name


def _targets(line: str) -> Iterator[str]:
    """The targets in a line of a table: "`pytorch:eager`, `:compile`" are two."""
    adapter = ""
    for name in re.findall(r"`([\w:@-]+)`", line):
        adapter = adapter if name.startswith(":") else name.partition(":")[0]
        yield adapter + name if name.startswith(":") else name


def test_suites_in_documents_are_valid() -> None:
    nets, whole = set(), 0
    for page, block in blocks("toml"):
        if not {"model", "devices"} <= set(tomllib.loads(block)):  # a part of one
            continue
        whole += 1
        suite = _suite.parse(block, page, Path("/suites"))
        known = _zoo.names(), _step.methods(), _device.loads(), _export.precisions()
        cells = _plan.plan(suite, *known)
        for steps in {str(c.recipe.steps): c.recipe.steps for c in cells}.values():
            _step.check(steps, None)
        nets |= {m.net.partition(":")[0] + Path(m.file).suffix for m in suite.model.values()}
    assert whole > 5
    assert nets >= {"timm", "python", "file.onnx", "file.tflite", "file.pt2"}


def test_commands_in_documents_are_taken(plugins_kept: None) -> None:
    _plugins.add(ROOT / "examples" / "my_plugins")
    lines = [line for _, b in blocks("") for line in b.splitlines() if line.startswith("bench.py ")]
    assert len(lines) > 10
    for line in lines:
        command, _, _ = line.removeprefix("bench.py ").partition("  ")
        words = shlex.split(re.sub(r"--plugins \S+|\.\.\.", "", command))
        bench.parser_of(words).parse_args(words)


def test_programs_in_documents_are_python() -> None:
    programs = list(blocks("python"))
    assert programs
    for _, program in programs:
        ast.parse(program)
