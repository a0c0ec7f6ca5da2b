"""What describes how things look, by name; nothing heavy is imported before one is loaded.

A plug-in adds to :data:`APPEARANCES` through the entry-point group ``triptych.appearance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from engine.choices import Choice, Options, checked
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


class BuiltInOptions(Options):
    """Settings of the built-in descriptor: there are none."""


class OnnxOptions(Options):
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


AppearanceKind = Choice[Appearance]

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
    return kind.load(checked(kind.options, options, "appearance", name, "Nothing was started."))
