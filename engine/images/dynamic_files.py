"""Dynamic DiTs in files: the released program's, and the built-in generator's own.

The released program's files have the key names of :mod:`engine.images.dynamic_dit`, and nothing else;
sizes are read off them. What Triptych writes says more in its metadata: ``format`` (``dydit``), ``H``,
``groups``, ``told_ratio``, and ``curve``: pairs of what the network is told and the share of the
blocks' arithmetic that it then computes, measured on whole sampling runs.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from engine.errors import bad_file, invalid_input
from engine.images.checkpoints import load_strictly, official_config, unfilled
from engine.images.dit import DiTConfig
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT
from engine.model_recognition import DynamicFile, read_dynamic
from engine.weight_files import read_safetensors
from engine.weights_conversion import strip_wrappers

FORMAT = "dydit"
ROUNDING = 5e-3
"""Shares are shown in per cent: a slider's end must not be refused for what is rounded away."""

Curve = Sequence[tuple[float, float]]
"""Pairs (told, computed share), both ascending."""


def dynamic_from_official(tensors: Mapping[str, Tensor], found: DynamicFile) -> DynamicDiT:
    """Build a dynamic DiT from a state dict with the released program's keys.

    ``found`` is what :func:`~engine.model_recognition.read_dynamic` read off the file's header.

    Raises
    ------
    EngineError
        ``bad_file`` when keys or shapes do not fit, ``invalid_input`` when the MLPs cannot be cut
        into as many groups as the routers say.
    """
    state = dict(zip(strip_wrappers(tensors), tensors.values(), strict=True))
    config = official_config(state, found.heads)
    model = unfilled(lambda: DynamicDiT(config, DynamicConfig(found.groups)))
    load_strictly(model, state, "The dynamic checkpoint")
    return model.eval()


def write_dynamic(model: DynamicDiT, path: Path, curve: Curve) -> None:
    """Write a network in half precision with its metadata; replaces the file in one step."""
    tensors = {k: v.detach().half().contiguous().cpu() for k, v in model.state_dict().items()}
    about = {
        "format": FORMAT,
        "H": str(model.config.num_heads),
        "groups": str(model.dynamic.groups),
        "told_ratio": json.dumps(model.dynamic.told_ratio),
        "curve": json.dumps([[round(told, 4), round(share, 4)] for told, share in curve]),
        "freq_denominator": str(model.config.freq_denominator),
        "norm2_eps": str(model.config.norm2_eps),
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, about)
    partial.replace(path)


def read_told_dynamic(path: Path, config: DiTConfig) -> tuple[DynamicDiT, Curve]:
    """The network beside a static one of the same sizes, and what it computes when told what.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    found = read_dynamic(path)
    if not found.curve:
        raise bad_file(
            f"{path.name} does not say how much it computes; it was not loaded.",
            "Get the model again.",
        )
    model = unfilled(lambda: DynamicDiT(config, DynamicConfig(found.groups, told_ratio=True)))
    load_strictly(model, read_safetensors(path), "The dynamic transformer")
    return model.eval(), found.curve


def told_for(share: float, curve: Curve, name: str) -> float:
    """What to tell a network so that it computes this share of its blocks' arithmetic.

    Raises
    ------
    EngineError
        ``invalid_input`` for a share outside of what it was trained for.
    """
    told, shares = [pair[0] for pair in curve], [pair[1] for pair in curve]
    if not shares[0] - ROUNDING <= share <= shares[-1] + ROUNDING:
        raise invalid_input(
            f"{name} computes {shares[0]:.0%} to {shares[-1]:.0%} of its arithmetic, or all of it; "
            f"{share:.0%} is outside of what it was trained for. Nothing was started.",
            "Choose a share between these, or 100 %.",
        )
    right = min(max(1, bisect_left(shares, share)), len(shares) - 1)
    low, high = shares[right - 1], shares[right]
    place = min(1.0, max(0.0, (share - low) / (high - low)))
    return told[right - 1] + place * (told[right] - told[right - 1])
