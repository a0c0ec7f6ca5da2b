"""DiT checkpoints people already have: recognised by their keys and mapped to our :class:`DiT`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from engine.errors import EngineError, bad_file, invalid_input
from engine.images.dit import DiT, DiTConfig, position_table
from engine.model_recognition import PRESET_HEADS
from engine.weight_files import explain_mismatch
from engine.weights_conversion import strip_wrappers

Network = TypeVar("Network", bound=DiT)

_LISTED_SHAPES = 6


def load_strictly(model: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict, refusing any difference in keys or shapes by name.

    Raises
    ------
    EngineError
        ``bad_file`` naming missing and unexpected keys and wrong shapes.
    """
    expected = model.state_dict()
    shapes = [
        f"{key} is {tuple(tensors[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & tensors.keys())
        if tensors[key].shape != expected[key].shape
    ]
    problems = [explain_mismatch(expected, tensors), "; ".join(shapes[:_LISTED_SHAPES])]
    if any(problems):
        raise bad_file(
            f"{what} does not fit this architecture ({'; '.join(filter(None, problems))}). "
            "It was not loaded.",
            "Choose the file of the right model; nothing was changed.",
        )
    # One after the other: a converted copy of them all would double the memory.
    for key, value in expected.items():
        value.copy_(tensors[key])


def parameter_bytes(module: torch.nn.Module) -> int:
    """Memory of a module's weights and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _block_count(keys: Iterable[str], pattern: str) -> int:
    found = [int(match[1]) for key in keys if (match := re.match(pattern, key))]
    return max(found) + 1 if found else 0


def unfilled(make: Callable[[], Network]) -> Network:
    """A model whose numbers are still to be loaded: drawing 675 million first takes a minute."""
    with torch.device("meta"):
        model = make()
    return model.to_empty(device="cpu")


def official_config(state: Mapping[str, Tensor], num_heads: int | None) -> DiTConfig:
    """Sizes of the DiT whose state dict, without wrappers, has the original program's keys.

    Width, depth, patch, channels, classes and grid are read off the shapes. The number of heads is
    not in the file: the published sizes are known, others need ``num_heads``. A label table is
    taken to end with the "no label" row.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not a DiT; ``invalid_input`` when the heads are not known.
    """
    needed = ("x_embedder.proj.weight", "pos_embed", "y_embedder.embedding_table.weight",
              "blocks.0.mlp.fc1.weight", "final_layer.linear.weight")  # fmt: skip
    absent = [key for key in needed if key not in state]
    if absent:
        raise bad_file(
            f"This is not a DiT checkpoint: it lacks {', '.join(absent)}. It was not loaded.",
            "Triptych recognises DiT files by the key names of the original program.",
        )
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    if num_heads is None and width not in PRESET_HEADS:
        raise invalid_input(
            f"The checkpoint has width {width}, which is none of the published sizes, "
            "so its number of attention heads is not known.",
            "Say the number of heads when adding it.",
        )
    out_channels = state["final_layer.linear.weight"].shape[0] // patch**2
    if out_channels not in (channels, 2 * channels):
        raise bad_file(f"The checkpoint maps {channels} channels to {out_channels}; not a DiT.")
    return DiTConfig(
        input_size=math.isqrt(state["pos_embed"].shape[1]) * patch,
        patch_size=patch,
        in_channels=channels,
        hidden_size=width,
        depth=_block_count(state, r"blocks\.(\d+)\."),
        num_heads=num_heads or PRESET_HEADS[width],
        num_classes=state["y_embedder.embedding_table.weight"].shape[0] - 1,
        learn_sigma=out_channels == 2 * channels,
        mlp_ratio=state["blocks.0.mlp.fc1.weight"].shape[0] / width,
    )


def dit_from_official(tensors: Mapping[str, Tensor], num_heads: int | None = None) -> DiT:
    """Build a DiT from a state dict with the original program's keys; see :func:`official_config`."""
    state = dict(zip(strip_wrappers(tensors), tensors.values(), strict=True))
    config = official_config(state, num_heads)
    model = unfilled(lambda: DiT(config))
    load_strictly(model, state, "The checkpoint")
    return model.eval()


