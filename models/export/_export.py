"""What every export format is: one file here, named by the suffix of the file it writes.

    PACKAGES = ("torch", "onnx")              whose versions shape the file
    PRECISIONS = ("fp32", "int8")             what it can write
    def export(net, sample, out) -> None      float32 net to a float32 file; sample (N, C, H, W)
    def quantize(model, out, precision, calibration) -> None
                                              float32 file to another precision, by the tool
                                              chain's own quantizer; calibration float32
                                              (M, C, H, W), M a multiple of the batch

    OPTIONS = {"ranges": ("minmax", ...)}     optional: keyword parameters of `quantize` for int8,
                                              and their values, the default first
    def export_inputs(net, samples, out) -> None
                                              optional: the same of a net that is given tensors in
                                              the order of `samples`, by name, and answers with one
                                              or a tuple of them; they go in and out as they are
    def sparsify(model, out) -> str           optional: the same file with its zeros left out;
                                              whether a runtime can skip them, and why
    def sparse_path(model) -> str             optional: the same of a file that the user brings
    def weights(model) -> dict               optional: its constants as stored, arrays by name
    def zeros(model) -> tuple[int, int]       optional: the weights that a file holds, and how many
                                              of them are zero in it: `_zeros.counted`

A format of several files names them all `model.*`; what only `quantize` needs gets another name.
The net comes with batch normalisation folded. Torch and the tool chains are imported only
inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from types import ModuleType

from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, unknown

NEEDS = (
    *("PACKAGES", "PRECISIONS", "export(net, sample, out)"),
    "quantize(model, out, precision, calibration)",
)


def names() -> list[str]:
    """Return the names of the formats."""
    return _plugins.names("formats")


def module(name: str) -> ModuleType:
    """Return the plug-in of a format. Raises UserError if there is none, or it lacks what it must
    have."""
    return _plugins.module("formats", name, NEEDS)


def precisions() -> list[str]:
    """Return what at least one format can be written in."""
    return sorted({precision for name in names() for precision in module(name).PRECISIONS})


def check(options: Mapping[str, str], precision: str) -> None:
    """Raise UserError for options of quantization that no format has."""
    valid: dict[str, set[str]] = {}
    for name in names():
        for option, values in getattr(module(name), "OPTIONS", {}).items():
            valid.setdefault(option, set()).update(values)
    for option, value in options.items():
        if option not in valid:
            raise unknown("option of quantization", option, valid)
        if value not in valid[option]:
            raise unknown(f"{option} of quantization", value, valid[option])
    if options and precision != "int8":
        raise UserError(f"quantization has options at precision int8, not at {precision}")


def versions(name: str) -> dict[str, str]:
    """Return the versions of the packages that write a format. Raises UserError if one lacks."""
    installed = {}
    for package in module(name).PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(
                f"writing .{name} needs the package {package}; pip install 'paretomark[{name}]'"
            ) from None
    return installed
