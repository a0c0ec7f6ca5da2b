"""What the weights at a path are: recognised by their keys and shapes, never by a file's name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import extras
from engine.errors import EngineError, bad_file, invalid_input
from engine.model_folders import damage_named, read_object
from engine.model_memory import (
    FLOAT32,
    USUAL_VAE_WIDTHS,
    dit_evaluation_bytes,
    vae_decode_bytes,
)
from engine.weight_files import TensorHead, explain_mismatch, read_heads, read_metadata
from engine.weights_conversion import PICKLE_SUFFIXES, strip_wrappers

GENERATOR_FILES = ("generator.json", "autoencoder.safetensors", "transformer.safetensors")
DYNAMIC_FILE = "dynamic.safetensors"
"""Beside the others of a generator that can compute less; see :mod:`engine.images.dynamic_files`."""
DIT_FILE = "model.safetensors"
PIXEL_CHANNELS = 3
LATENT_FACTOR = 8
"""Pixels along one side of a latent, for the DiT files that are known."""

DIT_SIZES = {(384, 12): "S", (768, 12): "B", (1024, 24): "L", (1152, 28): "XL"}
"""Published sizes by width and depth."""

PRESET_HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Heads of the published sizes S, B, L, XL by width; a checkpoint does not say them."""

_FOREIGN = (
    (
        ("control_model.", "controlnet_cond_embedding.", "controlnet_"),
        "it is a ControlNet, which steers another model and makes no pictures by itself",
        "This version does not use ControlNets. Add the model it belongs to.",
    ),
    (
        ("lora_", ".lora.", "hada_"),
        "it is a LoRA, a small change to another model",
        "This version does not use LoRAs. Merge it into its model with the tool that made it, and "
        "add the result.",
    ),
    (
        ("model.diffusion_model.joint_blocks.", "joint_blocks.", "add_q_proj."),
        "it is Stable Diffusion 3, which this version cannot run",
        "Stable Diffusion 1.x, 2.x and XL can be used, as folders in the layout of diffusers.",
    ),
    (
        ("double_blocks.",),
        "it is Flux, which this version cannot run",
        "Stable Diffusion 1.x, 2.x and XL can be used, as folders in the layout of diffusers.",
    ),
    (
        ("model.diffusion_model.", "cond_stage_model.", "conditioner.embedders."),
        "it is a whole Stable Diffusion in a single file, and such files do not say how they are "
        "to be used",
        "Get the model as a folder in the layout of diffusers (with model_index.json), or convert it "
        "with diffusers, and add the folder.",
    ),
    (
        ("encoder.down_blocks.", "encoder.down.", "decoder.up_blocks.", "first_stage_model."),
        "it is an autoencoder (VAE) without its description",
        "Add the folder that has its config.json beside it.",
    ),
    (
        ("down_blocks.", "transformer_blocks.", "text_model."),
        "it is one part of a model in the layout of diffusers",
        "Add the whole folder, the one with model_index.json.",
    ),
)
"""Signs among the keys, what they mean, and what to do. The first that fits is told."""


@dataclass(frozen=True)
class Recognised:
    """What was found at a path; see :class:`engine.model_info.ModelInfo` for the names.

    ``files`` are all that its pictures depend on, in the order of its checksum.
    """

    kind: str
    path: Path
    files: tuple[Path, ...]
    architecture: str
    parameters: int
    memory_bytes: int
    conditions: str = ""
    alignment: bool = True
    needs: tuple[str, ...] = ()
    generates: bool = True
    title: str = ""
    licence: str = ""
    vae: str = ""
    dynamic: str = ""
    compute: tuple[float, float] | None = None


# --- Triptych's own -------------------------------------------------------------------------------


def describe_generator(folder: Path) -> dict[str, Any]:
    """The checked ``generator.json`` of a model folder; raises ``bad_file``."""
    about = read_object(folder / "generator.json")
    if about.get("format") != "triptych-generator":
        raise bad_file(
            f"{folder.name} is not a Triptych generator; it was not loaded.",
            f"Such a folder has the files {', '.join(GENERATOR_FILES)}.",
        )
    if about.get("version") != 1:
        raise bad_file(
            f"The model {folder.name} was made for a newer Triptych.", "Update Triptych to use it."
        )
    return about


