"""What exceptions of others say to a user: the cause, in one line."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

from paretomark.models.build import _build
from paretomark.models.build._artifact import BuildSpec, Refused
from paretomark.suites.spec._errors import LONGEST, UserError, explained
from paretomark.suites.spec._model import Model, Recipe


class Silent(Exception):
    """Says nothing."""


class Broken(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(*chain: BaseException, implicit: bool = False) -> BaseException:
    """The last of a chain of exceptions, each raised from, or after, the one before it."""
    before: BaseException | None = None
    for error in chain:
        try:
            if before is None:
                raise error
            if not implicit:
                raise error from before
            with contextlib.suppress(type(error)):
                pass
            try:
                raise before
            except BaseException:
                raise error  # noqa: B904  (as careless code does)
        except BaseException as caught:
            before = caught
    assert before is not None
    return before


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no layer x"), "ValueError: no layer x"),
        (ValueError("two\nlines,\r\n\tindented"), "ValueError: two lines, indented"),
        (ValueError(""), "ValueError"),
        (ValueError("  \n "), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError"),
        (OSError(2, "No such file or directory", "net.onnx"),
         "FileNotFoundError: [Errno 2] No such file or directory: 'net.onnx'"),
        (RuntimeError("\x1b[96mThis is step 1\x1b[0m of 3"), "RuntimeError: This is step 1 of 3"),
        (RuntimeError("\x1b]8;;https://x.y\x1b\\link\x1b]8;;\x1b\\ \x9b31mred"),
         "RuntimeError: link red"),
        (RuntimeError("a\x00b\x07c\u202ed"), "RuntimeError: a b c d"),
        (UserError("net.py: give it a name"), "net.py: give it a name"),
        (Broken(), "Broken"),
    ],
)  # fmt: skip
def test_an_exception_is_one_line_with_its_type(error: Exception, text: str) -> None:
    assert explained(error) == text


def test_the_cause_comes_before_the_step_that_failed() -> None:
    """As torch's exporter raises it."""
    step = RuntimeError("\x1b[31mFailed to export.\x1b[0m\nThis is step 1/3.\nNext steps: ask")
    error = raised(KeyError("weight"), ValueError("no operator aten::foo"), step)
    assert explained(error) == (
        "KeyError: 'weight'; ValueError: no operator aten::foo; "
        "RuntimeError: Failed to export. This is step 1/3. Next steps: ask"
    )


def test_who_says_nothing_is_passed_over() -> None:
    assert (
        explained(raised(ValueError("no operator foo"), Silent())) == "ValueError: no operator foo"
    )
    assert explained(raised(Silent(), ValueError("step 1"))) == "ValueError: step 1"
    assert explained(raised(Silent(), Silent())) == "Silent"


def test_a_cause_that_a_library_does_not_name_is_found() -> None:
    error = raised(ValueError("unsupported: foo"), RuntimeError("conversion failed"), implicit=True)
    assert explained(error) == "RuntimeError: conversion failed; ValueError: unsupported: foo"
    error = raised(ValueError("unsupported: foo"), Silent(), implicit=True)
    assert explained(error) == "ValueError: unsupported: foo"


def test_what_is_hidden_on_purpose_stays_hidden() -> None:
    error = ValueError("the point")
    error.__context__, error.__suppress_context__ = KeyError("inner"), True  # raised `from None`
    assert explained(error) == "ValueError: the point"


def test_a_group_tells_its_members() -> None:
    group = BaseExceptionGroup(
        "two failed", [ValueError("a\nb"), raised(KeyError("k"), OSError("o"))]
    )
    assert explained(group) == (
        "ExceptionGroup: two failed: ValueError: a b | KeyError: 'k'; OSError: o"
    )


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert explained(one) == "ValueError: other; ValueError: one"


@pytest.mark.parametrize("chain", [[9000], [9000, 9000], [10, 9000], [9000, 10], [300] * 5])
def test_it_is_never_long_and_keeps_both_ends(chain: list[int]) -> None:
    """What is wrong may stand at the end of a long message."""
    errors = [ValueError(f"start{i} {'x ' * (n // 2)} end{i}") for i, n in enumerate(chain)]
    text = explained(raised(*errors))
    assert len(text) <= LONGEST
    assert text.startswith("ValueError: start0")
    assert "end0" in text
    assert text.endswith(f"end{len(chain) - 1}")


def test_a_build_that_dies_tells_the_last_of_its_log_without_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "import sys; print('\\x1b[31mout of\\x1b[0m memory\\n\\x1b[0m'); sys.exit(3)"
    start = subprocess.Popen

    def dying(_: object, **options: object) -> object:
        return start([sys.executable, "-c", code], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", dying)
    with _build.Child(60.0) as child:
        result = child.make(BuildSpec(Model("m", "m"), Recipe("r"), "onnx", 1, 1, 0))
    assert result == Refused("failed", "the build exited with 3: out of memory")
