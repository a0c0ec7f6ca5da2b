"""The parameters of body jobs; flags and JSON schemas come from here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RecoverParams(BaseModel):
    """Recover bodies"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["ik", "niki", "niki+shape", "fit"] = Field(
        "fit",
        title="Method",
        description="ik: at once, from points in space. niki: the same by a network that knows "
        "poses, for who is partly hidden. niki+shape: also the shape, from the outline. "
        "fit: some seconds, also fits the picture.",
    )
    detector: str = Field(
        "blazepose", title="Keypoints from", description="blazepose, or the path of an ONNX model."
    )
    body_model: str | None = Field(
        None,
        title="Body model",
        description="Path of your own SMPL, SMPL-H or SMPL-X file (.npz); else the built-in body.",
    )
    keypoints: str | None = Field(
        None, title="Keypoints file", description="JSON of people whose keypoints were set by hand."
    )
    levels: int = Field(
        0,
        ge=0,
        le=4,
        title="Small people",
        description="1: a fifth of the picture and more, 2: a tenth, 3: a twentieth, 4: a fortieth; 0: "
        "chosen by the size of the picture.",
    )
    height: float | None = Field(
        None, ge=30, le=280, title="Height", description="Of the people, cm, where it is known."
    )
    focal: float | None = Field(
        None,
        gt=0,
        le=100_000,
        title="Focal length",
        description="Pixels; else from EXIF, or a guess.",
    )
    every: int = Field(1, ge=1, le=1000, title="Every", description="Of a video: each n-th frame.")
    frames: int | None = Field(
        None, ge=1, le=100_000, title="Frames", description="Of a video: at most so many."
    )
    smooth: bool = Field(True, title="Smooth", description="Of a video: steady the keypoints.")
