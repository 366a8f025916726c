"""One reader for TOML, records and what processes tell each other: strict, and it names places."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from paretomark.models.build._artifact import BuildSpec
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Preprocess, Recipe
from paretomark.tests._runs import record


@dataclass(frozen=True)
class Inner:
    """A table in a table."""

    size: tuple[int, int]
    kind: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Outer:
    """One field of each type there is."""

    name: str
    ratio: float = 0.0
    count: int = 0
    on: bool = False
    maybe: float | None = None
    many: tuple[float, ...] = ()
    inner: Inner | None = None
    shares: dict[str, float] = field(default_factory=dict)
    inners: Mapping[str, Inner] = field(default_factory=dict)
    whatever: Any = None


WHOLE = Outer(
    "n", 0.5, 3, True, 1.0, (1.0, 2.0), Inner((1, 2), "right"), {"a": 1.0}, {"b": Inner((3, 4))},
    [{"x": None}],
)  # fmt: skip


def test_what_was_a_value_is_one_again() -> None:
    assert _schema.typed(Outer, json.loads(json.dumps(dataclasses.asdict(WHOLE)))) == WHOLE
    assert _schema.typed(Outer, {"name": "n"}) == Outer("n")
    ratio = _schema.typed(Outer, {"name": "n", "ratio": 1}).ratio
    assert (ratio, type(ratio)) == (1.0, float)


def test_what_a_build_is_told_comes_through_whole() -> None:
    model = Model("m", "digits_mlp", recipes=("a",), preprocess=Preprocess((8, 8), (0.0,), (2.0,)))
    recipe = Recipe("r", ({"method": "finetune", "augment": ["flip"]},), "int8", {"ranges": "mse"})
    spec = BuildSpec(model, recipe, "onnx", 1, 10, 0)
    assert _schema.typed(BuildSpec, json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name must be str, got null"),
        ({"name": ["x"] * 1000}, "name must be str, got ["),
        ({"ratio": "1"}, 'ratio must be float, got "1"'),
        ({"ratio": True}, "ratio must be float, got true"),
        ({"ratio": float("nan")}, "ratio must be finite, got nan"),
        ({"ratio": 10**400}, "ratio is out of range"),
        ({"count": 1.0}, "count must be int, got 1.0"),
        ({"count": True}, "count must be int, got true"),
        ({"count": 2**63}, "count is out of range"),
        ({"on": 1}, "on must be bool, got 1"),
        ({"many": 1}, "many must be a list, got 1"),
        ({"many": [1, "2"]}, 'many must be float, got "2"'),
        ({"inner": []}, "inner must be a table, got []"),
        ({"inner": {}}, "inner lacks 'size'"),
        ({"inner": {"size": [1]}}, "inner: size must be a list of 2, got [1]"),
        ({"inner": {"size": [1, 2], "side": 1}}, 'inner has an unknown key "side"'),
        ({"inner": {"size": [1, 2], "kind": "lift"}}, 'inner: kind has an unknown value "lift"'),
        ({"inner": {"size": [1, 2], "kind": []}}, "inner: kind has an unknown value"),
        ({"shares": {"a": {}}}, "shares: a must be float, got {}"),
        ({"inners": {"b": {"size": [1, None]}}}, "inners: b: size must be int, got null"),
        ({"more": 1}, 'has an unknown key "more"'),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(_schema.Invalid) as error:
        _schema.typed(Outer, {"name": "n", **change})
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 200


def test_whoever_wrote_a_file_is_told_the_nearest_name() -> None:
    for table, message in [
        ({"nam": "n"}, "s.toml: unknown key 'nam'; did you mean 'name'?"),
        (
            {"name": "n", "inner": {"siz": 1}},
            "s.toml: inner: unknown key 'siz'; did you mean 'size",
        ),
        (
            {"name": "n", "inner": {"size": [1, 2], "kind": "rihgt"}},
            "s.toml: unknown kind of inner 'rihgt'; did you mean 'right'?",
        ),
        ({"name": "n", "count": 0.5}, "s.toml: count must be int, got 0.5"),
        ({}, "s.toml lacks 'name'"),
    ]:
        with pytest.raises(UserError) as error:
            _schema.read(Outer, table, "s.toml")
        assert str(error.value).startswith(message)
    with pytest.raises(UserError, match=r"unknown key 'count'; .*valid: inner,") as error:
        _schema.read(Outer, {"name": "n", "count": 1}, "s.toml", hidden=("count",))
    assert "valid: count" not in str(error.value)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(_schema.Invalid, match="count must be int, got a list"):
        _schema.typed(Outer, {"name": "n", "count": deep})


def test_thousands_of_samples_come_back() -> None:
    whole = record(samples_ns=tuple(range(1, 2001)))
    assert type(whole).from_json(json.loads(json.dumps(whole.to_json()))) == whole
