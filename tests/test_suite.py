"""Suites: what is accepted, what is planned, and how mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paretomark.suites.spec import _plan, _suite
from paretomark.suites.spec._errors import UserError

NETS = ["alpha", "beta"]
METHODS = {"magnitude": ["sparsity", "scope"]}
PRECISIONS = ["fp32", "fp16", "int8"]
LOADS = {"one:cpu": ("onnx",), "two:cpu": ("tflite",), "three:cpu": ("xml", "onnx")}
SUITE = """
devices = ["one:cpu", "two:cpu"]
[model.alpha]
[model.beta]
recipes = ["half"]
[recipe.full]
[recipe.half]
steps = [{ method = "magnitude", sparsity = 0.5 }]
precision = "fp16"
"""


def planned(text: str) -> list[_plan.Cell]:
    return _plan.plan(_suite.parse(text, "s", Path("/suites")), NETS, METHODS, LOADS, PRECISIONS)


def test_a_suite_plans_every_model_recipe_and_device_in_the_order_of_the_file() -> None:
    assert [cell.key for cell in planned(SUITE)] == [
        "alpha/full/one:cpu/b1/t1",
        "alpha/full/two:cpu/b1/t1",
        "alpha/half/one:cpu/b1/t1",
        "alpha/half/two:cpu/b1/t1",
        "beta/half/one:cpu/b1/t1",
        "beta/half/two:cpu/b1/t1",
    ]


def test_batches_and_threads_multiply() -> None:
    keys = [cell.key for cell in planned("batch = [1, 8]\nthreads = [1, 2]\n" + SUITE)]
    assert len(keys) == 24
    assert "beta/half/two:cpu/b8/t2" in keys


def test_a_device_may_have_batches_and_threads_of_its_own() -> None:
    text = "threads = [2]\n" + SUITE + '[device."two:cpu"]\nbatch = [1, 64]\n'
    keys = [cell.key for cell in planned(text) if cell.key.startswith("beta")]
    assert keys == [
        "beta/half/one:cpu/b1/t2",
        "beta/half/two:cpu/b1/t2",
        "beta/half/two:cpu/b64/t2",
    ]


def test_a_recipe_may_be_for_some_devices_only() -> None:
    text = SUITE.replace('precision = "fp16"', 'precision = "fp16"\ndevices = ["two:cpu"]')
    assert "alpha/half/one:cpu/b1/t1" not in [cell.key for cell in planned(text)]
    assert "alpha/half/two:cpu/b1/t1" in [cell.key for cell in planned(text)]


def test_recipes_at_the_top_are_those_of_models_that_name_none() -> None:
    keys = [cell.key for cell in planned('recipes = ["full"]\n' + SUITE)]
    assert [key.rpartition("/b1")[0] for key in keys] == [
        "alpha/full/one:cpu", "alpha/full/two:cpu", "beta/half/one:cpu", "beta/half/two:cpu",
    ]  # fmt: skip


def test_a_recipe_reads_as_its_steps() -> None:
    assert planned(SUITE)[-1].recipe.label == "magnitude(sparsity=0.5)"


def test_a_teacher_lies_where_the_suite_says() -> None:
    step = '"magnitude", teacher = "python:t.py:f", teacher_weights = "w.safetensors"'
    text = SUITE.replace('"magnitude"', step)
    (half,) = [r for r in _suite.parse(text, "s", Path("/suites")).recipe.values() if r.steps]
    assert half.steps[0]["teacher"] == "python:/suites/t.py:f"
    assert half.steps[0]["teacher_weights"] == "/suites/w.safetensors"


def test_a_file_meets_every_device_of_the_suite() -> None:
    cells = planned('devices = ["one:cpu", "two:cpu"]\n[model.mine]\nnet = "file:net.tflite"\n')
    assert [cell.key for cell in cells] == ["mine/as-is/one:cpu/b1/t1", "mine/as-is/two:cpu/b1/t1"]
    assert [cell.file_format for cell in cells] == ["tflite", "tflite"]
    assert cells[0].model.file == "/suites/net.tflite"


NAMES = ["x/y", "/", "", " x", "x ", "two\nlines", "a\ttab", "red\x1b[31m", "x\u202ey", "x\u2028y"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["model", "recipe"])
def test_names_that_would_not_stand_apart_in_keys_are_refused(kind: str, name: str) -> None:
    text = 'devices = ["one:cpu"]\n[model.alpha]\n[recipe.full]\n'
    text += f"[{kind}.{json.dumps(name)}]\n" + 'net = "alpha"\n' * (kind == "model")
    with pytest.raises(UserError) as error:
        planned(text)
    assert f"the name of a {kind} may not be empty" in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("name", ["x", "0.9", "naïve", "a b", "a.b:c-d_e", "wide (20 %)", "鳥"])
def test_other_names_are_taken(name: str) -> None:
    text = f'devices = ["one:cpu"]\n[model.alpha]\n[recipe.{json.dumps(name)}]\n'
    assert [cell.key for cell in planned(text)] == [f"alpha/{name}/one:cpu/b1/t1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"two:cpu"]', '"one:cpu"]'),
        ('recipes = ["half"]', 'recipes = ["half", "half"]'),
        ("[model.alpha]", '[model.alpha]\ndevices = ["two:cpu", "two:cpu"]'),
        ("devices =", "batch = [1, 8, 1]\ndevices ="),
        ("[model.beta]", '[device."two:cpu"]\nthreads = [2, 2]\n[model.beta]'),
    ],
)
def test_a_cell_that_is_there_twice_is_refused(before: str, after: str) -> None:
    assert before in SUITE
    with pytest.raises(UserError, match=r"suite 's': .* is planned \d times: .* named twice"):
        planned(SUITE.replace(before, after, 1))


def test_paths_start_at_the_suite_and_variables_are_expanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHOTOS", "/photos")
    text = SUITE.replace("[model.alpha]", '[model.alpha]\nweights = "w"\ndata = "npz:${PHOTOS}/a"')
    model = planned(text)[0].model
    assert (model.weights, model.data) == ("/suites/w", "npz:/photos/a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("devices", "devises"), "unknown key 'devises'; did you mean 'devices'?"),
        (("recipes =", "recipe ="), "unknown key 'recipe'; did you mean 'recipes'?"),
        (("[model.beta]", "[model.betta]"), "unknown model 'betta'; did you mean 'beta'?"),
        (("two:cpu", "tow:cpu"), "unknown device 'tow:cpu'; did you mean 'two:cpu'?"),
        (('["half"]', '["haff"]'), "unknown recipe 'haff'; did you mean 'half'?"),
        (
            ("devices =", 'recipes = ["ful"]\ndevices ='),
            "unknown recipe 'ful'; did you mean 'full'?",
        ),
        (('"magnitude"', '"magnitud"'), "unknown compression method 'magnitud'; did you mean"),
        (("sparsity =", "sparsty ="), "unknown parameter of magnitude 'sparsty'; did you mean"),
        (('"fp16"', '"fp17"'), "unknown precision 'fp17'; did you mean 'fp16'?"),
        (("devices =", "blocks = 0\ndevices ="), "blocks must be positive, got 0"),
        (("devices =", 'blocks = "3"\ndevices ='), 'blocks must be int, got "3"'),
        (("devices =", "blocks = true\ndevices ="), "blocks must be int, got true"),
        (("devices =", "batch = [0]\ndevices ="), "batch must be a list of numbers of at least 1"),
        (
            ("[model.beta]", '[device."two:cpu"]\nbatch = [0]\n[model.beta]'),
            "batch must be a list of",
        ),
        (
            ("[model.beta]", "[device.two]\n[model.beta]"),
            "unknown device 'two'; did you mean 'two:",
        ),
        (("[model.beta]", '[device."two:cpu"]\nbach = [1]\n[model.beta]'), "unknown key 'bach'"),
        (("[model.beta]", "[model"), "not valid TOML"),
        (('"one:cpu", "two:cpu"', ""), "names no devices"),
        (("[model.alpha]", '[model.alpha]\nweights = "${NOT_SET}/w"'), "needs $NOT_SET"),
        (("[model.alpha]", '[model.alpha]\nnet = "file:x.exe"'), "unknown model format 'exe'"),
        (("[model.alpha]", '[model.alpha]\ntask = "keypoints"'), "a net of the zoo has its own"),
        (
            ("[model.alpha]", '[model.alpha]\nnet = "file:x.onnx"\ntask = "keypoint"'),
            "unknown task 'keypoint'; did you mean 'keypoints'?",
        ),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], message: str) -> None:
    assert change[0] in SUITE
    with pytest.raises(UserError) as error:
        planned(SUITE.replace(*change))
    assert message in str(error.value)


def test_a_file_that_no_device_loads_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no device of the suite loads .*n\.onnx; add one:cpu"):
        planned('devices = ["two:cpu"]\n[model.mine]\nnet = "file:n.onnx"\n')


def test_select_narrows_and_names_what_is_not_there() -> None:
    cells = planned(SUITE)
    assert len(_plan.select(cells, device=["two:cpu"], model=["alpha"], recipe=[])) == 2
    with pytest.raises(UserError, match="--model: unknown model 'gamma'"):
        _plan.select(cells, device=[], model=["gamma"], recipe=[])


def test_the_suites_of_the_project_are_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from paretomark.devices import _device
    from paretomark.models.build import _artifact
    from paretomark.models.compress import _step
    from paretomark.models.export import _export
    from paretomark.models.nets import _zoo

    monkeypatch.setenv("PARETOMARK_DATA", str(tmp_path))
    for name in _suite.names():
        suite = _suite.parse(_suite.text(_suite.locate(name)), name, Path("/suites"))
        valid = _zoo.names(), _step.methods(), _device.loads(), _export.precisions()
        cells = _plan.plan(suite, *valid)
        assert cells, name
        for cell in cells:
            _step.check(cell.recipe.steps, _artifact.weights(cell.model))
