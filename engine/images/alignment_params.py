"""Parameters of the job ``images.align``: forms, flags and JSON schemas are made from these.

No torch here: the window builds its forms from it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.images.params import MAX_STEPS, GenerateParams
from engine.images.rewards.params import RewardTerm

MAX_ALIGN_STEPS = 10_000
AlignMode = Annotated[
    Literal["auto", "gradient", "zeroth", "hybrid1", "hybrid2"],
    Field(
        json_schema_extra={
            "labels": {
                "gradient": "Gradient",
                "zeroth": "Zeroth order",
                "hybrid1": "Hybrid 1 (noisy pictures)",
                "hybrid2": "Hybrid 2 (neighbouring pictures)",
            }
        }
    ),
]
Guard = Literal["off", "soft", "strict"]


class AlignParams(BaseModel):
    """Align a picture with rewards"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    picture: GenerateParams = Field(
        title="Picture", description="The settings of the picture that is aligned (with one seed)."
    )
    rewards: tuple[RewardTerm, ...] = Field(
        min_length=1, max_length=16, title="Rewards", description="What should improve, with weights."
    )
    guard: Guard = Field(
        "soft",
        title="Guard",
        description="How strongly the noise is kept plausible: off, soft or strict.",
    )
    gamma: float | None = Field(
        None, ge=0, le=1000, title="Gamma", description="The guard's weight. Auto: by the guard."
    )
    mode: AlignMode = Field(
        "auto",
        title="Mode",
        description="How the noise is moved. Auto: by gradient; by estimates where there is none.",
    )
    steps: int = Field(
        50, ge=1, le=MAX_ALIGN_STEPS, title="Steps", description="Optimisation steps at most."
    )
    minutes: float | None = Field(
        None, gt=0, le=100_000, title="Minutes", description="Time at most. Auto: no limit."
    )
    lr: float | None = Field(
        None, gt=0, le=1, title="Step size", description="Learning rate of AdamW. Auto: by the rewards."
    )
    eta: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Eta",
        description="0 moves the first noise only, 1 that of every step. Auto: as the picture.",
    )
    opt_time: int | None = Field(
        None,
        ge=1,
        le=MAX_STEPS,
        title="Last steps only",
        description="Move only the noise of so many last steps; keeps the composition. Auto: all.",
    )
    neighbours: int = Field(
        16, ge=1, le=256, title="Neighbours", description="Trials a step for rewards without gradient."
    )
    mu: float | None = Field(
        None, gt=0, le=0.3, title="Mu", description="How far the trials are apart. Auto: found."
    )
    stop_at_red: bool = Field(
        True, title="Stop at red", description="Stop when the noise no longer looks random."
    )
    parallel: bool = Field(
        False, title="Solve in parallel", description="Use parallel sampling for each step's picture."
    )
    preview_every: int = Field(
        1,
        ge=0,
        le=MAX_ALIGN_STEPS,
        title="Preview every",
        description="Steps between previews; 0: none.",
    )
    keep_every: int = Field(
        5,
        ge=1,
        le=MAX_ALIGN_STEPS,
        title="Keep every",
        description="Keep the noise of every so many steps, to go back to it or branch from it.",
    )
    branch_step: int | None = Field(
        None,
        ge=0,
        le=MAX_ALIGN_STEPS,
        title="Branch from step",
        description="Start at this kept step of another run (its noise is the input 'noise').",
    )
    allow_user_code: bool = Field(
        False, title="Allow user code", description="Let rewards written in Python by the user run."
    )
