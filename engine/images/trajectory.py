"""Trajectories: all states of a run in a file, to vary its picture or to go on with it later.

A safetensors file: ``states (T + 1, C, h, w)`` and, of a run that was stopped, what its solver
remembers. The header says which run it belongs to; one that does not fit another run is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from engine.errors import bad_file, invalid_input
from engine.images.generators import Generator
from engine.images.parallel_state import Iterate, ParallelSettings, PictureState
from engine.images.params import GenerateParams, ParataaParams
from engine.images.schedule import TimeGrid
from engine.weight_files import read_safetensors

FORMAT = "triptych-trajectory"
HEADER = "triptych"

# What two runs must share for one to use the other's states, in words for the user.
SHARED = {
    "weights_sha256": "another model",
    "shape": "another picture size",
    "steps": "another number of steps",
    "timesteps": "other time steps (spacing)",
    "solver": "another solver",
    "eta": "another Eta",
    "seed": "another seed",
}
# What must also be the same to go on with it as if it had not been stopped.
RESUMED = {
    "prompt": "another prompt",
    "negative_prompt": "another negative prompt",
    "class_name": "another class",
    "guidance": "another guidance",
    "compute": "another share of the arithmetic",
    "economy": "another extra economy",
    "method": "another method",
    "order": "another order",
    "window": "another window",
    "memory": "another memory",
    "tolerance": "another tolerance",
}


def run_facts(
    generator: Generator,
    grid: TimeGrid,
    shape: tuple[int, int, int],
    params: GenerateParams,
    settings: ParallelSettings,
    seed: int,
) -> dict[str, Any]:
    """What a trajectory says of its run, the entries of :data:`SHARED` and :data:`RESUMED`.

    ``params`` are of a parallel run (its sampler is ``parataa``), ``settings`` as it resolved them.
    """
    sampler = params.sampler
    assert isinstance(sampler, ParataaParams)
    return {
        "weights_sha256": generator.info.sha256,
        "shape": list(shape),
        "steps": len(grid),
        "timesteps": grid.timesteps.tolist(),
        "solver": sampler.solver,
        "eta": sampler.eta,
        "seed": seed,
        "prompt": params.prompt,
        "negative_prompt": params.negative_prompt,
        "class_name": params.class_name,
        "guidance": params.guidance,
        "compute": params.compute,
        "economy": params.economy or None,
        "method": sampler.method,
        "order": settings.order,
        "window": settings.window,
        "memory": settings.memory,
        "tolerance": sampler.tolerance,
    }


@dataclass
class Trajectory:
    """A picture's states and which run they are of.

    Attributes
    ----------
    about
        The entries of :data:`SHARED` and :data:`RESUMED`, JSON-ready.
    picture
        Where the solution stands.
    """

    about: Mapping[str, Any]
    picture: PictureState

    @property
    def complete(self) -> bool:
        """Whether the picture was solved, so that there is nothing to go on with."""
        return self.picture.finished == 0

    def require_match(self, about: Mapping[str, Any], *, resume: bool) -> None:
        """Raise ``invalid_input``, saying why, unless the states fit the run described."""
        needed = {**SHARED, **RESUMED} if resume else SHARED
        differences = [
            f"{text} ({_shown(self.about.get(key))} instead of {_shown(about.get(key))})"
            if isinstance(about.get(key), int | float | str) and key != "weights_sha256"
            else text
            for key, text in needed.items()
            if self.about.get(key) != about.get(key)
        ]
        if differences:
            raise invalid_input(
                f"The start picture's states do not fit this run: they are of "
                f"{', '.join(differences)}. Nothing was started.",
                "Use the settings of the start picture, or start without it.",
            )


def write_trajectory(trajectory: Trajectory) -> bytes:
    """The bytes of a trajectory file."""
    picture = trajectory.picture
    shape = tuple(trajectory.about["shape"])
    tensors = {"states": picture.states.view(-1, *shape)}
    if not trajectory.complete:
        tensors |= {
            name: value
            for name, value in (("above", picture.above), ("clean", picture.clean))
            if value is not None
        }
        for number, iterate in enumerate(picture.history):
            tensors[f"history.{number}.states"] = iterate.states
            tensors[f"history.{number}.residual"] = iterate.residual
    header = {
        "format": FORMAT,
        "version": 1,
        "run": dict(trajectory.about),
        "finished": picture.finished,
        "lowest": picture.lowest,
        "rounds": picture.rounds,
        "evaluations": picture.evaluations,
        "history": [iterate.low for iterate in picture.history],
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(whole, {HEADER: json.dumps(header, sort_keys=True)})


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory, its tensors on the CPU.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is not a trajectory, is damaged, or of a newer Triptych.
    """
    tensors = read_safetensors(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "null"))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise bad_file(
                f"{path.name} is not a trajectory; nothing was started.",
                "A trajectory is kept with a picture when 'Keep trajectory' is on.",
            )
        if header.get("version") != 1:
            raise bad_file(f"{path.name} is of a newer Triptych.", "Update Triptych to use it.")
        states = tensors["states"]
        if states.shape[1:] != tuple(header["run"]["shape"]) or not torch.isfinite(states).all():
            raise ValueError("its states are not what its header says")
        picture = PictureState(
            states=states.flatten(1),
            finished=int(header["finished"]),
            lowest=int(header["lowest"]),
            above=tensors.get("above"),
            clean=tensors.get("clean"),
            history=[
                Iterate(
                    int(low),
                    tensors[f"history.{number}.states"],
                    tensors[f"history.{number}.residual"],
                )
                for number, low in enumerate(header["history"])
            ],
            rounds=int(header["rounds"]),
            evaluations=int(header["evaluations"]),
        )
        if not 0 <= picture.finished < len(states):
            raise ValueError("it is finished at a step that it does not have")
        return Trajectory(header["run"], picture)
    except (KeyError, TypeError, ValueError) as error:
        raise bad_file(
            f"The trajectory {path.name} is damaged: {error}. Nothing was started.",
            "Make the picture again with 'Keep trajectory' on.",
        ) from error


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)
