"""What can be chosen on the page: installed models with their words and classes, and the parameters.

Reading it takes some hundred milliseconds (pydantic, a megabyte of captions, hashes of models), so
it happens on a thread while the window is already there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from desktop.images.specs import params_schema, with_seed
from engine.errors import EngineError, ErrorCode
from engine.images.vocabulary import Vocabulary

log = logging.getLogger("triptych.images")

DESCRIPTION = "generator.json"
OWN_KIND = "triptych-generator"
FREE_SIZE_KINDS = ("stable-diffusion", "stable-diffusion-xl")
GENERATOR_KINDS = (OWN_KIND, "dit", "diffusers-dit", *FREE_SIZE_KINDS)


@dataclass(frozen=True)
class ModelEntry:
    """An installed model, as far as the page needs to know it.

    Attributes
    ----------
    vocabulary
        What it understands; ``None`` for a model that knows classes only.
    class_names
        Its classes.
    conditions
        What it is told: ``words``, ``class`` or ``text``.
    free_size
        Whether width and height can be chosen.
    needs
        Extras that must be installed before it can be used.
    aligns
        Whether its pictures can be aligned with rewards.
    memory_bytes
        Estimate of what making one picture takes; ``None`` while unknown.
    dynamic, compute
        Whether it can compute less, and between which shares; see :class:`engine.model_info.ModelInfo`.
    """

    name: str
    title: str
    vocabulary: Vocabulary | None = None
    class_names: tuple[str, ...] = ()
    conditions: str = "words"
    free_size: bool = False
    needs: tuple[str, ...] = ()
    aligns: bool = True
    memory_bytes: int | None = None
    dynamic: str = ""
    compute: tuple[float, float] | None = None


@dataclass(frozen=True)
class Catalogue:
    """Everything the controls are made from. ``problems`` are told to the user."""

    schema: Mapping[str, Any]
    models: tuple[ModelEntry, ...] = ()
    problems: tuple[EngineError, ...] = field(default=())

    def model(self, name: str) -> ModelEntry | None:
        """An installed model by its name."""
        return next((entry for entry in self.models if entry.name == name), None)


def read_catalogue() -> Catalogue:
    """Read everything; called on a thread. A model that cannot be read becomes a problem."""
    from engine.weights import class_names, list_models

    entries: list[ModelEntry] = []
    problems: list[EngineError] = []
    try:
        found = [info for info in list_models() if info.kind in GENERATOR_KINDS]
    except EngineError as error:
        found, problems = [], [error]
    for info in found:
        try:
            if info.kind == OWN_KIND:
                entry = read_model(info.name, info.title, Path(info.path))
            else:
                entry = ModelEntry(info.name, info.title, None, class_names(info))
            free = info.kind in FREE_SIZE_KINDS
            entries.append(
                replace(
                    entry,
                    conditions=info.conditions,
                    free_size=free,
                    needs=info.needs,
                    aligns=info.alignment,
                    memory_bytes=info.memory_bytes or None,
                    dynamic=info.dynamic,
                    compute=info.compute,
                )
            )
        except EngineError as error:
            log.warning("the model %s is left out: %s", info.name, error)
            problems.append(error)
    return Catalogue(with_seed(params_schema()), tuple(entries), tuple(problems))


def read_model(name: str, title: str, path: Path) -> ModelEntry:
    """The words and classes of a model of our own, from the description beside its weights.

    Raises
    ------
    EngineError
        ``bad_file`` when the description is damaged.
    """
    try:
        about = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        vocabulary = Vocabulary.from_json(about["vocabulary"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            ErrorCode.BAD_FILE,
            f"The model {name} cannot be used: its {DESCRIPTION} is damaged or missing.",
            "Install the model again; your project is not affected.",
            f"{type(error).__name__}: {error}",
        ) from error
    # Parsing builds its tables at the first call; better here than at the first key.
    vocabulary.parse("warm up")
    return ModelEntry(name, title, vocabulary, vocabulary.class_names)
