"""The one tensor that counts, of a net that answers with several or with something around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from paretomark.suites.spec._errors import UserError

DECLARE = 'say which is meant by output = "KEY"'
MAIN = ("out", "logits")  # what libraries call the answer beside which others are auxiliary
Path: TypeAlias = tuple[tuple[str, Any], ...]  # items and attributes, from outside to inside


def single(
    net: nn.Module,
    sample: Tensor | tuple[Tensor, ...],
    output: str,
    remedy: str = DECLARE,
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a net that answers with a tensor, and what a reader must know of which.

    It is the tensor named, or numbered, by `output`; else the only one, or that of MAIN. The net is
    changed in place and keeps the names of its layers. `sample` is what it takes. Raises UserError,
    with names and shapes, where that is none, or several, which `remedy` says what to do about.
    """
    with torch.no_grad():
        answer = net(*(sample if isinstance(sample, tuple) else (sample,)))
    if isinstance(answer, Tensor):
        if output not in ("", "0"):
            raise UserError(f"the net answers with one tensor, not with an output '{output}'")
        return net, ()
    tensors = dict(_tensors(answer))
    name, warnings = _chosen({name: t for name, (_, t) in tensors.items()}, output, remedy)
    if isinstance(net, fx.GraphModule):  # its class is its own, and written anew
        raise UserError("a graph must answer with a tensor: put it into a module that takes one")
    net.__class__ = _picking(type(net))
    vars(net)["answer_path"] = tensors[name][0]
    return net, warnings


def every(net: nn.Module, sample: tuple[Tensor, ...], output: str) -> nn.Module:
    """Return a net that answers with a tensor or a tuple of them: with all of its tensors, or with
    that which `output` names.

    The net is changed in place, and `sample` is what it takes. Raises UserError where it has no
    such tensor, or none.
    """
    with torch.no_grad():
        answer = net(*sample)
    if isinstance(answer, Tensor):
        return single(net, sample, output)[0]
    tensors = {name: (path, t) for name, (path, t) in _tensors(answer)}
    if output or not tensors:
        name, _ = _chosen({name: t for name, (_, t) in tensors.items()}, output, DECLARE)
        tensors = {name: tensors[name]}
    once = {id(t): name for name, (_, t) in reversed(tensors.items())}  # some stand there twice
    names = tuple(name for name in tensors if name in once.values())
    if isinstance(net, fx.GraphModule):
        raise UserError("a graph must answer with a tensor: put it into a module that takes one")
    net.__class__ = _gathering(type(net))
    vars(net)["answer_paths"] = tuple(tensors[name][0] for name in names)
    return net


def _chosen(tensors: Mapping[str, Tensor], output: str, remedy: str) -> tuple[str, tuple[str, ...]]:
    listing = ", ".join(f"'{name}' {tuple(t.shape)}" for name, t in tensors.items())
    names = list(tensors)
    if output:
        if output in names:
            return output, ()
        if output.isdigit() and int(output) < len(names):
            return names[int(output)], ()
        raise UserError(f"the net has no output '{output}'; it has {listing or 'none'}")
    if len({id(tensor) for tensor in tensors.values()}) == 1:
        return names[0], ()
    for name in MAIN:
        if name in tensors:
            return name, (f"of the net's outputs {listing}, '{name}' is taken",)
    if not tensors:
        raise UserError("the net's answer holds no tensor")
    raise UserError(f"the net has several outputs; {remedy}: {listing}")


def _tensors(answer: Any, name: str = "", path: Path = ()) -> Iterator[tuple[str, Any]]:
    """All tensors in an answer, by dotted name, with the way to each."""
    if isinstance(answer, Tensor):
        yield name, (path, answer)
        return
    steps: dict[str, tuple[str, Any]] = {}
    if isinstance(answer, Mapping):
        steps = {str(key): ("item", key) for key in answer}
    elif isinstance(answer, tuple | list):
        fields = getattr(answer, "_fields", range(len(answer)))
        steps = {str(field): ("item", i) for i, field in enumerate(fields)}
    elif dataclasses.is_dataclass(answer) or hasattr(answer, "__dict__"):
        steps = {key: ("attribute", key) for key in vars(answer)}
    for key, step in steps.items():
        yield from _tensors(_at(answer, (step,)), f"{name}.{key}" if name else key, (*path, step))


def _at(answer: Any, path: Path) -> Any:
    for kind, key in path:
        answer = answer[key] if kind == "item" else getattr(answer, key)
    return answer


def _picking(kind: Any) -> type[nn.Module]:
    """A kind of net that answers with what is at the end of its `answer_path`.

    A module around the net would give its layers other names.
    """
    if kind in _kinds:
        return _kinds[kind]

    class Picking(kind):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Any:
            return _at(super().forward(x), self.answer_path)

        def __reduce_ex__(self, protocol: Any) -> Any:  # made here, it cannot be found by its name
            _, _, *state = super().__reduce_ex__(protocol)
            return _bare, (kind,), *state

    _kinds[kind] = Picking
    return Picking


_kinds: dict[type[nn.Module], type[nn.Module]] = {}


def _bare(kind: type[nn.Module]) -> nn.Module:
    picking = _picking(kind)
    return picking.__new__(picking)


def _gathering(kind: Any) -> type[nn.Module]:
    """A kind of net that answers with what is at the ends of its `answer_paths`: a tensor, or a
    tuple of several. It may have several inputs."""
    if kind in _gatherings:
        return _gatherings[kind]

    class Gathering(kind):  # type: ignore[misc]
        def forward(self, *inputs: Tensor) -> Any:
            answer = super().forward(*inputs)
            found = tuple(_at(answer, path) for path in self.answer_paths)
            return found if len(found) > 1 else found[0]

        def __reduce_ex__(self, protocol: Any) -> Any:
            _, _, *state = super().__reduce_ex__(protocol)
            return _bare_gathering, (kind,), *state

    _gatherings[kind] = Gathering
    return Gathering


_gatherings: dict[type[nn.Module], type[nn.Module]] = {}


def _bare_gathering(kind: type[nn.Module]) -> nn.Module:
    gathering = _gathering(kind)
    return gathering.__new__(gathering)
