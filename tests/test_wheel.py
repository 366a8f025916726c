"""The project as it is installed: sdist and wheel, in an environment outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.build

ROOT = Path(__file__).parent.parent
ROOMS = ("devices", "models", "reports", "suites")
FILES = ("__init__.py", "bench.py", "pyproject.toml", "README.md", "LICENSE")
SUITE = """
devices = ["fake:ok", "onnxruntime:cpu"]
blocks = 1
seconds = 0.02
examples = 20
[model.mine]
net = "python:net.py:small"
weights = "random"
preprocess = { size = [8, 8], mean = [0.0], std = [255.0] }
[recipe.fp32]
[recipe.pruned]
steps = [{ method = "magnitude", sparsity = 0.5 }]
"""
NET = """
from torch import nn

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `paretomark` command of a fresh environment: of the wheel that the sdist makes.

    What it depends on is taken from the environment of the tests, in which it is not installed but
    by reference to the checkout, a reference that is not followed from elsewhere.
    """
    folder = tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / "source" / room)
    for file in FILES:
        shutil.copy(ROOT / file, folder / "source")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    run([*build, str(folder / "source")])
    assert len(list((folder / "dist").glob("paretomark-*.tar.gz"))) == 1
    (wheel,) = (folder / "dist").glob("paretomark-*.whl")
    venv.create(folder / "env", with_pip=True)
    run([str(folder / "env/bin/pip"), "install", "--quiet", "--no-deps", str(wheel)])
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(folder / "source")
    return folder / "env/bin/paretomark"


def run(command: list[str], folder: Path | None = None) -> str:
    """What a command prints, without anything of the checkout on its path."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    done = subprocess.run(
        command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_runs_a_suite_that_comes_along(installed: Path, tmp_path: Path) -> None:
    arguments = ["run", "quick", "--model", "digits_cnn", "--recipe", "fp32", "--recipe", "int8"]
    told = json.loads(run([str(installed), *arguments, "--json"], tmp_path))
    rows = told["rows"]
    assert {row["device"] for row in rows} == {"litert:xnnpack", "onnxruntime:cpu", "pytorch:eager"}
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["accuracy"] > 0.9 for row in rows)
    (header,) = tmp_path.glob("runs/*/run.json")
    assert "site-packages" in json.loads(header.read_text())["request"]["folder"]
    (page,) = tmp_path.glob("runs/quick-*/report/index.html")
    assert "digits_cnn" in page.read_text()


def test_it_runs_a_suite_of_the_users_own(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SUITE)
    (tmp_path / "net.py").write_text(NET)
    told = json.loads(run([str(installed), "run", "own.toml", "--json"], tmp_path))
    assert [row["status"] for row in told["rows"]] == ["ok"] * 4


def test_every_listing_is_whole(installed: Path, tmp_path: Path) -> None:
    """Nets with their weights, methods, formats, tasks and reports are all in the wheel."""
    python = str(installed.with_name("python"))
    code = (
        "import json; from paretomark.models.nets import _families, _zoo\n"
        "from paretomark.suites.spec import _plugins, _suite\n"
        "names = {kind: _plugins.names(kind) for kind in _plugins.KINDS}\n"
        "names['weights'] = [n for n in _zoo.names() if _zoo.weights(n).exists()]\n"
        "names['suites'] = _suite.names()\n"
        "names['families'] = sorted({entry.family for entry in _families.entries()})\n"
        "print(json.dumps(names))"
    )
    here = json.loads(run([sys.executable, "-P", "-c", code], tmp_path))
    assert json.loads(run([python, "-P", "-c", code], tmp_path)) == here
    assert len(here["weights"]) >= 9
