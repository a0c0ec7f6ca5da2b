"""Parameters of the image jobs. Forms, command-line flags and JSON schemas are made from these.

Imports neither torch nor anything else heavy: the window builds its forms from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_COUNT = 10_000
MAX_STEPS = 1000
Spacing = Annotated[
    Literal["model", "spaced", "leading", "trailing", "karras"],
    Field(json_schema_extra={"labels": {"model": "As the model"}}),
]

_SPACING_HELP = "Which of the model's noise levels are visited; model: as the model asks for."


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DdimParams(_Params):
    """DDIM"""

    name: Literal["ddim"] = "ddim"
    eta: float = Field(
        0.0, ge=0, le=1, title="Eta", description="Fresh noise per step: 0 none, 1 as much as DDPM."
    )
    spacing: Spacing = Field("model", title="Spacing", description=_SPACING_HELP)


class DdpmParams(_Params):
    """DDPM"""

    name: Literal["ddpm"] = "ddpm"
    spacing: Spacing = Field("model", title="Spacing", description=_SPACING_HELP)


class DpmSolverParams(_Params):
    """DPM-Solver++ (2M)"""

    name: Literal["dpmpp_2m"] = "dpmpp_2m"
    spacing: Spacing = Field("trailing", title="Spacing", description=_SPACING_HELP)


class EulerParams(_Params):
    """Euler"""

    name: Literal["euler"] = "euler"
    spacing: Spacing = Field("trailing", title="Spacing", description=_SPACING_HELP)


class HeunParams(_Params):
    """Heun (2 evaluations a step)"""

    name: Literal["heun"] = "heun"
    spacing: Spacing = Field("trailing", title="Spacing", description=_SPACING_HELP)


SamplerParams = Annotated[
    DdimParams | DdpmParams | DpmSolverParams | EulerParams | HeunParams,
    Field(discriminator="name"),
]


class GenerateParams(_Params):
    """Generate images"""

    model: str = Field("builtin", title="Model", description="Name of an installed model.")
    prompt: str = Field(
        "", max_length=2000, title="Prompt", description="What the picture should show."
    )
    negative_prompt: str = Field(
        "",
        max_length=2000,
        title="Negative prompt",
        description="What the picture should not show; for models that read texts.",
    )
    class_name: str | None = Field(
        None,
        title="Class",
        description="One of the model's classes; empty: the one the prompt suggests.",
    )
    count: int = Field(
        1, ge=1, le=MAX_COUNT, title="Count", description="Pictures; their seeds are consecutive."
    )
    steps: int = Field(
        30, ge=1, le=MAX_STEPS, title="Steps", description="Denoising steps; more is finer, slower."
    )
    guidance: float = Field(
        2.5,
        ge=0,
        le=30,
        title="Guidance",
        description="How strongly the prompt steers: 1 is off, 2 to 4 is usual.",
    )
    width: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        title="Width",
        description="Pixels, a multiple of 8; empty: the model's own.",
    )
    height: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        title="Height",
        description="Pixels, a multiple of 8; empty: the model's own.",
    )
    sampler: SamplerParams = Field(
        default_factory=DdimParams, title="Sampler", description="How noise is turned into a picture."
    )
    batch: int = Field(
        8, ge=1, le=256, title="Batch", description="Pictures computed at once; changes memory only."
    )
    preview_every: int = Field(
        2, ge=0, le=MAX_STEPS, title="Preview every", description="Steps between previews; 0: none."
    )
