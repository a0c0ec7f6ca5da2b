"""Parameters of the job ``images.align``: forms and flags are made from these. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.images.params import MAX_STEPS, GenerateParams
from engine.images.rewards.params import RewardTerm

MAX_ALIGN_STEPS = 5000
GUARD_STRENGTHS = {"off": 0.0, "soft": 0.3, "strict": 1.0}
"""Weight of the guard for each preset, for rewards that are scaled to their usual range."""

STEP_SHARE = 10.0
"""Weight of the guard of each step alone beside that of all noise together."""

Guard = Annotated[
    Literal["off", "soft", "strict"],
    Field(json_schema_extra={"labels": {"off": "Off", "soft": "Soft", "strict": "Strict"}}),
]
AlignMode = Annotated[
    Literal["auto", "gradient", "mixed", "hybrid2", "hybrid1", "zeroth"],
    Field(
        json_schema_extra={
            "labels": {
                "gradient": "Gradient",
                "mixed": "Gradient and neighbours",
                "hybrid2": "Neighbouring noise (hybrid-2)",
                "hybrid1": "Neighbouring pixels (hybrid-1)",
                "zeroth": "Neighbours only (zeroth order)",
            }
        }
    ),
]
Solving = Annotated[
    Literal["auto", "sequential", "parallel"],
    Field(json_schema_extra={"labels": {"auto": "As the picture's sampler"}}),
]
Kept = Annotated[
    Literal["auto", "green", "amber", "any"],
    Field(json_schema_extra={"labels": {"any": "Any", "amber": "Green or amber", "green": "Green"}}),
]


class AlignParams(BaseModel):
    """Align with rewards"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    picture: GenerateParams = Field(
        default_factory=GenerateParams,
        title="Picture",
        description="How the picture is made; its seed is the job's.",
    )
    rewards: tuple[RewardTerm, ...] = Field(
        (),
        max_length=32,
        title="Rewards",
        description="What there should be more, or less, of.",
    )
    guard: Guard = Field(
        "soft",
        title="Guard",
        description="How strongly the noise is kept plausible: off lets rewards be gamed.",
    )
    gamma: float | None = Field(
        None,
        ge=0,
        le=1000,
        title="Guard weight",
        description="Weight of the guard; Auto: as Guard says.",
    )
    step_share: float | None = Field(
        None,
        ge=0,
        le=1000,
        title="Guard of each step",
        description="How much the noise of each step alone counts beside all of it; 0 is the published "
        "guard. Auto: what was found best.",
    )
    steps: int = Field(
        100,
        ge=0,
        le=MAX_ALIGN_STEPS,
        title="Steps",
        description="Changes of the noise; each costs about three pictures. 0: only the picture that "
        "it begins with.",
    )
    minutes: float | None = Field(
        None, gt=0, le=10_000, title="Minutes", description="Stop after so many minutes. Auto: never."
    )
    stop_at_red: bool = Field(
        True, title="Stop at red", description="Stop when the noise no longer looks random."
    )
    keep: Kept = Field(
        "auto",
        title="Keep",
        description="How plausible the noise of the kept picture must be. Auto: green or amber.",
    )
    eta: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Eta",
        description="Noise a step: 1 has more to align, 0 only the first noise. Auto: as the picture. "
        "Another value than the picture's starts from another picture of the same seed.",
    )
    last_steps: int | None = Field(
        None,
        ge=1,
        le=MAX_STEPS,
        title="Last steps only",
        description="Change the noise of so many last steps only, which keeps the composition and "
        "saves time; needs Eta above 0. Auto: all.",
    )
    lr: float = Field(
        0.01,
        gt=0,
        le=1,
        title="Step size",
        description="How far a value of the noise moves at most in a step.",
    )
    mode: AlignMode = Field(
        "auto",
        title="Method",
        description="Auto: the gradient where rewards have one, neighbours for the others.",
    )
    neighbours: int = Field(
        16,
        ge=1,
        le=256,
        title="Neighbours",
        description="Pictures looked at around the current one, for rewards without gradient.",
    )
    mu: float | None = Field(
        None,
        gt=0,
        le=1,
        title="Distance",
        description="How far neighbours are at first; grows until rewards change. Auto: 0.1.",
    )
    solving: Solving = Field(
        "auto",
        title="Sampling",
        description="Parallel solves all sampling steps at once; for devices that are fast at it.",
    )
    branch_step: int | None = Field(
        None,
        ge=0,
        le=MAX_ALIGN_STEPS,
        title="Branch from step",
        description="Begin at a stored step of the start alignment. Auto: go on where it ended.",
    )
    invert: bool = Field(
        False,
        title="Find the noise",
        description="Of a start picture without stored noise, find noise that makes about the same.",
    )
    check_density: bool = Field(
        True,
        title="Ask the model",
        description="Compare how well the model knows the picture with those of other seeds; with the "
        "guard on, keep the best that it knows as well.",
    )
    store_every: int = Field(
        5,
        ge=1,
        le=MAX_ALIGN_STEPS,
        title="Store every",
        description="Steps between stored noises and pictures, from which one can branch.",
    )
    preview_every: int = Field(
        1, ge=0, le=MAX_ALIGN_STEPS, title="Preview every", description="Steps; 0: none."
    )
