"""A training that was stopped ends in the weights of one that was not; and when it stops early."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from paretomark.models import _cache
from paretomark.models.data import _data
from paretomark.models.nets import _zoo
from paretomark.models.training import _checkpoint, _train

pytestmark = pytest.mark.build

EPOCHS = 4
KILLED = """
import os, signal, sys
from pathlib import Path
from paretomark.models.training import _train
def report(epoch, epochs, loss, score):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
_train.train("digits_mlp", Path(sys.argv[1]), epochs=4, seed=9, report=report)
"""


@pytest.fixture(autouse=True)
def _alone(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # of the child


def checkpoints() -> list[Path]:
    return sorted((_cache.folder() / "training").glob("*"))


def trained(out: Path, seed: int = 9, **more: Any) -> tuple[dict[str, Tensor], list[int]]:
    """The weights, and which epochs were trained for them."""
    epochs: list[int] = []
    _train.train(
        "digits_mlp",
        out,
        epochs=EPOCHS,
        seed=seed,
        report=lambda epoch, *rest: epochs.append(epoch),
        **more,
    )
    return load_file(out), epochs


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole, epochs = trained(tmp_path / "whole")
    assert epochs == [1, 2, 3, 4]
    assert not checkpoints()  # nothing is left of a training that is done
    command = [sys.executable, "-P", "-c", KILLED, str(tmp_path / "killed")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert len(checkpoints()) == 1
    resumed, epochs = trained(tmp_path / "killed")
    assert epochs == [3, 4]
    assert same(whole, resumed)
    assert not checkpoints()


def interrupted(out: Path, seed: int) -> None:
    def report(epoch: int, *rest: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train.train("digits_mlp", out, epochs=EPOCHS, seed=seed, report=report)


def test_a_checkpoint_is_of_one_recipe_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    interrupted(tmp_path / "a", seed=9)
    (file,) = checkpoints()
    other, epochs = trained(tmp_path / "b", seed=8)
    assert epochs == [1, 2, 3, 4]
    assert checkpoints() == [file]
    file.write_bytes(file.read_bytes()[:1000])
    anew, epochs = trained(tmp_path / "a", seed=9)
    assert epochs == [1, 2, 3, 4]
    assert not same(anew, other)


def test_what_a_training_depends_on_names_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = importlib.import_module("paretomark.models.nets.digits_mlp").TRAIN
    taught = replace(recipe, teacher="digits_cnn")
    places = {
        _checkpoint.checkpoint_file(name, r)
        for name in ("digits_mlp", "digits_cnn")
        for r in (recipe, taught, replace(recipe, lr=0.5))
    }
    assert len(places) == 6
    before, other = _checkpoint.checkpoint_file("digits_mlp", taught), _zoo.weights("digits_mlp")
    monkeypatch.setattr(_zoo, "weights", lambda name: other)
    assert (
        _checkpoint.checkpoint_file("digits_mlp", taught) != before
    )  # other weights of the teacher


def test_training_stops_early_where_the_loss_no_longer_falls() -> None:
    file = importlib.import_module("paretomark.models.nets.digits_mlp")
    train = _data.load("digits", "train", 128)
    losses: list[float] = []

    def fit(patience: int) -> int:
        losses.clear()
        recipe = replace(file.TRAIN, epochs=12, lr=1e-9, patience=patience)
        torch.manual_seed(0)
        _train.fit(
            file.net(),
            train.images,
            train.labels,
            file.PREPROCESS,
            recipe,
            report=lambda epoch, epochs, loss, score: losses.append(loss),
        )
        return len(losses)

    assert fit(patience=3) == 4  # the first, and three that were no better
    assert fit(patience=0) == 12  # off
