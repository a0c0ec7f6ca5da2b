"""The parameters of the job ``tracks.detect``; flags and JSON schemas come from here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DetectParams(BaseModel):
    """Find things in videos"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    detectors: tuple[str, ...] = Field(
        ("moving",),
        min_length=1,
        title="Detectors",
        description="moving, or files: .onnx models, boxes. Several are fused.",
    )
    weights: tuple[float, ...] = Field(
        (), title="Weights", description="Of several detectors; equal without."
    )
    appearance: tuple[str, ...] = Field(
        ("built-in",),
        title="Appearance",
        description="built-in, or .onnx models. Several are put together; none: no features.",
    )
    out: str = Field(
        "",
        title="Scene",
        description="Folder of the scene; empty: the scene that the videos come from.",
    )
    classes: str = Field("", title="Classes", description="Names or numbers, separated by commas; all.")
    one_class: bool = Field(False, title="One class", description="Treat all classes as one.")
    least_score: float = Field(
        0.1, ge=0, le=1, title="Least score", description="Boxes below are left out."
    )
    least_size: float = Field(
        0.02,
        gt=0,
        le=0.5,
        title="Least size",
        description="Of what moves: side, as a share of the picture's.",
    )
    overlap: float = Field(
        0.45,
        ge=0,
        le=1,
        title="Overlap",
        description="Of ONNX boxes that overlap more the surer stays.",
    )
    layout: str = Field("auto", title="Layout", description="Of ONNX detectors; auto recognises it.")
    size: int = Field(
        0, ge=0, le=4096, title="Size", description="ONNX: side of the input, where any will do; 640."
    )
    tiles: int = Field(
        1, ge=0, le=8, title="Tiles", description="ONNX: also looks at n by n parts; 0: by size."
    )
    frames: int | None = Field(
        None, ge=1, le=10**8, title="Frames", description="Of each video: at most so many."
    )
