"""Colours of clothes, skin and hair on the built-in body, and a room to stand in; drawn at random."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.bodies.render import View
from engine.bodies.skeleton import JOINT_NAMES, ROTATING

_SKIN = ((238, 207, 180), (224, 172, 140), (198, 134, 96), (141, 85, 50), (92, 58, 40))
_SHIRT = ("pelvis", "spine1", "spine2", "spine3", "collar", "shoulder")
_FAR = -2.5
"""Metres from the middle of the room to the wall, along z."""


def clothed(
    joint_weights: NDArray[np.float32], rest: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Colours ``(V, 3)`` of skin, hair, shirt, trousers and shoes.

    Parameters
    ----------
    joint_weights
        ``(V, 24)``: how much each joint moves each vertex.
    rest
        ``(V, 3)``: the unposed body, metres, y-up, facing +z.
    rng
        Draws the colours, and whether sleeves are long.
    """
    owner = joint_weights.argmax(axis=1)

    def of(*parts: str) -> NDArray[np.bool_]:
        chosen = [
            index
            for index, name in enumerate(JOINT_NAMES[:ROTATING])
            if any(name == part or name.endswith(f"_{part}") for part in parts)
        ]
        return np.isin(owner, chosen)

    colours = np.tile(np.array(_SKIN[rng.integers(len(_SKIN))]), (len(rest), 1))
    sleeves = ("elbow",) if rng.random() < 0.5 else ()
    colours[of(*_SHIRT, *sleeves)] = rng.integers(30, 230, 3)
    waist = rest[of("hip"), 1].max() - 0.02
    colours[of("hip", "knee") | (of("pelvis") & (rest[:, 1] < waist))] = rng.integers(20, 160, 3)
    colours[of("ankle", "foot")] = rng.integers(10, 220, 3)
    head = of("head")
    behind = rest[:, 2] < np.median(rest[head, 2])
    behind &= rest[:, 1] > rest[head, 1].min() + 0.06
    colours[head & ((rest[:, 1] > rest[:, 1].max() - 0.07) | behind)] = rng.integers(10, 100, 3)
    return colours.astype(np.uint8)


def room(view: View, rng: np.random.Generator) -> NDArray[np.float64]:
    """A wall and a floor as a camera sees them, ``(h, w, 3)`` from 0 to 255."""
    height, width = view.height, view.width
    edge = float(view.project(np.array([[0.0, 0.0, _FAR]]))[0, 1])
    rows = np.arange(height)[:, None, None]
    wall, floor = (
        rng.uniform(low, high) + rng.uniform(-25, 25, 3) for low, high in ((120, 220), (70, 180))
    )
    # The light falls off to the ceiling, and to the back of the floor.
    above = np.clip(rows / max(edge, 1.0), 0, 1)
    ground = np.where(rows < edge, wall * (0.8 + 0.2 * above), floor * (0.75 + 0.25 * rows / height))
    ground = np.repeat(ground, width, axis=1)
    spots = rng.normal(0, 7, (max(2, height // 60), max(2, width // 60)))
    ground += cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.asarray(ground + rng.normal(0, 3, ground.shape))
