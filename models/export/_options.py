"""The options of static int8: keyword parameters of an exporter's `quantize`, and their values.

An exporter lists in OPTIONS what its tool chain has of them, for each the default first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretomark.models.export import _ranges
from paretomark.suites.spec._errors import UserError, unknown

Options = Mapping[str, Sequence[str]]
OPTIONS: Options = {
    "ranges": _ranges.METHODS,
    "weights": ("channel", "tensor"),
    "activations": ("asymmetric", "symmetric"),
}


def check(options: Options, precision: str, **choices: str) -> None:
    """Raise UserError for an option that is not there, or does not belong to the precision."""
    for name, value in choices.items():
        if name not in options:
            raise unknown("option of quantization", name, options)
        if value not in options[name]:
            raise unknown(f"{name} of quantization", value, options[name])
        if precision != "int8" and value != options[name][0]:
            raise UserError(
                f"{name} = '{value}' is an option of precision 'int8', and not of '{precision}': "
                "leave it out, or take int8"
            )
