"""What a dynamic network computed for a picture, read out of the result's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from desktop.images.records import reading_record
from engine.job import ArtifactRef

if TYPE_CHECKING:
    from engine.project import Project


@dataclass(frozen=True)
class Routes:
    """A run of E time steps, noisy to clean, through L blocks.

    Attributes
    ----------
    timesteps
        ``(E,)`` training time steps, descending.
    heads, groups
        ``(E, L)`` shares of the attention heads and of the MLPs' channels that were computed.
    tokens
        ``(E, L, side, side)`` bool: where the MLP was computed.
    shares
        ``(E,)`` of the blocks' arithmetic.
    picture
        The finished picture, to lay the places over.
    """

    timesteps: NDArray[np.float32]
    heads: NDArray[np.float32]
    groups: NDArray[np.float32]
    tokens: NDArray[np.bool_]
    shares: NDArray[np.float32]
    picture: QImage

    @property
    def steps(self) -> int:
        """E."""
        return len(self.timesteps)


def read_routes(project: Project, about: Mapping[str, Any], picture: ArtifactRef) -> Routes:
    """Read what the manifest's ``compute`` names, and the picture; called on a thread.

    Raises
    ------
    EngineError
        ``bad_file`` when a file is missing, damaged, or not what the manifest says.
    """
    # Not at the top: the window starts without it.
    from safetensors import safe_open

    path = project.store.path(ArtifactRef.from_json(about["routes"]))
    with reading_record("what was computed for this picture"):
        with safe_open(path, "numpy") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            facts = {key: int(value) for key, value in file.metadata().items()}
        side = facts["side"]
        bits = np.unpackbits(found["tokens"], axis=2)[..., : side * side]
        return Routes(
            found["timesteps"],
            (found["heads"] / facts["num_heads"]).astype(np.float32),
            (found["groups"] / facts["groups"]).astype(np.float32),
            bits.reshape(*bits.shape[:2], side, side).astype(bool),
            found["shares"],
            QImage.fromData(project.store.read(picture)),
        )
