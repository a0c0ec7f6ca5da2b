"""How far each keypoint is to the front or back, where a detector says only where it is in the picture.

A small network (Martinez et al. 2017) that knows recorded poses: 17 keypoints in, their depths relative
to the hips out, both in units of the person's size in the picture. Trained by
:mod:`engine.bodies.joint_bridge_training`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.bodies.keypoints.layouts import COCO17
from engine.weight_files import read_safetensors

FILE = Path(__file__).resolve().parents[2] / "resources" / "weights" / "body" / "lifting.safetensors"
WIDTH = 192

Array = NDArray[np.float64]

_HIPS = [COCO17.names.index(f"{side}_hip") for side in ("left", "right")]


class Lifter(nn.Module):
    """``(B, 17, 3)``, places in the picture and whether each is seen, to depths ``(B, 17)``."""

    def __init__(self) -> None:
        super().__init__()
        count = len(COCO17)
        self.start = nn.Linear(3 * count, WIDTH)
        self.middle = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.end = nn.Linear(WIDTH, count)

    def forward(self, seen: Tensor) -> Tensor:
        x = self.start(seen.flatten(1))
        for norm, block in zip(self.norms, self.middle, strict=True):
            x = x + block(norm(x))
        return self.end(x)


def normalised(places: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """What the network takes ``(B, 17, 3)``, and the size that was divided by ``(B, 1, 1)``.

    Parameters
    ----------
    places
        ``(B, 17, 2)``, right and up, in any unit.
    visible
        ``(B, 17)`` of 0 and 1. What is not seen lies at the middle of the hips.
    """
    hips = places[:, _HIPS].mean(1, keepdim=True)
    apart = (places - hips) * visible[..., None]
    share = visible.sum(1).clamp(min=1)[:, None, None]
    size = (apart.square().sum((1, 2), keepdim=True) / share).sqrt().clamp(min=1e-6)
    return torch.cat([apart / size, visible[..., None]], 2), size


@torch.no_grad()
def lifted(places: Array, visible: NDArray[np.bool_]) -> Array:
    """COCO's keypoints in space ``(17, 3)``: right, up and to the viewer, in the unit of ``places``.

    Parameters
    ----------
    places
        ``(17, 2)``, right and up.
    visible
        ``(17,)``; the depth of the others is guessed as well.
    """
    flat = torch.from_numpy(places).float()[None]
    seen, size = normalised(flat, torch.from_numpy(visible).float()[None])
    depth = size[0] * load_lifter()(seen)[0, :, None]
    return np.concatenate([places - places[_HIPS].mean(0), depth.double().numpy()], 1)


def save_lifter(network: Lifter, path: Path) -> None:
    """Write the weights, float16."""
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)


@cache
def load_lifter() -> Lifter:
    """The network that ships.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    network = Lifter()
    network.load_state_dict({name: value.float() for name, value in read_safetensors(FILE).items()})
    return network.eval().requires_grad_(False)
