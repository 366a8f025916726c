"""What a page does in a browser: sorting, filters, tips, links; and whether all can use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretomark.reports import report
from paretomark.suites.records._summary import summarise
from paretomark.tests import _browser, _needs
from paretomark.tests._runs import realistic, run, visits

pytestmark = pytest.mark.slow

Told = Callable[..., Any]
FOUND = """
const q = (s) => document.querySelector(s), qq = (s) => [...document.querySelectorAll(s)];
const every = qq("table.sort").find((t) => t.querySelector("tr[data-all]"));
const shown = () => [...every.tBodies[0].rows].filter((row) => row.offsetHeight);
const column = (title) => [...every.tHead.rows[0].cells].findIndex((h) => h.textContent === title);
const values = (title) => shown().map((row) => row.cells[column(title)].textContent);
const press = (title) => every.tHead.rows[0].cells[column(title)].firstChild.click();
const choose = (name, value) => { const f = q(`select[name=${name}]`); f.value = value;
  f.dispatchEvent(new Event("input")); };
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(summarise(realistic()), tmp_path_factory.mktemp("page"))[0]


@pytest.fixture
def told(page: Path) -> Told:
    browser = _needs.BROWSER.found()
    return lambda script, **how: _browser.told(browser, page, FOUND + script, **how)


def test_the_best_come_first_and_then_last(told: Told) -> None:
    fastest, slowest, best = told(
        'press("latency"); const a = values("latency"); press("latency");'
        'const b = values("latency"); press("accuracy"); return [a, b, values("accuracy")];'
    )
    known = [text for text in fastest if text != "–"]
    assert fastest[: len(known)] == known  # what is not known stands last, both times
    assert slowest[: len(known)] == known[::-1]
    shares = [float(text.split()[0]) for text in best if text != "–"]
    assert shares == sorted(shares, reverse=True)


def test_filters_narrow_tables_and_plots_and_stand_in_the_address(told: Told) -> None:
    models, out, left, address = told(
        'choose("model", "scenes_repvgg"); choose("precision", "int8");'
        'const gone = qq("svg [data-c].out").length, points = qq("svg [data-c]").length;'
        'return [values("model"), points - gone, q("#left").textContent, location.hash];'
    )
    assert {*models} == {"scenes_repvgg"}
    assert left == f"{len(models)} cells"
    assert 0 < out <= len(models)
    again = told('return [values("model"), q("select[name=model]").value];', address=address)
    assert again == [models, "scenes_repvgg"]


def test_a_link_shows_the_same_order(told: Told) -> None:
    order, address = told('press("accuracy"); return [values("accuracy"), location.hash];')
    assert told('return values("accuracy");', address=address) == order


def test_what_stands_in_an_address_is_only_looked_up(told: Told) -> None:
    hostile = (
        "#model=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&sort0=999.ascending&sort1=x&word=%3Cb"
    )
    assert told('return [q("main img"), shown().length];', address=hostile) == [None, 0]


def test_points_and_rows_of_a_cell_are_pointed_out_together(told: Told) -> None:
    tip, same, labelled, closed = told(
        'const p = q("svg [data-c][tabindex]"); p.dispatchEvent(new Event("focus"));'
        'const t = q(".tip"); const text = t.hidden ? "" : t.textContent;'
        'const s = qq("tr.same").map((row) => row.dataset.c === p.dataset.c);'
        'const l = qq("svg [data-c]").every((each) => each.getAttribute("aria-label"));'
        'dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));'
        "return [text, s, l, t.hidden];"
    )
    assert "accuracy in" in tip
    assert "±" in tip
    assert len(same) >= 2
    assert all(same)
    assert labelled
    assert closed


def test_few_columns_are_shown_and_all_on_demand(told: Told) -> None:
    script = (
        "const wide = () => [...every.tHead.rows[0].cells].filter((h) => h.offsetWidth).length;"
        'const a = wide(); q("#few").click(); return [a, wide(), location.hash];'
    )
    few, many, address = told(script)
    assert few < 15 < many
    assert "columns=all" in address


def test_a_long_table_shows_its_first_rows_and_all_on_demand(tmp_path: Path) -> None:
    records = [r for i in range(90) for r in visits([1e-3 * (1 + i)] * 2, f"net{i}")]
    page = report.write(summarise(run(records)), tmp_path)[0]
    script = (
        'const a = shown().length; press("latency"); press("latency");'
        'const first = values("model")[0], b = shown().length;'
        'const more = qq(".more").find((m) => !m.hidden); more.click();'
        "return [a, first, b, shown().length, more.hidden];"
    )
    found = _browser.told(_needs.BROWSER.found(), page, FOUND + script)
    assert found == [60, "net89", 60, 90, True]


@pytest.mark.parametrize("dark", [False, True])
def test_all_can_use_it(page: Path, dark: bool) -> None:
    """By axe-core: nothing that it calls critical or serious."""
    axe = _needs.AXE.found().read_text(encoding="utf-8")
    script = (
        "const found = await axe.run(); return found.violations"
        '.filter((v) => ["critical", "serious"].includes(v.impact))'
        ".map((v) => [v.id, v.nodes.slice(0, 3).map((node) => node.html)]);"
    )
    browser = _needs.BROWSER.found()
    assert _browser.told(browser, page, script, libraries=axe, dark=dark) == []
