"""Profiles: whole and true to their sums, flagged as such, and safe against what runtimes say."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from paretomark import bench
from paretomark.devices import _device
from paretomark.devices._device import Placement
from paretomark.devices.measure import _profile_child
from paretomark.tests._pages import EVIL, assert_self_contained

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real profile of the fake device."""
    folder = tmp_path_factory.mktemp("profile") / "out"
    code = bench.main(
        ["profile", "digits_mlp", "--device", "fake:ok", "--threads", "2", "--out", str(folder)]
    )
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def table(out: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((out / "profile.json").read_text())
    return table


def test_every_layer_is_there_with_its_work(table: dict[str, Any]) -> None:
    layers = table["operators"]
    assert [(o["position"], o["name"], o["kind"]) for o in layers] == [
        (1, "layer0", "linear"),
        (2, "layer1", "linear"),
        (3, "layer2", "linear"),
    ]
    assert [o["macs"] for o in layers] == [64 * 64, 64 * 32, 32 * 10]
    assert layers[0]["bytes"] == 4 * (64 + 64 * 64 + 64 + 64)
    for o in layers:
        assert o["flop_per_s"] == pytest.approx(2e9 * o["macs"] / o["ns"])
        assert o["flop_per_byte"] == pytest.approx(2 * o["macs"] / o["bytes"])
    [kind] = table["kinds"]
    assert (kind["count"], kind["macs"]) == (3, sum(o["macs"] for o in layers))


def test_the_times_add_up(table: dict[str, Any]) -> None:
    total = sum(o["ns"] for o in table["operators"])
    assert table["operators_ns"] == pytest.approx(total)
    assert table["latency_ns"] == statistics.median(itertools.chain(*table["slices_ns"]))
    assert table["gap_ns"] == pytest.approx(table["latency_ns"] - total)
    assert sum(o["share"] for o in table["operators"]) == pytest.approx(1)
    assert table["kinds"][0]["ns"] == pytest.approx(total)


def test_the_peaks_of_this_machine_are_measured(table: dict[str, Any]) -> None:
    peaks = table["peaks"]
    assert peaks["threads"] == 2
    # any processor of this century multiplies and copies faster than this, and none so fast
    assert 1e8 < peaks["flop_per_s"] < 1e15
    assert 1e7 < peaks["byte_per_s"] < 1e14
    layer = table["operators"][0]
    roof = min(peaks["flop_per_s"], layer["flop_per_byte"] * peaks["byte_per_s"])
    assert layer["of_roof"] == pytest.approx(layer["flop_per_s"] / roof)


def test_all_files_are_written_and_say_that_they_are_of_a_profile(
    out: Path, table: dict[str, Any]
) -> None:
    names = {"index.html", "operators.csv", "profile.json"}
    names |= {f"{plot}.{form}" for plot in ("times", "roofline") for form in ("svg", "png")}
    assert {p.name for p in out.iterdir()} == names
    with (out / "operators.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["ns"]) for r in rows] == [o["ns"] for o in table["operators"]]
    text = assert_self_contained(out / "index.html")
    assert "<span class=tag>profiled</span>" in text
    assert table["sha256"][:16] in text
    assert text.count("<svg") == 2
    for plot in ("times", "roofline"):
        assert (out / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert "(profiled)" in "".join(ElementTree.parse(out / f"{plot}.svg").getroot().itertext())
    assert table["profiled"] is True


def test_json_is_all_that_is_printed_and_the_folder_has_a_safe_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    suite = tmp_path / "s.toml"
    suite.write_text(
        'devices = ["fake:ok"]\n[model.mine]\nnet = "digits_mlp"\n'
        '[recipe.half]\nsteps = [{ method = "magnitude", sparsity = 0.5 }]\nprecision = "fp16"\n'
        '[device."fake:ok"]\nbatch = [1, 8]\n'
    )
    monkeypatch.chdir(tmp_path)
    called = call(
        *("profile", "mine", "--recipe", "half", "--suite", suite, "--device", "fake:ok"),
        *("--batch", "3", "--runs", "5", "--json"),
    )
    assert called.code == 0
    table = json.loads(called.out)
    assert (table["model"], table["precision"], table["runs"]) == ("mine", "fp16", 5)
    assert table["steps"] == "magnitude(sparsity=0.5)"
    assert table["operators"][0]["macs"] == 3 * 64 * 64
    [folder] = (tmp_path / "profiles").iterdir()
    assert re.fullmatch(r"mine-half-fake-ok-\d{8}-\d{6}", folder.name)
    assert json.loads((folder / "profile.json").read_text()) == table


def test_a_file_is_profiled_as_it_is(
    tmp_path: Path, table: dict[str, Any], call: Callable[..., Called]
) -> None:
    path = tmp_path / "mine.npz"
    ones = np.ones((4, 6), np.float32)
    np.savez(path, shape=np.array([2, 6]), weight0=ones, bias0=ones[:, 0])
    called = call(
        "profile", f"file:{path}", "--device", "fake:ok", "--out", tmp_path / "p", "--json"
    )
    of_file = json.loads(called.out)
    assert (of_file["model"], of_file["recipe"], of_file["batch"]) == ("mine", "as-is", None)
    assert [o["macs"] for o in of_file["operators"]] == [2 * 4 * 6]
    assert of_file["sha256"] != table["sha256"]


def test_a_real_runtime_tells_of_the_operators_of_a_hostile_file(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((32, 16), np.float32), "w")
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"], name=EVIL),
            helper.make_node("Sigmoid", ["y"], ["z"], name="then"),
        ],
        "net",
        [port("x", TensorProto.FLOAT, [1, 32])],
        [port("z", TensorProto.FLOAT, [1, 16])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "evil.onnx")
    out = tmp_path / "out"
    called = call(
        *("profile", f"file:{tmp_path / 'evil.onnx'}", "--device", "onnxruntime:cpu"),
        *("--runs", "20", "--out", out, "--json"),
    )
    assert called.code == 0, called.err
    first, *_, last = json.loads(called.out)["operators"]
    assert (first["kind"], first["macs"], last["macs"]) == ("MatMul", 32 * 16, 0)
    assert first["bytes"] == 4 * (32 + 32 * 16 + 16)
    assert first["ns"] > 0
    assert "alert(1)" in first["name"]
    assert_self_contained(out / "index.html")


@pytest.mark.parametrize(
    ("home", "predicted_s", "on_host"),
    [
        ("cpu", None, True),
        ("xnnpack", None, True),
        ("CPUExecutionProvider", None, True),
        ("CUDAExecutionProvider", None, False),
        ("NPU", None, False),
        ("ane", None, False),
        ("cpu", 0.001, False),
    ],
)
def test_only_what_runs_on_this_processor_is_under_its_roof(
    home: str, predicted_s: float | None, on_host: bool
) -> None:
    placement = Placement(home, {}, [], [], predicted_s=predicted_s)
    assert _profile_child.on_host(_device.open_device("fake:ok"), placement) == on_host


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": 1},
        {"ns": math.nan},
        {"ns": -1.0},
        {"macs": -5},
        {"bytes": "many"},
        {"more": 1},
    ],
)
def test_operators_that_are_none_are_not_believed(row: dict[str, Any]) -> None:
    good = {"name": "a", "kind": "b", "unit": "c", "ns": 1.0}
    assert len(_profile_child.operators({"operators": [good]})) == 1
    assert _profile_child.operators({"operators": [good, good | row if row else {}]}) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("digits_mpl --device fake:ok", "unknown model 'digits_mpl'; did you mean 'digits_mlp'?"),
        ("digits_mlp --device fake:okk", "unknown device 'fake:okk'; did you mean 'fake:ok'?"),
        ("digits_mlp --device fake:ok --recipe int9", "unknown recipe 'int9'; did you mean"),
        ("digits_mlp --device fake:ok --suite quik", "unknown suite 'quik'; did you mean 'quick'?"),
        ("digits_mlp --device fake:ok --recipe int8", "cannot be built: "),
        ("file:gone.npz --device fake:ok", "there is no model file"),
        ("file:gone.tflite --device fake:ok", "fake:ok loads .npz files, not "),
        ("file:gone.npz --device fake:ok --recipe int8", "profiled as it is, without --recipe"),
        ("file:gone.npz --device fake:ok --batch 2", "profiled as it is, without --batch"),
    ],
)
def test_what_cannot_be_profiled_is_said_in_one_line(
    call: Callable[..., Called], tmp_path: Path, arguments: str, says: str
) -> None:
    called = call("profile", *arguments.split(), "--out", tmp_path / "out")
    assert called.code == bench.USER_ERROR
    assert says in called.err
    assert called.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_devices_that_can_be_profiled_are_named(call: Callable[..., Called]) -> None:
    called = call("profile", "digits_mlp", "--device", "fake:slow")
    assert called.code == bench.USER_ERROR
    assert "fake:ok" in called.err.partition("devices here that do: ")[2]


@pytest.mark.parametrize("command", ["report", "compare", "leaderboard"])
def test_a_profile_is_no_run(
    out: Path, tmp_path: Path, call: Callable[..., Called], command: str
) -> None:
    more = {"report": [], "compare": [str(out)], "leaderboard": ["--out", str(tmp_path / "site")]}
    called = call(command, out, *more[command])
    assert called.code == bench.USER_ERROR
    assert "not a run" in called.err
