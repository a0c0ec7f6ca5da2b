"""What an alignment leaves beside its picture: the curve with its film, and the noise.

The *curve* is a safetensors file that is read without torch. Its header ``triptych`` is JSON with the
``points`` of the series ``align``; its tensors are

    film_steps  (K,) int32   steps that have a picture
    film        (n,) uint8   one PNG, the K pictures stacked; absent without any

The *noise* holds everything to make any stored step again, to branch from it, or to go on to the same
bits: ``pure (C, h, w)`` and ``noise (T, C, h, w)`` of the best picture, ``start.*`` of the first one,
``step.N (R, C, h, w)`` the active noise of stored steps, ``state.*`` of the optimiser, and of a run
that solves in parallel ``solution (T + 1, d)``, from which its next step starts.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.errors import bad_file, invalid_input
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_state import AlignState
from engine.weight_files import read_safetensors

CURVE_FORMAT, NOISE_FORMAT = "triptych-align-curve", "triptych-align-noise"
HEADER = "triptych"
MEDIA_TYPE = "application/x-safetensors"
FILM_EDGE = 256
MOST_STORED_BYTES = 128 << 20
"""Of the noise of stored steps; beyond it every second one is dropped."""

_STATE_NUMBERS = ("step", "updates", "mu", "best_step", "best_total", "idle")


class Curve:
    """Collects the points and pictures of one alignment."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self._film: dict[int, NDArray[np.uint8]] = {}

    def add(self, point: Mapping[str, Any], frame: NDArray[np.uint8] | None = None) -> None:
        """Add a step, with its picture ``(H, W, 3)`` where it is kept."""
        self.points.append(dict(point))
        if frame is not None:
            self.show(int(point["step"]), frame)

    def show(self, step: int, frame: NDArray[np.uint8]) -> None:
        """Keep the picture of a step, unless it is kept already."""
        if step not in self._film:
            image = Image.fromarray(frame)
            image.thumbnail((FILM_EDGE, FILM_EDGE))
            self._film[step] = np.asarray(image)

    def to_bytes(self) -> bytes:
        """The file; see the module."""
        steps = sorted(self._film)
        tensors: dict[str, NDArray[np.generic]] = {"film_steps": np.array(steps, np.int32)}
        if self._film:
            buffer = io.BytesIO()
            Image.fromarray(np.concatenate([self._film[step] for step in steps])).save(buffer, "PNG")
            tensors["film"] = np.frombuffer(buffer.getvalue(), np.uint8)
        header = {"format": CURVE_FORMAT, "version": 1, "points": self.points}
        return safetensors.numpy.save(tensors, {HEADER: json.dumps(header)})


@dataclass
class StoredSteps:
    """Active noise of steps that one can come back to."""

    steps: dict[int, Tensor] = field(default_factory=dict)
    every: int = 1

    def add(self, step: int, z: Tensor) -> None:
        """Store a step if it is its turn; when there are too many, every second one goes."""
        if step % self.every:
            return
        self.steps[step] = z.detach().cpu().clone()
        while len(self.steps) > 4 and len(self.steps) * z.nbytes > MOST_STORED_BYTES:
            self.every *= 2
            self.steps = {k: kept for k, kept in self.steps.items() if k % self.every == 0}


@dataclass
class AlignedNoise:
    """The noise file of one alignment.

    Attributes
    ----------
    about
        Which run it belongs to, JSON-ready; see :data:`engine.images.alignment_start.SHARED`.
    best, start
        All noise of the kept and of the first picture.
    kept
        The step of the kept picture.
    solution
        The states that the parallel solver starts the next step from.
    active
        Which of it changed.
    steps
        Active noise of stored steps.
    state
        Where the optimiser stands.
    """

    about: dict[str, Any]
    best: PictureNoise
    start: PictureNoise
    active: ActiveNoise
    steps: dict[int, Tensor]
    state: AlignState
    kept: int
    solution: Tensor | None = None

    def at(self, step: int) -> PictureNoise:
        """All noise of a stored step.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the stored steps, when that one is not.
        """
        if step == self.kept:
            return self.best
        if step == self.state.best_step and self.state.best_z is not None:
            return self.active.put(self.start, self.state.best_z)
        if step not in self.steps:
            known = {*self.steps, self.state.best_step, self.kept}
            stored = ", ".join(str(number) for number in sorted(known))
            raise invalid_input(
                f"The noise of step {step} was not stored, so nothing can begin there; nothing was "
                "started.",
                f"Stored are the steps {stored}.",
            )
        return self.active.put(self.start, self.steps[step])

    def to_bytes(self) -> bytes:
        """The file; see the module."""
        state = self.state
        assert state.best_z is not None, "the first step is kept until there is a better one"
        tensors = {
            "pure": self.best.pure,
            "noise": self.best.steps,
            "start.pure": self.start.pure,
            "start.noise": self.start.steps,
            "state.z": state.z,
            "state.first": state.first,
            "state.second": state.second,
            "state.best_z": state.best_z,
            **{f"step.{step}": z for step, z in self.steps.items()},
        }
        if self.solution is not None:
            tensors["solution"] = self.solution
        header = {
            "format": NOISE_FORMAT,
            "version": 1,
            "run": self.about,
            "count": self.active.count,
            "rows": self.active.rows,
            "steps": sorted(self.steps),
            "kept": self.kept,
            "state": {name: getattr(state, name) for name in _STATE_NUMBERS},
            "history": state.history,
        }
        whole = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        return safetensors.torch.save(whole, {HEADER: json.dumps(header)})


def read_noise(path: Path) -> AlignedNoise:
    """Read a noise file, its tensors on the CPU.

    Raises
    ------
    EngineError
        ``bad_file`` when it is none, is damaged, or of a newer Triptych.
    """
    tensors = read_safetensors(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "null"))
        if not isinstance(header, dict) or header.get("format") != NOISE_FORMAT:
            raise bad_file(
                f"{path.name} is not the noise of an aligned picture; nothing was started.",
                "It is stored with each aligned picture, as NAME-noise.safetensors.",
            )
        if header.get("version") != 1:
            raise bad_file(f"{path.name} is of a newer Triptych.", "Update Triptych to use it.")
        if any(not torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("it has numbers that are not finite")
        active = ActiveNoise(int(header["count"]), tuple(int(row) for row in header["rows"]))
        z = tensors["state.z"]
        if z.shape != (len(active.rows), *tensors["pure"].shape):
            raise ValueError("its noise is not what its header says")
        state = AlignState(
            z, tensors["state.first"], tensors["state.second"], best_z=tensors["state.best_z"],
            history=list(header["history"]), **{k: header["state"][k] for k in _STATE_NUMBERS},
        )  # fmt: skip
        return AlignedNoise(
            dict(header["run"]),
            PictureNoise(tensors["pure"], tensors["noise"]),
            PictureNoise(tensors["start.pure"], tensors["start.noise"]),
            active,
            {int(step): tensors[f"step.{step}"] for step in header["steps"]},
            state,
            int(header["kept"]),
            tensors.get("solution"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise bad_file(
            f"The noise file {path.name} is damaged: {error}. Nothing was started.",
            "Align the picture again.",
        ) from error
