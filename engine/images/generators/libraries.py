"""diffusers and transformers, imported when a model needs them, and never online.

Loading goes through these functions only: from local folders, from safetensors, with every missing
or superfluous tensor named instead of filled with random numbers.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch

from engine import extras
from engine.device import is_out_of_memory
from engine.errors import EngineError, bad_file
from engine.model_pipelines import Part
from engine.weight_files import explain_mismatch

EXTRA = "diffusers"
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "YES",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_IGNORED_KEYS = ("position_ids",)
"""Ends of tensors in old files that newer libraries compute."""


def library(name: str, who: str) -> ModuleType:
    """``diffusers`` or ``transformers``, quiet and offline.

    Raises
    ------
    EngineError
        ``missing_weights`` when the extra is not installed; ``who`` needs it.
    """
    extras.require(EXTRA, who)
    # Read once, when the libraries are first imported.
    os.environ.update(_OFFLINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(name)
        words = importlib.import_module(f"{name}.utils.logging")
        words.set_verbosity_error()
        words.disable_progress_bar()
    return module


def load_part(
    library_name: str, class_name: str, part: Part, who: str, dtype: torch.dtype = torch.float32
) -> Any:
    """A network of a pipeline's part, on the CPU, in evaluation mode and without gradients.

    Raises
    ------
    EngineError
        ``bad_file`` when the weights do not fit the part's description.
    """
    what = f"The part {part.folder.name!r} of {who}"
    assert part.weights is not None, "only parts with weights are networks"
    kind = getattr(library(library_name, who), class_name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, told = kind.from_pretrained(
                str(part.folder),
                local_files_only=True,
                use_safetensors=True,
                variant=part.weights.variant or None,
                output_loading_info=True,
                torch_dtype=dtype,
            )
    except Exception as error:  # the libraries raise whatever their own parts raise
        if is_out_of_memory(error) or isinstance(error, EngineError):
            raise
        raise bad_file(
            f"{what} cannot be loaded: {_first_line(error)}",
            "Get the folder again, or add the model again.",
            f"{type(error).__name__}: {error}",
        ) from error
    _require_complete(what, told)
    return model.to(dtype).eval().requires_grad_(False)


def _require_complete(what: str, told: dict[str, Any]) -> None:
    missing, surplus = _significant(told["missing_keys"]), _significant(told["unexpected_keys"])
    shapes = [str(item[0] if isinstance(item, tuple) else item) for item in told["mismatched_keys"]]
    problems = [explain_mismatch(missing, surplus)]
    if shapes:
        problems.append(f"of another shape: {', '.join(shapes[:6])}")
    if any(problems):
        raise bad_file(
            f"{what} does not fit its description ({'; '.join(filter(None, problems))}). It was not "
            "loaded.",
            "Get the folder again; its files are from different models.",
        )


def _significant(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.endswith(_IGNORED_KEYS)]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0][:300] if lines else type(error).__name__
    return text if text.endswith((".", "!")) else f"{text}."
