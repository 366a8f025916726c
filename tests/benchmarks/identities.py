"""What a suite is made of: for each artifact its identity and the sha256 of its file, a line each.

    python tests/benchmarks/identities.py SUITE > before.txt

Two checkouts build the same if the identities are equal, and the very same files if the sha256 are
too. Builds what is not in the cache; to compare builds, give each a PARETOMARK_CACHE of its own.
"""

from __future__ import annotations

import sys

from paretomark.devices import _device
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec import _suite


def main() -> None:
    path = _suite.locate(sys.argv[1])
    request = RunRequest(_suite.text(path), path.stem, str(path.parent.absolute()))
    suite, cells = request.plan()
    formats = _device.formats()
    orders = {
        f"{cell.model.name}/{cell.recipe.name}.{form}": BuildSpec(
            cell.model, cell.recipe, form, cell.batch, suite.examples, suite.seed
        )
        for cell in cells
        for form in [cell.file_format or formats[cell.device]]
    }
    distinct = list(orders.values())
    built = _build.build(distinct, suite.build_deadline_s, lambda order, result: None)
    for name, order in sorted(orders.items()):
        result = built[_build.key(order)]
        if isinstance(result, Artifact):
            print(f"{name:40} {result.identity} {result.sha256}")
        else:
            print(f"{name:40} {result.status}: {result.reason}")


if __name__ == "__main__":
    main()