def recognise_generator(folder: Path) -> Recognised:
    """A folder in the layout of the built-in generator; raises ``missing_weights`` or ``bad_file``."""
    about = describe_generator(folder)
    files = tuple(folder / name for name in GENERATOR_FILES)
    numbers = sum(count_numbers(file) for file in files[1:])
    sizes, autoencoder = about.get("transformer") or {}, about.get("autoencoder") or {}
    with damage_named(folder):
        side, patch, width = (
            int(sizes.get(key, 1)) for key in ("input_size", "patch_size", "hidden_size")
        )
        pixels = int(autoencoder.get("image_size", 0))
        widths = [int(item) for item in autoencoder.get("decoder_widths") or [0]]
        working = max(
            dit_evaluation_bytes((side // patch) ** 2, width),
            vae_decode_bytes(pixels**2, widths[::-1]),
        )
    dynamic = folder / DYNAMIC_FILE
    curve = read_dynamic(dynamic).curve if dynamic.exists() else ()
    return Recognised(
        kind="triptych-generator",
        path=folder,
        files=files,
        architecture=f"DiT of width {width}, patch {patch}, {pixels} px, latent, words",
        parameters=numbers,
        memory_bytes=FLOAT32 * numbers + working,
        conditions="words",
        title=str(about.get("title") or ""),
        licence=str(about.get("licence") or ""),
        dynamic="told" if curve else "",
        compute=(curve[0][1], curve[-1][1]) if curve else None,
    )


def count_numbers(file: Path) -> int:
    """Trained numbers in a safetensors file, from its header."""
    return sum(head.numbers for head in read_heads(file).values())


# --- DiT files ------------------------------------------------------------------------------------


def official_dit_keys(depth: int) -> set[str]:
    """Names of all tensors of the original program's DiT with ``depth`` blocks."""
    layers = ["x_embedder.proj", "t_embedder.mlp.0", "t_embedder.mlp.2"]
    layers += ["final_layer.adaLN_modulation.1", "final_layer.linear"]
    for block in range(depth):
        parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")
        layers += [f"blocks.{block}.{part}" for part in parts]
    keys = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return keys | {"pos_embed", "y_embedder.embedding_table.weight"}


_ROUTERS = ("attn_rate.router", "mlp_rate.router", "token_selection.mlp_head.0",
            "token_selection.mlp_head.2")  # fmt: skip


def router_keys(depth: int) -> set[str]:
    """Names of the tensors that the released DyDiT program adds to those of a DiT."""
    return {
        f"blocks.{block}.{router}.{part}"
        for block in range(depth)
        for router in _ROUTERS
        for part in ("weight", "bias")
    }


@dataclass(frozen=True)
class DynamicFile:
    """What makes a DiT file a dynamic one, read off its header.

    Attributes
    ----------
    heads, groups
        Attention heads and channel groups, one more than the routers have rows.
    curve
        Pairs (told, computed share) of a network that is told the wanted share; empty of others.
    """

    heads: int
    groups: int
    curve: tuple[tuple[float, float], ...] = ()


def read_dynamic(path: Path) -> DynamicFile:
    """The routers of a dynamic DiT, checked against its sizes.

    Raises
    ------
    EngineError
        ``missing_weights``, or ``bad_file`` when the routers do not fit the network: other groups in
        some blocks, or groups that its channels cannot be cut into.
    """
    heads = read_heads(path)
    found = dict(zip(strip_wrappers(heads), heads.values(), strict=True))
    about = read_metadata(path)
    parts: dict[str, set[int]] = {}
    for key, head in found.items():
        for router in ("attn_rate", "mlp_rate"):
            if key.endswith(f".{router}.router.bias"):
                parts.setdefault(router, set()).add(head.numbers + 1)
    if sorted(map(len, parts.values())) != [1, 1]:
        raise bad_file(
            f"{path.name} has the routers of a dynamic DiT in some blocks only, or of different sizes "
            "in different blocks. It was not loaded.",
            "The file may be damaged or cut into parts; get it again.",
        )
    (attention,), (groups,) = parts["attn_rate"], parts["mlp_rate"]
    width = next((h.shape[-1] for k, h in found.items() if k.endswith("attn.proj.weight")), 0)
    channels = next((h.shape[0] for k, h in found.items() if k.endswith("mlp.fc1.weight")), 0)
    for what, size, cut in (("heads", width, attention), ("channel groups", channels, groups)):
        if cut < 2 or size % cut:
            raise bad_file(
                f"{path.name} routes {cut} {what}, into which its width of {size} cannot be cut. "
                "It was not loaded.",
                "The routers belong to another model; get the file again.",
            )
    with damage_named(path):
        curve = tuple(
            (float(told), float(share)) for told, share in json.loads(about.get("curve", "[]"))
        )
    return DynamicFile(attention, groups, curve)


@dataclass(frozen=True)
class DiTFile:
    """Sizes of a DiT file, read off its header."""

    width: int
    depth: int
    patch: int
    channels: int
    side: int
    classes: int
    numbers: int
    dynamic: DynamicFile | None = None

    @property
    def is_latent(self) -> bool:
        """Whether it makes latents, which an autoencoder has to decode."""
        return self.channels != PIXEL_CHANNELS

    @property
    def pixels(self) -> int:
        """Side of the pictures."""
        return self.side * (LATENT_FACTOR if self.is_latent else 1)

    @property
    def architecture(self) -> str:
        """For people."""
        title = dit_title(self.width, self.depth, self.patch, self.pixels, self.is_latent)
        return f"{title}, dynamic" if self.dynamic else title


def require_heads(dit: DiTFile, num_heads: int | None) -> None:
    """Raise ``invalid_input`` unless it is known how a DiT file's width is divided into heads."""
    if dit.dynamic:
        if num_heads not in (None, dit.dynamic.heads):
            raise invalid_input(
                f"The routers of this dynamic checkpoint are for {dit.dynamic.heads} attention heads, "
                f"not {num_heads}; nothing was added.",
                "Leave the number of heads out.",
            )
        return
    if num_heads is None and dit.width not in PRESET_HEADS:
        raise invalid_input(
            f"The checkpoint has width {dit.width}, which is none of the published sizes, so its "
            "number of attention heads is not known; nothing was added.",
            f"Say the number of heads, a divisor of {dit.width}; its training settings name it.",
        )
    if num_heads is not None and (num_heads < 1 or dit.width % num_heads):
        raise invalid_input(
            f"A width of {dit.width} cannot be divided into {num_heads} attention heads; nothing was "
            "added.",
            f"Say a divisor of {dit.width}.",
        )


def dit_title(width: int, depth: int, patch: int, pixels: int, latent: bool) -> str:
    """``DiT-XL/2, 256 px, latent`` for the published sizes, else width and depth."""
    size = DIT_SIZES.get((width, depth))
    name = f"DiT-{size}/{patch}" if size else f"DiT of width {width}, depth {depth}, patch {patch}"
    return f"{name}, {pixels} px, {'latent' if latent else 'pixels'}"


def read_dit(path: Path) -> DiTFile:
    """Check that a file is an official DiT and read its sizes.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``; of another architecture, saying which, or naming the
        keys that differ.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise bad_file(
            f"{path.name} is a PyTorch file, which is only read by converting it.",
            "Add it: `triptych models add` makes a safetensors copy in a separate process.",
        )
    heads = read_heads(path)
    found = dict(zip(strip_wrappers(heads), heads.values(), strict=True))
    blocks = [int(match[1]) for key in found if (match := re.match(r"blocks\.(\d+)\.", key))]
    depth = max(blocks, default=0) + 1
    dynamic = any(key in found for key in router_keys(depth))
    known = official_dit_keys(depth) | (router_keys(depth) if dynamic else set())
    difference = explain_mismatch(known, found)
    if difference:
        raise _not_a_dit(path, found, difference)
    patches, positions = found["x_embedder.proj.weight"].shape, found["pos_embed"].shape
    table = found["y_embedder.embedding_table.weight"].shape
    if (len(patches), len(positions), len(table)) != (4, 3, 2) or 0 in patches or table[0] < 2:
        raise bad_file(
            f"{path.name} has the key names of a DiT checkpoint, but tensors of other shapes "
            f"(x_embedder.proj.weight is {patches}). It was not loaded.",
            "The file may be damaged or cut into parts; get it again.",
        )
    width, channels, patch, _ = patches
    return DiTFile(
        width=width,
        depth=depth,
        patch=patch,
        channels=channels,
        side=math.isqrt(positions[1]) * patch,
        classes=table[0] - 1,
        numbers=sum(head.numbers for head in found.values()),
        dynamic=read_dynamic(path) if dynamic else None,
    )


def recognise_dit(path: Path, vae: str) -> Recognised:
    """A checkpoint in the original program's layout; raises like :func:`read_dit`."""
    dit = read_dit(path)
    decode = vae_decode_bytes(dit.pixels**2, USUAL_VAE_WIDTHS) if vae else 0
    working = max(dit_evaluation_bytes((dit.side // dit.patch) ** 2, dit.width), decode)
    return Recognised(
        kind="dit",
        path=path,
        files=(path,),
        architecture=dit.architecture,
        parameters=dit.numbers,
        memory_bytes=FLOAT32 * dit.numbers + working,
        conditions="class",
        alignment=not dit.is_latent or bool(vae),
        needs=extras.missing("diffusers") if vae else (),
        vae=vae,
        dynamic="fixed" if dit.dynamic else "",
    )


def _not_a_dit(path: Path, found: Mapping[str, TensorHead], difference: str) -> EngineError:
    foreign = explain_foreign(found)
    if foreign:
        what, hint = foreign
        return bad_file(f"{path.name} cannot be used: {what}. It was not loaded.", hint, difference)
    return bad_file(
        f"{path.name} is not a DiT checkpoint that this version can use ({difference}). It was "
        "not loaded.",
        "Triptych knows its own generators, class-conditional DiT checkpoints with the key names of "
        "the original program, and folders in the layout of diffusers.",
    )


def explain_foreign(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a file of another architecture is and what to do about it, where its keys tell."""
    for signs, what, hint in _FOREIGN:
        if any(sign in key for key in keys for sign in signs):
            return what, hint
    return None