def dit_from_diffusers(
    folder: Path, tensors: Mapping[str, Tensor], original_numerics: bool = False
) -> DiT:
    """Build a DiT from a diffusers ``transformer`` folder (``config.json`` and its tensors).

    By default the picture is the one diffusers gives (frequencies over 127, its norm epsilon);
    ``original_numerics`` gives what the original program computes from the same weights.

    Raises
    ------
    EngineError
        ``bad_file`` when the folder is not a DiT or a variant this program does not have.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad_file(f"The model's config.json cannot be read: {error}.") from error
    required = {
        "activation_fn": "gelu-approximate",
        "norm_type": "ada_norm_zero",
        "norm_elementwise_affine": False,
    }
    wrong = [
        f"{key} is {config.get(key)!r}" for key, value in required.items() if config.get(key) != value
    ]
    if wrong:
        raise bad_file(f"This is not a class-conditional DiT: {', '.join(wrong)}.")
    heads, head_width = config["num_attention_heads"], config["attention_head_dim"]
    channels = config["in_channels"]
    dit = DiTConfig(
        input_size=config["sample_size"],
        patch_size=config["patch_size"],
        in_channels=channels,
        hidden_size=heads * head_width,
        depth=config["num_layers"],
        num_heads=heads,
        num_classes=config["num_embeds_ada_norm"],
        learn_sigma=(config.get("out_channels") or channels) == 2 * channels,
        freq_denominator=128 if original_numerics else 127,
        norm2_eps=1e-6 if original_numerics else config.get("norm_eps", 1e-5),
    )
    model = unfilled(lambda: DiT(dit))
    load_strictly(model, _official_names(tensors, dit), "The diffusers folder")
    return model.eval()


_PER_BLOCK = {
    "norm1.linear": "adaLN_modulation.1",
    "attn1.to_out.0": "attn.proj",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
}
_SHARED = {
    "timestep_embedder.linear_1": "t_embedder.mlp.0",
    "timestep_embedder.linear_2": "t_embedder.mlp.2",
    "class_embedder.embedding_table": "y_embedder.embedding_table",
}
_WHOLE = {
    "pos_embed.proj": "x_embedder.proj",
    "proj_out_1": "final_layer.adaLN_modulation.1",
    "proj_out_2": "final_layer.linear",
}


def _official_names(tensors: Mapping[str, Tensor], config: DiTConfig) -> dict[str, Tensor]:
    """Names of diffusers to the original's; embedders stored per block must agree between blocks."""
    side = config.input_size // config.patch_size
    state = {"pos_embed": position_table(config.hidden_size, side)}
    rest = dict(tensors)

    def move(source: str, target: str) -> None:
        for part in ("weight", "bias"):
            if (tensor := rest.pop(f"{source}.{part}", None)) is not None:
                state[f"{target}.{part}"] = tensor

    for source, target in _WHOLE.items():
        move(source, target)
    for block in range(config.depth):
        prefix = f"transformer_blocks.{block}"
        for source, target in _PER_BLOCK.items():
            move(f"{prefix}.{source}", f"blocks.{block}.{target}")
        for part in ("weight", "bias"):
            names = [f"{prefix}.attn1.to_{letter}.{part}" for letter in "qkv"]
            if all(name in rest for name in names):
                joined = torch.cat([rest.pop(name) for name in names])
                state[f"blocks.{block}.attn.qkv.{part}"] = joined
        for source, target in _SHARED.items():
            for part in ("weight", "bias"):
                tensor = rest.pop(f"{prefix}.norm1.emb.{source}.{part}", None)
                if tensor is None:
                    continue
                first = state.setdefault(f"{target}.{part}", tensor)
                if not torch.equal(first, tensor):
                    raise _separate_embedders(block)
    # What was not recognised stays under its own name, so that the strict loading names it.
    return {**state, **rest}


def _separate_embedders(block: int) -> EngineError:
    return bad_file(
        f"Block {block} of this folder has its own time or class embedder; a fine-tune separated "
        "them, and Triptych's DiT shares one. It was not loaded."
    )
