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
ParallelMethod = Annotated[
    Literal["auto", "published", "picard"],
    Field(json_schema_extra={"labels": {"published": "Published", "picard": "Picard (ParaDiGMS)"}}),
]
ParallelSolver = Annotated[
    Literal["first_order", "dpmpp_2m"],
    Field(
        json_schema_extra={"labels": {"first_order": "DDIM / DDPM", "dpmpp_2m": "DPM-Solver++ (2M)"}}
    ),
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


class ParataaParams(_Params):
    """Parallel (ParaTAA)"""

    name: Literal["parataa"] = "parataa"
    eta: float = Field(
        0.0, ge=0, le=1, title="Eta", description="Fresh noise per step: 0 is DDIM, 1 is DDPM."
    )
    method: ParallelMethod = Field(
        "auto",
        title="Method",
        description="Auto needs the fewest rounds; published is ParaTAA as in its paper; Picard is "
        "ParaDiGMS. All make the same picture.",
    )
    solver: ParallelSolver = Field(
        "first_order",
        title="Solver",
        description="What is solved in parallel: the steps of DDIM and DDPM, or of DPM-Solver++ (2M).",
    )
    spacing: Spacing = Field("model", title="Spacing", description=_SPACING_HELP)
    order: int | None = Field(
        None, ge=1, le=MAX_STEPS, title="Order", description="Steps each equation spans; Auto: window."
    )
    window: int | None = Field(
        None,
        ge=1,
        le=MAX_STEPS,
        title="Window",
        description="Steps solved at once; fewer need less memory and more rounds. Auto: what fits.",
    )
    memory: int | None = Field(
        None,
        ge=1,
        le=8,
        title="Memory",
        description="Rounds that acceleration looks back on; 1: none. Auto: as the method.",
    )
    tolerance: float = Field(
        1e-3,
        gt=0,
        le=1,
        title="Tolerance",
        description="Largest error of a step that counts as solved, as RMS of the state.",
    )
    max_rounds: int | None = Field(
        None,
        ge=1,
        le=MAX_STEPS,
        title="Most rounds",
        description="Stop after so many rounds, solved or not. Auto: as many as it needs.",
    )
    stop_movement: float | None = Field(
        None,
        gt=0,
        le=1,
        title="Stop when still",
        description="Stop when the picture moves less than this share between rounds. Auto: never.",
    )
    keep_trajectory: bool = Field(
        False,
        title="Keep trajectory",
        description="Keep all states of the run, to vary the picture later without solving it again.",
    )
    compare_sequential: bool = Field(
        False,
        title="Compare sequential",
        description="Also make the picture one step after another, and measure the difference.",
    )
    variation_step: int | None = Field(
        None,
        ge=1,
        le=MAX_STEPS,
        title="Vary from step",
        description="Keep the start picture's states from this step up; needs a start picture.",
    )


SamplerParams = Annotated[
    DdimParams | DdpmParams | DpmSolverParams | EulerParams | HeunParams | ParataaParams,
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
    compute: float | None = Field(
        None,
        ge=0.1,
        le=1,
        title="Compute",
        description="Share of the network's arithmetic, of dynamic models; unset: as it was trained.",
    )
    economy: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Extra economy (untrained)",
        description="Closes more gates of a dynamic model than it was trained for; 0: none.",
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
