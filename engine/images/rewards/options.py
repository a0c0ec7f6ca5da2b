"""The settings of each reward. Forms and command-line texts are made from these; no torch here."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
"""A colour as ``#rrggbb``."""


class RewardOptions(BaseModel):
    """What every reward can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    ceiling: bool = Field(
        True,
        title="Stop at usual best",
        description="Push no further than 95 % of the model's own pictures reach.",
    )

    def variant(self) -> str:
        """What distinguishes the scale of these settings from those of others; empty for none."""
        return ""


class OpenOptions(RewardOptions):
    """For rewards whose best value is rarely reached by chance."""

    ceiling: bool = Field(
        False,
        title="Stop at usual best",
        description="Push no further than 95 % of the model's own pictures reach.",
    )

    def variant(self) -> str:
        settings = {k: v for k, v in self.model_dump(mode="json").items() if k != "ceiling"}
        return digest(settings) if settings else ""


class ColourOptions(RewardOptions):
    """For rewards of colours."""

    subject_only: bool = Field(
        False, title="Subject only", description="Leave the white ground of the picture out."
    )

    def variant(self) -> str:
        return "subject" if self.subject_only else ""


class HueOptions(ColourOptions):
    """Which hue."""

    angle: float = Field(
        0.0,
        ge=0,
        le=360,
        title="Hue",
        description="Degrees: 0 red, 60 yellow, 120 green, 180 cyan, 240 blue, 300 magenta.",
        json_schema_extra={"unit": "°"},
    )

    def variant(self) -> str:
        return "/".join(filter(None, [f"{self.angle % 360:g}", super().variant()]))


class PaletteOptions(ColourOptions):
    """Which colours."""

    colours: tuple[Colour, ...] = Field(
        ("#d62828", "#f77f00", "#fcbf49", "#003049"),
        min_length=1,
        max_length=16,
        title="Colours",
        description="Each pixel should have one of these, for example #d62828,#003049.",
    )

    def variant(self) -> str:
        return "/".join(filter(None, [digest(self.colours), super().variant()]))


def digest(value: Any) -> str:
    """A short name of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


class ClassOptions(OpenOptions):
    """Which class."""

    class_name: str = Field(
        "", title="Class", description="What it should look like; empty: the class it is made of."
    )


class TextOptions(OpenOptions):
    """Which words."""

    text: str = Field(
        "", max_length=2000, title="Words", description="What it should show; empty: the prompt."
    )


class ReferenceOptions(OpenOptions):
    """Which picture."""

    reference: str = Field(
        "reference", title="Picture", description="Which of the given pictures it should resemble."
    )


class TasteOptions(OpenOptions):
    """Whose taste."""

    file: str = Field(
        "", title="Taste file", description="A saved taste; empty: the one learnt from your votes."
    )


class ClipOptions(TextOptions):
    """Which model of images and texts."""

    folder: str = Field(
        "",
        title="Folder",
        description="Of the model: a path, or its name in the models folder; empty: the reward's name.",
    )
    tokenizer: str = Field(
        "",
        title="Tokenizer folder",
        description="Where the tokenizer is, if it is not with the model.",
    )


class AestheticOptions(OpenOptions):
    """Which model and head."""

    folder: str = Field(
        "",
        title="CLIP folder",
        description="Of CLIP ViT-L/14: a path, or its name in the models folder; empty: aesthetic.",
    )
    head: str = Field(
        "", title="Head", description="File of the head; empty: aesthetic.safetensors in the folder."
    )


class CheckpointOptions(TextOptions):
    """Which checkpoint."""

    file: str = Field(
        "", title="Checkpoint", description="A path; empty: the usual file in the models folder."
    )


class OnnxOptions(OpenOptions):
    """Which ONNX model, and what it expects."""

    file: str = Field("", title="Model", description="The .onnx file.")
    size: int = Field(
        0, ge=0, le=2048, title="Size", description="Side of its pictures in pixels; 0: as it says."
    )
    mean: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), title="Mean", description="Taken from red, green and blue in [0, 1]."
    )
    std: tuple[float, float, float] = Field(
        (1.0, 1.0, 1.0), title="Deviation", description="What these are then divided by."
    )
    output: int = Field(
        0, ge=0, le=100_000, title="Output", description="Which of its numbers for a picture counts."
    )


class UserPythonOptions(OpenOptions):
    """Which program."""

    file: str = Field("", title="File", description="A Python file with def reward(images).")
    seconds: float = Field(
        20.0, gt=0, le=3600, title="Time limit", description="Seconds that one call may take."
    )
