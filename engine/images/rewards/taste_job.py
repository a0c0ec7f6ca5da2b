"""The job ``images.learn_taste``: from votes on pictures to a taste that rewards can use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from engine.context import RunContext
from engine.errors import invalid_input
from engine.images.alignment_inversion import read_picture
from engine.images.rewards.taste import Votes, fit_taste, taste_file, vectors_of
from engine.registry import JOBS, JobKind


class LearnTasteParams(BaseModel):
    """Learn my taste"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    liked: tuple[str, ...] = Field((), title="Liked", description="Names of pictures you like.")
    disliked: tuple[str, ...] = Field(
        (), title="Disliked", description="Names of pictures you do not like."
    )
    chosen: tuple[tuple[str, str], ...] = Field(
        (), title="Choices", description="Pairs of names, the better picture first."
    )


def learn_taste(params: LearnTasteParams, inputs: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Learn from votes on the inputs, which are pictures by name, and keep the taste.

    It replaces the one that was kept before, in the user's data folder; there the reward ``taste``
    finds it. Returns the metrics ``votes`` and ``accuracy`` (share of votes foretold rightly, each
    left out in turn).

    Raises
    ------
    EngineError
        ``invalid_input`` when there are too few votes, or one is on a picture that was not given;
        ``bad_file`` when a picture cannot be read. The taste from before stays.
    """
    names = list(inputs)
    voted = {*params.liked, *params.disliked, *(name for pair in params.chosen for name in pair)}
    unknown = sorted(voted - set(names))
    if unknown:
        raise invalid_input(
            f"There are votes on pictures that were not given: {', '.join(unknown[:6])}. Your taste "
            "stays as it was.",
            "Give each picture under the name it is voted on.",
        )
    place = {name: index for index, name in enumerate(names)}
    votes = Votes(
        [(place[name], True) for name in params.liked]
        + [(place[name], False) for name in params.disliked],
        [(place[better], place[worse]) for better, worse in params.chosen],
    )
    vectors = []
    for done, name in enumerate(names):
        ctx.progress(done, len(names), "Looking at the pictures")
        picture = (read_picture(Path(inputs[name])) + 1) / 2
        vectors.append(vectors_of(picture[None], ctx.device))
    head = fit_taste(torch.cat(vectors) if vectors else torch.empty(0, 1), votes)
    ctx.check()
    file = taste_file()
    partial = file.with_name(f".{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(head.to_json()), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise invalid_input(
            f"Your taste cannot be kept at {file}: {error.strerror}. It stays as it was.",
            "Check that the disk is not full and the folder may be written.",
        ) from error
    return {"votes": head.votes, "accuracy": round(head.accuracy, 4)}


JOBS.add("images.learn_taste", JobKind(LearnTasteParams, learn_taste, "Learn my taste"))
