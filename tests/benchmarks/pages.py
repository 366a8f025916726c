"""How large the page of a large run is, how long it takes to write, to open and to sort.

    .venv/bin/python tests/benchmarks/pages.py [--cells 1000] [--repetitions 5]

The run is made up: that many cells of three visits. Opening is from the start of the navigation to
the end of the page's script with everything laid out, in headless Chromium; sorting is from a click
on a title to the new order being laid out.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from paretomark import bench
from paretomark.tests import _browser, _needs
from paretomark.tests.benchmarks import comparing

SCRIPT = """
const laid = () => document.body.offsetHeight;
laid();
const opened = performance.now();
const every = [...document.querySelectorAll("table.sort")]
  .find((table) => table.querySelector("tr[data-all]"));
const sorts = [...every.tHead.rows[0].cells].filter((head) => head.offsetWidth).map((head) => {
  const start = performance.now();
  head.firstChild.click();
  laid();
  return performance.now() - start;
});
document.querySelectorAll(".more").forEach((more) => more.click());
laid();
const start = performance.now();
every.tHead.rows[0].cells[4].firstChild.click();
laid();
const whole = performance.now() - start;
const field = document.querySelector("select[name=model]");
const before = performance.now();
field.selectedIndex = 1;
field.dispatchEvent(new Event("input"));
laid();
return { opened, sorts, whole, filtered: performance.now() - before };
"""


def main() -> None:
    """Make the run, write its page, open it so often, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    browser = _needs.BROWSER.find()
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch, "run"), Path(scratch, "page")
        comparing.made(folder, arguments.cells, 1)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, str(bench.__file__), "report", str(folder), "--out", str(out)]
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        page = out / "index.html"
        print(f"{arguments.cells} cells: report {spent_s:.1f} s of processor time")
        print(f"page {page.stat().st_size / 1e6:.2f} MB")
        if browser is None:
            print(_needs.BROWSER.missing)
            return
        found = [
            _browser.told(browser, page, SCRIPT, timed=True) for _ in range(arguments.repetitions)
        ]
        sorts = [ms for each in found for ms in each["sorts"]]
        for name, times in (
            ("opened", [each["opened"] for each in found]),
            ("sorted, 60 rows shown", sorts),
            ("sorted, all shown", [each["whole"] for each in found]),
            ("filtered", [each["filtered"] for each in found]),
        ):
            print(f"{name}: {median(times) / 1e3:.2f} s, at most {max(times) / 1e3:.2f} s")


if __name__ == "__main__":
    main()
