"""What describes how things look, by name; nothing heavy is imported before one is loaded.

A plug-in adds to :data:`APPEARANCES` through the entry-point group ``triptych.appearance``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import invalid_input
from engine.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NONE = "none"
"""The name for doing without."""


class Appearance(Protocol):
    """Describes pictures of things.

    Attributes
    ----------
    name
        For people.
    identity
        Changes when its numbers would: name, version, settings, digest of its model.
    dimension
        Of its vectors.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def identity(self) -> str:
        """Changes when its numbers would."""
        ...

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        ...

    def describe(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Vectors of unit length ``(N, d)`` for pictures ``(h, w, 3)`` uint8 RGB, cut from frames."""
        ...


class AppearanceOptions(BaseModel):
    """Settings; those of each have a class of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BuiltInOptions(AppearanceOptions):
    """Settings of the built-in descriptor: there are none."""


class OnnxOptions(AppearanceOptions):
    """Settings of an embedding from an ONNX file."""

    path: str = Field(description="The .onnx file: one picture in, one vector out.")
    width: int = Field(
        default=0, ge=0, le=2048, description="Of its input, where it takes any size; 0: 224."
    )
    height: int = Field(default=0, ge=0, le=2048, description="The same; 0: 224.")
    colours: Literal["auto", "unit", "imagenet", "byte"] = Field(
        default="auto",
        description="What the model takes: unit is 0 to 1, byte 0 to 255, imagenet the usual mean and "
        "deviation; auto reads mean and std in the file, and is imagenet without.",
    )
    order: Literal["rgb", "bgr"] = Field(default="rgb", description="Of the colours.")
    flip: bool = Field(
        default=False, description="Adds the vector of the mirrored picture; twice the time."
    )
    batch: int = Field(default=32, ge=1, le=1024, description="Pictures at once.")
    device: str = Field(default="auto", description="cpu, or where there is a GPU: that.")


@dataclass(frozen=True)
class AppearanceKind:
    """A descriptor that can be chosen.

    Attributes
    ----------
    title, description
        For people.
    factory
        ``f(options) -> Appearance``, or ``module:function`` to import when it is needed.
    options
        The model of its settings.
    """

    title: str
    description: str
    factory: str | Callable[[Any], Appearance]
    options: type[AppearanceOptions]

    def load(self, options: AppearanceOptions) -> Appearance:
        """The descriptor with its model; raises what it says."""
        factory = self.factory
        if isinstance(factory, str):
            module, function = factory.split(":")
            factory = getattr(importlib.import_module(module), function)
        return factory(options)


APPEARANCES: Registry[AppearanceKind] = Registry("appearance")

_HERE = "engine.tracks.appearance"

APPEARANCES.add(
    "built-in",
    AppearanceKind(
        "Colours and edges (built in)",
        "Without weights: where which colours and edges are, in any light.",
        f"{_HERE}.builtin:BuiltIn",
        BuiltInOptions,
    ),
)
APPEARANCES.add(
    "onnx",
    AppearanceKind(
        "ONNX file",
        "A re-identification or embedding network of yours.",
        f"{_HERE}.onnx_embedding:load",
        OnnxOptions,
    ),
)


def load_appearance(name: str, **options: Any) -> Appearance:
    """A descriptor by its name, or by the path of its ``.onnx`` file.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name or wrong settings; what loading it raises.
    """
    if Path(name).suffix.lower() == ".onnx":
        name, options = "onnx", {"path": name, **options}
    kind = APPEARANCES.get(name)
    try:
        chosen = kind.options.model_validate(options)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, part['loc'])) or name}: {part['msg']}" for part in error.errors()
        )
        raise invalid_input(
            f"The settings of the appearance {name} are wrong: {told}. Nothing was started.",
            f"It knows {', '.join(kind.options.model_fields) or 'none'}.",
        ) from error
    return kind.load(chosen)
