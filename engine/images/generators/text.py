"""Prompts for CLIP text encoders: any length, in windows of what one can read at once."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from engine.errors import bad_file
from engine.images.generators.libraries import library, load_part
from engine.model_pipelines import Part

CLASSES = ("CLIPTextModel", "CLIPTextModelWithProjection")


class TextEncoder:
    """A CLIP tokenizer and its encoder.

    A prompt that does not fit into one window (77 tokens, of which two mark its ends) is cut into
    several, each encoded by itself; their sequences follow one another.

    Parameters
    ----------
    tokenizer, encoder
        Parts of the pipeline.
    penultimate
        Whether the sequence is that of the last layer but one, as Stable Diffusion XL has it, and a
        pooled vector is wanted too; else the normalised output of the last layer.
    """

    def __init__(self, tokenizer: Part, encoder: Part, penultimate: bool, who: str) -> None:
        self._penultimate = penultimate
        self._tokenizer = _load_tokenizer(tokenizer, who)
        named = (encoder.config.get("architectures") or ["CLIPTextModel"])[0]
        if named not in CLASSES:
            raise bad_file(
                f"The text encoder of {who} is a {named}; this version has {' and '.join(CLASSES)}. It "
                "was not loaded."
            )
        self.model: Any = load_part("transformers", named, encoder, who)
        positions = int(self.model.config.max_position_embeddings)
        self.length = min(int(self._tokenizer.model_max_length), positions)

    def windows(self, text: str) -> list[list[int]]:
        """Token numbers of each window of a text, without end marks; one, empty, for no text."""
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        size = self.length - 2
        return [ids[start : start + size] for start in range(0, max(len(ids), 1), size)]

    @torch.no_grad()
    def encode(self, windows: list[list[int]], count: int) -> tuple[Tensor, Tensor | None]:
        """Sequence ``(1, count * length, D)`` and, if wanted, the first window's pooled ``(1, P)``.

        Empty windows are added up to ``count``.
        """
        padded = [*windows, *[[] for _ in range(count - len(windows))]]
        rows = [self._marked(window) for window in padded]
        ids = torch.tensor([row for row, _ in rows], device=self.model.device)
        mask = None
        if getattr(self.model.config, "use_attention_mask", False):
            real = torch.tensor([filled for _, filled in rows], device=ids.device)
            mask = (torch.arange(self.length, device=ids.device) < real[:, None]).long()
        output = self.model(ids, attention_mask=mask, output_hidden_states=self._penultimate)
        sequence = output.hidden_states[-2] if self._penultimate else output[0]
        pooled = output[0][:1] if self._penultimate and output[0].ndim == 2 else None
        return sequence.reshape(1, -1, sequence.shape[-1]), pooled

    def _marked(self, window: list[int]) -> tuple[list[int], int]:
        """A window with its end marks, filled up; and how many of its tokens are real."""
        words = self._tokenizer
        marked = [words.bos_token_id, *window, words.eos_token_id]
        filling = words.pad_token_id if words.pad_token_id is not None else words.eos_token_id
        return marked + [filling] * (self.length - len(marked)), len(marked)


def _load_tokenizer(part: Part, who: str) -> Any:
    kind = library("transformers", who).CLIPTokenizer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.from_pretrained(str(part.folder), local_files_only=True)
    except Exception as error:  # the library raises whatever its own parts raise
        raise bad_file(
            f"The tokenizer {part.folder.name!r} of {who} cannot be loaded. Nothing was started.",
            "Get the folder again, or add the model again.",
            f"{type(error).__name__}: {error}",
        ) from error


def encode_together(
    encoders: list[TextEncoder], texts: list[str]
) -> tuple[list[tuple[Tensor, Tensor | None]], int]:
    """Each text by all encoders, features side by side, all texts in as many windows.

    Returns
    -------
    list of (Tensor, Tensor or None)
        Per text, the sequence ``(1, L, D)`` and the pooled vector ``(1, P)`` of the last encoder that
        has one.
    int
        The number of windows.
    """
    cut = [[encoder.windows(text) for encoder in encoders] for text in texts]
    count = max(len(windows) for row in cut for windows in row)
    encoded = []
    for row in cut:
        parts = [e.encode(windows, count) for e, windows in zip(encoders, row, strict=True)]
        pooled = [vector for _, vector in parts if vector is not None]
        sequence = torch.cat([sequence for sequence, _ in parts], dim=-1)
        encoded.append((sequence, pooled[-1] if pooled else None))
    return encoded, count
