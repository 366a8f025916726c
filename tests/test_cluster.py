"""Weight clustering: k-means against scikit-learn and the optimum, and what training may change."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.build import _encode
from paretomark.models.compress import _step
from paretomark.models.compress.cluster import kmeans
from paretomark.models.data import _data
from paretomark.models.nets import _zoo, digits_cnn, digits_mlp
from paretomark.suites.spec._errors import UserError

pytestmark = pytest.mark.build

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)
RNG = np.random.default_rng(0)


def clustered(net: nn.Module, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "cluster", **parameters}, CTX)


def trained() -> nn.Module:
    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return net


def matrices(net: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in net.named_parameters() if p.ndim > 1}


def values_of(weight: Tensor) -> list[float]:
    return sorted(set(weight.flatten().tolist()))


def inertia(values: NDArray[np.float64], centroids: NDArray[np.float64]) -> float:
    return float(((values[:, None] - centroids) ** 2).min(1).sum())


def optimum(values: NDArray[np.float64], k: int) -> float:
    """The best of all partitions into ranges, which holds the best of all."""
    ordered = np.sort(values)
    return min(
        sum(float(((part - part.mean()) ** 2).sum()) for part in np.split(ordered, cuts))
        for cuts in combinations(range(1, len(ordered)), k - 1)
    )


@pytest.mark.parametrize("k", [2, 8, 32])
def test_centroids_are_those_of_scikit_learn(k: int) -> None:
    values = RNG.beta(2, 2, 5000)
    linear = np.linspace(values.min(), values.max(), k)[:, None]
    theirs = KMeans(k, init=linear, n_init=1, tol=0, max_iter=1000).fit(values[:, None])
    ours = kmeans(values, k, "linear", RNG)
    np.testing.assert_allclose(ours, np.sort(theirs.cluster_centers_[:, 0]), atol=1e-6)


def test_no_solution_is_better_than_the_optimum_and_some_start_finds_it() -> None:
    for case in range(20):
        values = np.random.default_rng(case).normal(size=10)
        best = optimum(values, 3)
        linear = inertia(values, kmeans(values, 3, "linear", RNG))
        costs = [
            inertia(values, kmeans(values, 3, "kmeans++", np.random.default_rng(s)))
            for s in range(20)
        ]
        assert min([linear, *costs]) >= best - 1e-12
        assert min(costs) == pytest.approx(best)


def test_clusters_far_apart_are_found() -> None:
    values = np.array([-5.2, -5.0, -4.9, 0.9, 1.0, 1.3, 6.8, 7.0])
    for init in ("linear", "kmeans++"):
        centroids = kmeans(values, 3, init, RNG)
        np.testing.assert_allclose(centroids, [-15.1 / 3, 3.2 / 3, 6.9])


def test_each_layer_has_few_values_each_the_mean_of_the_weights_nearest() -> None:
    net = trained()
    before, after = matrices(net), matrices(clustered(net, bits=3))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["2.2.0.weight", "3.2.0.weight", "5.weight"]  # not the first, nor depthwise
    for name in changed:
        old, new = before[name].double().flatten(), after[name].double().flatten()
        values = torch.tensor(values_of(new), dtype=torch.float64)
        assert 6 <= len(values) <= 8
        nearest = values[(old[:, None] - values).abs().argmin(1)]
        assert torch.equal(nearest, new)
        for value in values:
            assert old[new == value].mean().item() == pytest.approx(value.item(), abs=1e-7)


def test_what_is_clustered_is_a_choice() -> None:
    net = trained()
    after = matrices(clustered(net, bits=1, cluster_first=True, cluster_depthwise=True))
    assert all(len(values_of(weight)) == 2 for weight in after.values())
    after = matrices(clustered(net, bits=1, exclude=["5"]))
    assert torch.equal(after["5.weight"], matrices(net)["5.weight"])
    with pytest.raises(UserError, match="unknown layer to exclude '55'"):
        clustered(net, bits=1, exclude=["55"])


def test_groups_of_output_channels_have_codebooks_of_their_own() -> None:
    net = trained()
    weight = matrices(clustered(net, bits=2, group=6))["5.weight"]  # 10 rows: 6 and 4
    first, second = values_of(weight[:6]), values_of(weight[6:])
    assert (len(first), len(second)) == (4, 4)
    assert not set(first) & set(second)
    whole = matrices(clustered(net, bits=2))["5.weight"]
    truth = matrices(net)["5.weight"]
    assert (weight - truth).norm() < (whole - truth).norm()


def test_clustering_again_changes_nothing() -> None:
    once = clustered(trained(), bits=4)
    twice = clustered(once, bits=4)
    for name, weight in matrices(once).items():
        assert torch.equal(weight, matrices(twice)[name]), name


@pytest.mark.parametrize("epochs", [0, 1])
def test_zeros_stay_zero_and_are_not_among_the_values(epochs: int) -> None:
    pruned = _step.apply(trained(), {"method": "magnitude", "sparsity": 0.6, "scope": "layer"}, CTX)
    with torch.no_grad():
        pruned.get_parameter("3.2.0.weight").zero_()  # a whole layer
    before = matrices(pruned)
    after = matrices(clustered(pruned, bits=2, epochs=epochs, lr=0.01, count=256))
    for name in ("2.2.0.weight", "3.2.0.weight", "5.weight"):
        assert torch.equal(before[name] == 0, after[name] == 0), name
        assert len(values_of(after[name])) == (1 if name.startswith("3") else 5), name


def test_training_moves_the_values_and_not_who_shares_them() -> None:
    net = trained()
    before = clustered(net, bits=3)
    after = clustered(net, bits=3, epochs=1, lr=0.01, count=320)
    assert [type(m) for m in after.modules()] == [type(m) for m in net.modules()]
    assert set(after.state_dict()) == set(net.state_dict())
    for name in ("2.2.0.weight", "3.2.0.weight", "5.weight"):
        old, new = matrices(before)[name], matrices(after)[name]
        assert not torch.equal(old, new)
        for value in values_of(old):
            assert len(values_of(new[old == value])) == 1, name


def test_a_value_takes_the_mean_step_of_its_weights() -> None:
    """One step of training on all pictures at once, by hand: the sum of gradients over n."""
    net = digits_mlp.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_mlp")))
    before = clustered(net, bits=2)
    after = clustered(net, bits=2, epochs=1, lr=0.1, count=64)
    pictures = _data.load("digits", "train", 64, digits_mlp.PREPROCESS)
    x = torch.from_numpy(_data.normalise(digits_mlp.PREPROCESS, pictures.images)).permute(
        0, 3, 1, 2
    )
    loss = functional.cross_entropy(
        before.train()(x), torch.from_numpy(pictures.labels), label_smoothing=0.1
    )
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in before.named_parameters():
        if weight.ndim > 1:
            assert weight.grad is not None
            for value in values_of(weight):
                shared = weight == value
                expected = value - 0.1 * weight.grad[shared].sum() / shared.sum()
                got = after.get_parameter(name)[shared]
                torch.testing.assert_close(
                    got.detach(), expected.expand_as(got), rtol=1e-4, atol=1e-6
                )


def test_fewer_bits_are_fewer_bytes() -> None:
    sizes = []
    for bits in (8, 5, 2):
        net = clustered(trained(), bits=bits)
        sizes.append(len(_encode.encode({n: w.numpy() for n, w in matrices(net).items()})))
    weights = 16 * 32 + 32 * 64 + 64 * 10
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < weights * 2 / 8 + 4 * (16 * 9 + 32 * 9 + 16 * 9) + 200


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "cluster: needs 'bits'"),
        ({"bits": 9}, "bits must be 1 to 8"),
        ({"bits": 4, "group": -1}, "group at least 0"),
        ({"bits": 4, "init": "kmean++"}, "unknown init 'kmean++'; did you mean 'kmeans++'"),
        ({"bits": 4, "epochs": -1}, "must be positive"),
        ({"bits": 4, "lr": 0.0}, "must be positive"),
        ({"bits": 4, "exclude": ["nowhere"]}, "unknown layer to exclude 'nowhere'"),
    ],
)
def test_bad_steps_are_refused(step: dict[str, object], message: str) -> None:
    weights = _zoo.weights("digits_cnn")
    with pytest.raises(UserError) as error:
        _step.check([{"method": "cluster", **step}], weights)
    assert message in str(error.value)
