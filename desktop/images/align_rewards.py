"""The rewards that can be chosen, with their settings and usual ranges; read on a thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

BUILTIN = "builtin"
"""The model whose usual ranges are shipped."""
COMPANION = ("white_border", 3.0)
"""Keeps pictograms on white ground while another reward changes colours; with its weight."""
COMPANION_OF = "Colour"
TASTE = "taste"
OWN_CODE, ALLOW_OWN_CODE = "python", "TRIPTYCH_ALLOW_USER_CODE"
"""As in :mod:`engine.images.rewards.protocol`, which imports torch."""


@dataclass(frozen=True)
class RewardEntry:
    """A reward, as far as the window needs to know it.

    Attributes
    ----------
    title, less
        The user's words for more and for less of it.
    differentiable
        Whether alignment has its gradient.
    obstacle
        Why it cannot be used here, and what to do; empty when it can.
    schema
        JSON schema of its settings.
    """

    name: str
    title: str
    less: str
    differentiable: bool = True
    group: str = "Look"
    description: str = ""
    note: str = ""
    obstacle: str = ""
    schema: Mapping[str, Any] | None = None


class UsualRange(Protocol):
    """The range of a reward over a model's own pictures."""

    def position(self, value: float) -> float:
        """0 at its low end, 100 at its high end; may lie beyond."""
        ...


@dataclass(frozen=True)
class RewardCatalogue:
    """What the Align tab is made from.

    Attributes
    ----------
    schema
        JSON schema of the parameters of alignment.
    """

    schema: Mapping[str, Any]
    entries: tuple[RewardEntry, ...] = ()

    def entry(self, name: str) -> RewardEntry | None:
        """A reward by its name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def title(self, key: str, terms: Mapping[str, float] | None = None) -> str:
        """The user's words for a value; ``key`` is a name, numbered where it occurs twice.

        ``terms`` are weights by key: a negative one wants less.
        """
        entry = self.entry(key) or self.entry(key.rpartition("-")[0])
        if entry is None:
            return key.replace("_", " ").capitalize()
        return entry.less if (terms or {}).get(key, 1.0) < 0 else entry.title

    def groups(self) -> list[tuple[str, list[RewardEntry]]]:
        """Entries by heading, in the order they were registered."""
        found: dict[str, list[RewardEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.group, []).append(entry)
        return list(found.items())


def read_rewards() -> RewardCatalogue:
    """Read everything; called on a thread (imports pydantic and numpy, no torch)."""
    from engine.images.alignment_params import AlignParams
    from engine.images.rewards import REWARDS

    entries = [
        RewardEntry(
            name,
            kind.title,
            kind.less,
            kind.sort == "gradient",
            kind.group,
            kind.description,
            kind.note,
            kind.obstacle() or _own_code_obstacle(name),
            kind.options.model_json_schema(),
        )
        for name, kind in REWARDS
    ]
    return RewardCatalogue(AlignParams.model_json_schema(), tuple(entries))


def _own_code_obstacle(name: str) -> str:
    """Why the user's own programs cannot run; empty when they can, and for all other rewards."""
    if name != OWN_CODE or os.environ.get(ALLOW_OWN_CODE) == "1":
        return ""
    return (
        "Programs of your own are off: they can do whatever you can. If you trust yours, start "
        f"Triptych with {ALLOW_OWN_CODE}=1 in its environment."
    )


def usual_range(model: str, term: Mapping[str, Any]) -> UsualRange | None:
    """The shipped range of a reward with its settings; ``None`` where none is known.

    Call :func:`read_rewards` before: it imports what this needs.
    """
    from pydantic import ValidationError

    from engine.images.rewards import RewardTerm
    from engine.images.rewards.scales import builtin_scales

    if model != BUILTIN:
        return None
    try:
        return builtin_scales().find(RewardTerm.model_validate(dict(term)))
    except ValidationError:
        return None
