"""The padding of max pooling by 0, where litert-torch pads by minus infinity.

litert-torch 0.10 pads with PADV2, which neither XNNPACK nor the Edge TPU takes: on the latter, all
that follows would run on the host. Behind a ReLU nothing is below zero, and 0 is as good, for which
there is PAD.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from paretomark.models.export import _sparse_tflite, _tflite_model

RELUS = ("RELU", "RELU6", "RELU_0_TO_1")
FUSED = "fusedActivationFunction"
SELECT = ("CONCATENATION", "MAX_POOL_2D")  # what gives of its inputs some, and nothing else


def restore(net: Any) -> bool:
    """Replace such paddings in a ModelT, in place; whether there were any."""
    main = net.subgraphs[0]
    makers = {int(tensor): o for o in main.operators for tensor in o.outputs}
    readers = defaultdict(list)
    for operator in main.operators:
        for tensor in operator.inputs:
            readers[int(tensor)].append(_tflite_model.kind(net, operator))
    changed = False
    for place, operator in enumerate(list(main.operators)):
        if _tflite_model.kind(net, operator) != "PADV2":
            continue
        source, margins, value = map(int, operator.inputs)
        padded = int(operator.outputs[0])
        with_what = _tflite_model.stored(net, main.tensors[value])
        if with_what is None or not np.all(with_what == -np.inf):
            continue
        if set(readers[padded]) != {"MAX_POOL_2D"} or padded in main.outputs:
            continue
        if _at_least_zero(net, makers, source):
            del main.operators[place]
            _sparse_tflite.insert(net, place, "PAD", [source, margins], padded)
            changed = True
    return changed


def _at_least_zero(net: Any, makers: Mapping[int, Any], tensor: int) -> bool:
    """Whether nothing in a tensor is below zero, as far as its operators tell."""
    from ai_edge_litert import schema_py_generated as schema

    operator = makers.get(tensor)
    if operator is None:
        return False
    name = _tflite_model.kind(net, operator)
    activations = [getattr(schema.ActivationFunctionType, relu) for relu in ("RELU", "RELU6")]
    if name in RELUS or getattr(operator.builtinOptions, FUSED, None) in activations:
        return True
    return name in SELECT and all(_at_least_zero(net, makers, int(t)) for t in operator.inputs)
