"""A reward with its weight, as jobs, forms and the command line name it. No torch here."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import EngineError, invalid_input
from engine.images.rewards.catalogue import ALIASES, REWARDS, RewardKind
from engine.images.rewards.options import RewardOptions

MAX_WEIGHT = 100.0


class RewardTerm(BaseModel):
    """One reward of a mix.

    Names of :data:`~engine.images.rewards.catalogue.ALIASES` are turned into the reward they mean:
    ``darkness`` with weight 1 is ``brightness`` with weight -1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(title="Reward", description="Name of the reward.")
    weight: float = Field(
        1.0,
        ge=-MAX_WEIGHT,
        le=MAX_WEIGHT,
        allow_inf_nan=False,
        title="Weight",
        description="How much it counts; negative wants less of it, 0 only shows it.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, title="Settings", description="Settings of this reward."
    )

    @model_validator(mode="before")
    @classmethod
    def _follow_alias(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("name") in ALIASES:
            name, sign = ALIASES[data["name"]]
            weight = data.get("weight", 1.0)
            if isinstance(weight, int | float):
                return {**data, "name": name, "weight": sign * weight}
        return data

    @model_validator(mode="after")
    def _check(self) -> RewardTerm:
        try:
            kind = self.kind
        except EngineError as error:
            raise ValueError(str(error)) from error
        try:
            kind.options.model_validate(self.options)
        except ValidationError as error:
            mistakes = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            known = ", ".join(kind.options.model_fields)
            raise ValueError(f"{self.name}: {mistakes}. It has the settings {known}") from error
        return self

    @property
    def kind(self) -> RewardKind:
        """Its entry in the registry."""
        return REWARDS.get(self.name)

    @property
    def settings(self) -> RewardOptions:
        """Its options with their defaults."""
        return self.kind.options.model_validate(self.options)

    @property
    def scale_key(self) -> str:
        """The name of its scale: the reward's, with what else the scale depends on."""
        return "/".join(filter(None, [self.name, self.settings.variant()]))

    @property
    def title(self) -> str:
        """The user's words for what is wanted."""
        return self.kind.title if self.weight >= 0 else self.kind.less


def parse_term(text: str) -> RewardTerm:
    """A term as typed: ``brightness=1``, ``darkness``, ``hue:angle=120,subject_only=true=0.5``.

    Settings stand after ``:`` with commas between them, the weight stands last. A setting that is
    a list takes the commas: ``palette:colours=#ff0000,#0000ff=1``.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown reward or setting, or a weight that is no number.
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    weight = ""
    if not colon:
        name, _, weight = (part.strip() for part in text.partition("="))
    fields = REWARDS.get(ALIASES.get(name, (name, 1.0))[0]).options.model_fields
    options: dict[str, Any] = {}
    key = ""
    parts = rest.split(",") if rest else []
    for place, part in enumerate(parts):
        before, equals, value = (piece.strip() for piece in part.partition("="))
        starts_setting = bool(equals) and before in fields
        if starts_setting:
            key = before
        elif not key:
            raise invalid_input(
                f"{before!r} is not a setting of the reward {name!r}; nothing was started.",
                f"It has: {', '.join(fields)}. Write for example hue:angle=120=1.",
            )
        content = value if starts_setting else part.strip()
        if place == len(parts) - 1 and "=" in content:
            content, _, weight = content.rpartition("=")
        if "tuple" in str(fields[key].annotation):
            options.setdefault(key, []).append(content)
        elif starts_setting:
            options[key] = content
        else:
            options[key] += f",{content}"  # a comma inside a text
    if weight and not _is_number(weight):
        raise invalid_input(
            f"The weight {weight!r} of the reward {name!r} is not a number; nothing was started.",
            "Write for example brightness=1 or brightness=-0.5.",
        )
    try:
        return RewardTerm(name=name, weight=float(weight or 1), options=options)
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise invalid_input(
            f"The reward {text!r} is not usable: {told}; nothing was started."
        ) from error


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
