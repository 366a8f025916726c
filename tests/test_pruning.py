"""Pruning by weights, blocks and patterns, against closed forms, brute force and torch's own."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import prune

from paretomark.models.compress import _step, gradual, rigl
from paretomark.models.compress._budgets import erk
from paretomark.models.data import _data
from paretomark.models.nets import _zoo
from paretomark.models.training import _train
from paretomark.suites.spec._model import Preprocess

pytestmark = pytest.mark.build

CTX = _step.Context("digits", Preprocess((8, 8), (0.0,), (255.0,)), seed=0)
SHORT = {"epochs": 2, "count": 640, "lr": 0.1}  # 20 steps
Tensors = dict[str, Tensor]
Watch = Callable[[nn.Module, Tensors, Tensors, Tensors], None]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """The nets are small, and the threads of small operators wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(name: str = "digits_mlp") -> nn.Module:
    net: nn.Module = importlib.import_module(f"paretomark.models.nets.{name}").net()
    net.load_state_dict(load_file(_zoo.weights(name)))
    return net.eval()


def step(net: nn.Module, method: str, **parameters: Any) -> nn.Module:
    return _step.apply(net, {"method": method, **parameters}, CTX)


def weights(net: nn.Module) -> Tensors:
    return {n: p.detach().clone() for n, p in net.named_parameters() if p.ndim > 1}


def nonzeros(net: nn.Module) -> dict[str, int]:
    return {name: int(weight.count_nonzero()) for name, weight in weights(net).items()}


