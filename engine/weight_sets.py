"""The weights of one part of a diffusers folder: one file or shards, plain or a variant.

diffusers and transformers store a part's weights under a handful of names::

    diffusion_pytorch_model.safetensors        model.safetensors               one file
    diffusion_pytorch_model.fp16.safetensors   model.fp16.safetensors          a variant of it
    *.safetensors.index.json, *.safetensors.index.fp16.json                    shards and their list
    diffusion_pytorch_model.bin                pytorch_model.bin               pickles
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, ErrorCode, bad_file
from engine.model_folders import read_object
from engine.weight_files import TensorHead, read_heads, unavailable

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
VARIANTS = ("", "fp16", "bf16", "fp32", "ema", "non_ema")
"""In the order of preference; other variants come after them."""

_ONE = re.compile(rf"(?P<stem>{'|'.join(STEMS)})(\.(?P<variant>\w+))?\.(?P<suffix>safetensors|bin)")
_INDEX = re.compile(
    rf"(?P<stem>{'|'.join(STEMS)})\.(?P<suffix>safetensors|bin)\.index(\.(?P<variant>\w+))?\.json"
)


@dataclass(frozen=True)
class WeightSet:
    """The files to load one part from.

    Attributes
    ----------
    files
        Where the tensors are.
    index
        The list of shards, where there are several.
    variant
        What diffusers calls this set; empty for the plain one.
    pickled
        Whether they are PyTorch pickles, which have to be converted first.
    """

    files: tuple[Path, ...]
    index: Path | None = None
    variant: str = ""
    pickled: bool = False

    @property
    def all_files(self) -> tuple[Path, ...]:
        """With the list of shards."""
        return (*self.files, self.index) if self.index else self.files

    def heads(self) -> dict[str, TensorHead]:
        """Headers of all tensors; raises ``missing_weights`` or ``bad_file``."""
        return {name: head for file in self.files for name, head in read_heads(file).items()}


def find_weights(folder: Path) -> WeightSet:
    """The set to load a part from: safetensors before pickles, plain before variants.

    Raises
    ------
    EngineError
        ``missing_weights`` when the folder has none or a shard is missing; ``bad_file`` when the
        list of shards is damaged.
    """
    try:
        found = [match for file in folder.iterdir() if (match := _match(file.name))]
    except OSError as error:
        raise unavailable(folder, error) from error
    if not found:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The part {folder.name!r} has no weights; nothing was loaded.",
            f"Looked in {folder} for {STEMS[0]}.safetensors and the like. Get the folder again, "
            "with its large files (git lfs pull, for a clone).",
        )
    best = min(found, key=_preference)
    path = folder / best.string
    variant, pickled = best["variant"] or "", best["suffix"] == "bin"
    if best.re is _ONE:
        return WeightSet((path,), None, variant, pickled)
    return WeightSet(_shards(path), path, variant, pickled)


def _match(name: str) -> re.Match[str] | None:
    return _ONE.fullmatch(name) or _INDEX.fullmatch(name)


def _preference(found: re.Match[str]) -> tuple[bool, int, bool, str]:
    variant = found["variant"] or ""
    rank = VARIANTS.index(variant) if variant in VARIANTS else len(VARIANTS)
    return found["suffix"] == "bin", rank, found.re is _INDEX, found.string


def read_shard_names(index: Path) -> dict[str, str]:
    """File name of each tensor in a list of shards; raises ``bad_file``."""
    listed: dict[str, Any] = read_object(index).get("weight_map") or {}
    if not listed or not all(isinstance(name, str) for name in listed.values()):
        raise bad_file(f"The list of files {index.name} is damaged. Nothing was loaded.")
    # Only names: a list must not make us read other places.
    return {tensor: Path(name).name for tensor, name in listed.items()}


def _shards(index: Path) -> tuple[Path, ...]:
    files = tuple(index.parent / name for name in sorted(set(read_shard_names(index).values())))
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The part {index.parent.name!r} is incomplete: {', '.join(missing[:4])} is missing. "
            "Nothing was loaded.",
            "Get the folder again, with all its files.",
        )
    return files
