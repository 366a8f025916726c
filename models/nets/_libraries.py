"""The nets of timm and torchvision: `timm:NAME[.TAG]` and `torchvision:NAME[.WEIGHTS]`.

Width is part of the library's own name, as in `timm:mobilenetv2_050`. How a picture is prepared is
what the library says of the weights. Torch and the libraries are imported inside functions only.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._model import Preprocess

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, int]
NAMES = ("timm", "torchvision")
INSTEAD = (  # of trained weights that are not there
    "give a file with 'weights = \"FILE.safetensors\"', or measure latency only, with "
    "'weights = \"random\"'"
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A net of a library: `build(pretrained)` makes it, in float32, (N, 3, H, W) to logits.

    Its weights are named as the library names them; `plain` is for when they have been loaded.
    """

    build: Callable[[bool], nn.Module]
    preprocess: Preprocess
    licence: str  # of the weights; "" if the library does not say
    weights: str  # which pretrained weights these are; "" if there are none


def versions(kind: str) -> dict[str, str]:
    """Return the versions of what defines the nets of a kind; nothing for kinds that are no
    library."""
    packages = {"timm": ("timm", "torchvision"), "torchvision": ("torchvision",)}.get(kind, ())
    installed = {}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(
                f"the nets of {kind} need the package {package}; pip install 'paretomark[zoo]'"
            ) from None
    return installed


def names(library: str) -> dict[str, list[str]]:
    """Return the classification nets of a library, and the names of the trained weights of each."""
    if library == "timm":
        tags: dict[str, list[str]] = {name: [] for name in sorted(import_timm().list_models())}
        for name, _, tag in (full.partition(".") for full in import_timm().list_pretrained()):
            tags.get(name, []).append(tag)
        return tags
    models = import_torchvision().models
    nets = sorted(models.list_models(module=models))
    return {name: list(models.get_model_weights(name).__members__) for name in nets}


def entry(library: str, name: str, size: Size | None) -> Entry:
    """Return a net by its name, at its own input size or another. Raises UserError if that cannot
    be."""
    return _of_timm(name, size) if library == "timm" else _of_torchvision(name, size)


def _of_timm(name: str, size: Size | None) -> Entry:
    timm = import_timm()
    base, _, tag = name.partition(".")
    tags = [w.partition(".")[2] for w in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        raise unknown("weights", tag, tags, f"timm:{base}")
    pretrained_cfg = timm.models.get_pretrained_cfg(name)
    cfg = pretrained_cfg.to_dict()
    own: Size = tuple(cfg["input_size"][1:])
    options: dict[str, Any] = {}
    if size not in (None, own) and cfg.get("fixed_input_size"):
        options["img_size"] = size

    def build(pretrained: bool) -> nn.Module:
        # Attention as plain products: the fused operator exists in no file format but PyTorch's,
        # and torch does not count its multiplications.
        timm.layers.set_fused_attn(False)
        net: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
        return net

    return Entry(
        build,
        Preprocess(
            size or own,
            tuple(255 * v for v in cfg["mean"]),
            tuple(255 * v for v in cfg["std"]),
            crop=None if cfg.get("crop_mode") == "squash" else float(cfg["crop_pct"]),
            interpolation=_filter(cfg["interpolation"]),
        ),
        cfg.get("license") or "",
        f"{base}.{cfg['tag']}" if pretrained_cfg.has_weights else "",
    )


def _of_torchvision(name: str, size: Size | None) -> Entry:
    models = import_torchvision().models
    base, _, tag = name.partition(".")
    by_name = models.get_model_weights(base).__members__  # with its alias, DEFAULT
    if tag and tag not in by_name:
        raise unknown("weights", tag, by_name, f"torchvision:{base}")
    weights = by_name[tag] if tag else models.get_model_weights(base).DEFAULT
    how = weights.transforms()
    own: Size = tuple(how.crop_size * 2)[:2]
    options: dict[str, Any] = {}
    if size not in (None, own) and base.startswith("vit_"):
        options["image_size"] = size[0] if size else 0
    if base in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # by SciPy, one weight after the other

    def build(pretrained: bool) -> nn.Module:
        with warnings.catch_warnings(action="ignore"):
            net: nn.Module = models.get_model(
                base, weights=weights if pretrained else None, **options
            )
        return net

    return Entry(
        build,
        Preprocess(
            size or own,
            tuple(255 * v for v in how.mean),
            tuple(255 * v for v in how.std),
            crop=how.crop_size[0] / how.resize_size[0],
            interpolation=_filter(how.interpolation.value),
        ),
        "BSD-3-Clause",
        str(weights),
    )


def plain(net: nn.Module) -> nn.Module:
    """Return the net, once it has its weights, without what is peculiar to the libraries.

    Second classifiers, which are for training only, are left out. timm's modules of normalisation
    and activation in one become two in a row: what knows batch normalisation by its type (folding,
    pruning, equalisation) sees it then.
    """
    from torch import nn

    for part in ("aux1", "aux2", "AuxLogits"):
        if hasattr(net, part):
            setattr(net, part, None)
            vars(net)["aux_logits"] = False
    if "timm" not in sys.modules:
        return net
    fused = import_timm().layers.BatchNormAct2d
    for parent in list(net.modules()):
        children: list[tuple[str, Any]] = list(parent.named_children())
        for name, child in children:
            if type(child) is not fused:
                continue
            norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum)
            norm.load_state_dict(child.state_dict())
            after = [m for m in (child.drop, child.act) if not isinstance(m, nn.Identity)]
            setattr(parent, name, nn.Sequential(norm, *after) if after else norm)
    return net


def _filter(name: str) -> Any:
    return name if name in ("bicubic", "nearest") else "bilinear"


def import_timm() -> Any:
    """Import timm. Raises UserError if it or torchvision is not installed."""
    import_torchvision()  # which timm imports
    return importlib.import_module("timm")


def import_torchvision() -> Any:
    """Import torchvision, also one built for another torch. Raises UserError likewise."""
    versions("timm")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        # Its compiled operators are those of another build of torch (PyPI has them for CUDA only),
        # and it stops at the first one that it describes and does not find. No net of the zoo uses
        # any: with their names alone it imports. A build that matches never comes here.
        if "torchvision::nms does not exist" not in str(error):
            raise
    import torch

    for name in ("nms", "qnms"):
        signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", signature)
    return importlib.import_module("torchvision")