def layers() -> nn.Sequential:
    """A first convolution that is left dense, and three layers; never run as a net."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3), nn.Linear(40, 10)
    )


@pytest.fixture
def watches(monkeypatch: pytest.MonkeyPatch) -> list[Watch]:
    """Called in each real step: `watch(net, weights before, masks before, masks after)`."""
    fit = _train.fit
    watched: list[Watch] = []

    def spied(net: nn.Module, *args: Any, masks: Any, remask: Any, **others: Any) -> None:
        def spy(step: int, steps: int) -> None:
            values, before = weights(net), {n: m.clone() for n, m in masks.items()}
            remask(step, steps)
            for watch in watched:
                watch(net, values, before, masks)

        fit(net, *args, masks=masks, remask=spy, **others)

    monkeypatch.setattr(_train, "fit", spied)
    return watched


def test_erk_densities_are_those_by_hand_with_a_layer_that_is_capped() -> None:
    # (4+4+1+1)/16 = 0.625, (8+4+3+3)/288 = 0.0625, (10+40)/400 = 0.125. Of 704 weights 176 stay:
    # 176 / (10 + 18 + 50) x 0.625 > 1, so the first stays dense and 160 / 68 scales the others.
    shapes = [(4, 4, 1, 1), (8, 4, 3, 3), (10, 40)]
    densities = erk(shapes, [16, 288, 400], 0.75)
    assert densities == pytest.approx([1, 160 / 68 * 0.0625, 160 / 68 * 0.125])
    net = step(layers(), "magnitude", sparsity=0.75, scope="erk")
    assert list(nonzeros(net).values()) == [108, 16, 42, 118]
    assert erk(shapes, [16, 288, 400], 0.0) == [1, 1, 1]


def test_global_pruning_has_the_mask_that_torch_has() -> None:
    net = trained("digits_cnn")
    ours = weights(step(net, "magnitude", sparsity=0.7, prune_first=True, prune_depthwise=True))
    chosen = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured([(m, "weight") for m in chosen], prune.L1Unstructured, amount=0.7)
    for weight, module in zip(ours.values(), chosen, strict=True):
        assert torch.equal(weight, module.weight)


def test_the_cubic_schedule_has_the_values_by_hand() -> None:
    values = [gradual.cubic(share, 0.0, 0.8) for share in (0, 0.5, 0.75, 1)]
    assert values == pytest.approx([0, 0.7, 0.7875, 0.8])
    assert gradual.cubic(0.5, 0.2, 0.8) == pytest.approx(0.725)


@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_gradual_pruning_follows_the_cubic_and_then_stays(scope: str, watches: list[Watch]) -> None:
    seen: list[float] = []

    def watch(net: nn.Module, values: Tensors, before: Tensors, masks: Tensors) -> None:
        seen.append(1 - float(torch.cat([m.flatten() for m in masks.values()]).mean()))

    watches.append(watch)
    parameters = {"scope": scope, "begin": 0.1, "end": 0.6, "every": 5} | SHORT
    net = step(trained(), "gradual", sparsity=0.8, **parameters)
    # of 20 steps the masks are made at 2, 7 and 12
    assert seen == pytest.approx([0.0] * 7 + [0.7] * 5 + [0.8] * 8, abs=3e-4)
    assert sum(nonzeros(net).values()) == pytest.approx(0.2 * 6464, abs=1.5)


@pytest.mark.parametrize("schedule", [{"end": 0.0}, {"begin": 1.0, "end": 1.0}, {"every": 999}])
def test_gradual_pruning_arrives_however_short_the_schedule(schedule: dict[str, Any]) -> None:
    net = step(trained(), "gradual", sparsity=0.8, **schedule, **SHORT)
    assert sum(nonzeros(net).values()) == 6464 - round(0.8 * 6464)


def test_a_weight_that_comes_back_has_the_value_it_had(watches: list[Watch]) -> None:
    kept: Tensors = {}
    returned = []

    def watch(net: nn.Module, values: Tensors, before: Tensors, masks: Tensors) -> None:
        for name, weight in weights(net).items():
            kept[name] = values[name].where(before[name] > 0, kept.get(name, values[name]))
            back = (before[name] == 0) & (masks[name] > 0)
            assert torch.equal(weight[back], kept[name][back])
            assert not weight[masks[name] == 0].any()
            returned.append(int(back.sum()))

    watches.append(watch)
    step(trained(), "gradual", sparsity=0.2, end=0.5, every=4, epochs=4, count=640, lr=0.5)
    assert sum(returned) > 100


def test_rigl_moves_its_masks_and_keeps_the_count_in_every_step(watches: list[Watch]) -> None:
    moved: list[int] = []

    def watch(net: nn.Module, values: Tensors, before: Tensors, masks: Tensors) -> None:
        assert {n: int(m.sum()) for n, m in masks.items()} == counts
        grown = {n: (before[n] == 0) & (m > 0) for n, m in masks.items()}
        assert not any(values[n][where].any() for n, where in grown.items())
        moved.append(sum(int(where.sum()) for where in grown.values()))

    counts = nonzeros(step(trained(), "magnitude", sparsity=0.8, scope="erk"))
    watches.append(watch)
    net = step(trained(), "rigl", sparsity=0.8, every=4, until=0.7, **SHORT)
    assert nonzeros(net) == counts
    assert [i for i, count in enumerate(moved) if count] == [4, 8, 12]
    assert moved[4] > moved[8] > moved[12]


def test_rigl_can_start_at_random() -> None:
    chance = step(trained(), "rigl", sparsity=0.8, start="random", every=99, **SHORT)
    largest = step(trained(), "magnitude", sparsity=0.8, scope="erk")
    assert nonzeros(chance) == nonzeros(largest)
    first = weights(chance)["1.weight"] != 0
    assert (first & (weights(largest)["1.weight"] != 0)).sum() < 0.6 * first.sum()


def test_a_move_drops_the_smallest_and_grows_the_steepest() -> None:
    weight = torch.tensor([[0.1, -0.2, 0.3, 0.0, 0.0, 0.0], [0.0] * 6])

    def moved(gradient: list[float], fraction: float) -> list[float]:
        mask = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0] * 6])
        rigl.move(mask, weight, torch.tensor([gradient, [9.0] * 6]), fraction)
        assert not mask[1].any()  # an output that has no weight
        return mask[0].tolist()

    assert moved([0, 0, 9, 0.1, -0.5, 0.2], 0.7) == [0, 0, 1, 0, 1, 1]
    assert moved([0, -0.4, 0, 0.1, -0.5, 0.2], 0.7) == [0, 1, 1, 0, 1, 0]  # dropped and grown
    assert moved([0, 0, 0, 0, 0, 0.2], 0.7) == [0, 1, 1, 0, 0, 1]  # one has a gradient
    assert moved([1, 1, 1, 0, 0, 0], 1.0) == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
def test_n_m_keeps_the_best_of_all_patterns(n: int, m: int) -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(16, 3, 3), nn.Conv2d(6, 2, 1))
    net.append(nn.Linear(8, 5))
    got = weights(step(net, "n_m", pattern=f"{n}:{m}"))
    for name in ("1.weight", "3.weight"):
        dense, sparse = (w[name].reshape(*w[name].shape[:2], -1) for w in (weights(net), got))
        outputs, inputs, places = dense.shape
        for out, at, place in np.ndindex(outputs, inputs // m, places):
            group = dense[out, at * m : (at + 1) * m, place]
            patterns = itertools.combinations(range(m), n)
            best = max(patterns, key=lambda kept: group[[*kept]].abs().sum())
            expected = [float(v) if i in best else 0.0 for i, v in enumerate(group)]
            assert sparse[out, at * m : (at + 1) * m, place].tolist() == expected
    for name in ("0.weight", "2.weight"):  # the first, and one with 6 channels
        assert torch.equal(got[name], weights(net)[name])


@pytest.mark.parametrize(("height", "width"), [(4, 1), (1, 4), (16, 1), (2, 3)])
@pytest.mark.parametrize("norm", [1, 2])
def test_blocks_of_least_norm_go_and_what_is_beyond_whole_blocks_stays(
    height: int, width: int, norm: int
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 18, 3), nn.Linear(9, 5))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    got = weights(step(net, "block", sparsity=0.6, shape=f"{height}x{width}", norm=f"l{norm}"))
    blocks = []
    expected = {name: weight.numpy().copy() for name, weight in weights(net).items()}
    for name in ("1.weight", "2.weight"):
        array = expected[name].reshape(*expected[name].shape[:2], -1)
        for y in range(0, array.shape[0] - height + 1, height):
            for x in range(0, array.shape[1] - width + 1, width):
                blocks += [array[y : y + height, x : x + width, k] for k in range(array.shape[2])]
    blocks.sort(key=lambda block: float(np.linalg.norm(block.ravel(), norm)))
    for block in blocks[: round(0.6 * len(blocks))]:
        block[:] = 0
    for name, weight in got.items():
        np.testing.assert_array_equal(weight.numpy(), expected[name])


def test_blocks_have_the_budget_of_single_weights() -> None:
    blocks = nonzeros(step(layers(), "block", sparsity=0.75, shape="2x2", scope="erk"))
    assert list(blocks.values()) == [108, 16, 44, 116]  # of 16, 42.35 and 117.65


@pytest.mark.parametrize("pruned", [{"method": "n_m"}, {"method": "block", "sparsity": 0.6}])
def test_patterns_outlive_finetuning_and_fit_the_finetuned(pruned: dict[str, Any]) -> None:
    net = _step.apply(trained("digits_cnn"), pruned, CTX)
    tuned = step(net, "finetune", epochs=1, count=640, lr=0.05)
    assert nonzeros(tuned) == nonzeros(net)
    again = _step.apply(tuned, pruned, CTX)
    assert all(torch.equal(w, weights(again)[name]) for name, w in weights(tuned).items())


@pytest.mark.parametrize("method", ["gradual", "rigl"])
def test_zeros_in_a_layer_that_is_excluded_stay(method: str) -> None:
    net = step(trained(), "n_m")
    net = step(net, method, sparsity=0.8, exclude=["1"], **SHORT)
    assert (weights(net)["1.weight"].view(64, 16, 4) == 0).sum(2).min() >= 2


@pytest.mark.parametrize("method", ["gradual", "rigl"])
def test_training_sparse_beats_pruning_at_once(method: str) -> None:
    test = _data.load("digits", "test", None, CTX.preprocess)

    def accuracy(net: nn.Module) -> float:
        return _train.accuracy(net, test.images, test.labels, CTX.preprocess)

    net, parameters = trained("digits_cnn"), {"every": 4, "epochs": 4, "count": 1197, "lr": 0.05}
    at_once = step(net, "magnitude", sparsity=0.9)
    slowly = step(net, method, sparsity=0.9, **parameters)
    assert accuracy(slowly) > accuracy(at_once) + 0.1
    assert abs(sum(nonzeros(slowly).values()) - sum(nonzeros(at_once).values())) <= 2
    again = step(net, method, sparsity=0.9, **parameters)
    assert all(torch.equal(w, weights(again)[name]) for name, w in weights(slowly).items())
