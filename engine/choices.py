"""What can be chosen by name and has settings: detectors, descriptors, trackers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import invalid_input

Chosen = TypeVar("Chosen")
Settings = TypeVar("Settings", bound=BaseModel)


class Options(BaseModel):
    """Settings of a choice; those of each have a class of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Choice(Generic[Chosen]):
    """Something that can be chosen.

    Attributes
    ----------
    title, description
        For people.
    factory
        ``f(options) -> what was chosen``, or ``module:function`` to import when it is needed.
    options
        The model of its settings.
    """

    title: str
    description: str
    factory: str | Callable[[Any], Chosen]
    options: type[Options]

    def load(self, options: Options) -> Chosen:
        """What was chosen, with its model; raises what that says."""
        factory = self.factory
        if isinstance(factory, str):
            module, function = factory.split(":")
            factory = getattr(importlib.import_module(module), function)
        return factory(options)


def checked(
    options: type[Settings], given: Mapping[str, Any], family: str, name: str, consequence: str
) -> Settings:
    """Settings by name as their model; others keep their defaults.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown setting or a value out of range, with the ``consequence``.
    """
    try:
        return options.model_validate(dict(given))
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, part['loc'])) or name}: {part['msg']}" for part in error.errors()
        )
        raise invalid_input(
            f"The settings of the {family} {name} are wrong: {told}. {consequence}",
            f"It knows {', '.join(options.model_fields) or 'none'}.",
        ) from error
