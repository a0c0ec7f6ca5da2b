"""The width lab for the window: one person of one photo, made wider or slimmer while a hand moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.bodies.keypoints.manual import people_to_json
from engine.bodies.keypoints.person import Person, box_around
from engine.bodies.record import Camera
from engine.bodies.shape_parts import PARTS, SEGMENT_ENDS
from engine.bodies.width_lab import Lines, Widened, WidthLab
from engine.errors import EngineError, ErrorCode, invalid_input

Values = Mapping[str, Any]


class LabDesk:
    """Keeps the person that the lab was opened with."""

    def __init__(self) -> None:
        self._lab: WidthLab | None = None

    def open(self, request: Values, person: Person, camera: Camera) -> dict[str, Any]:
        """Open it with ``pixels`` (h, w, 3) of the photo at any size, ``joints``, ``shape``.

        Answers with the ``names`` of the 20 parts.
        """
        from engine.bodies.reshape import PART_NAMES

        self._lab = _lab(request, person, camera)
        return {"names": list(PART_NAMES)}

    def widen(self, request: Values) -> dict[str, Any]:
        """The picture with parts ``factors (20,)`` times as wide, and by how much each became it."""
        if self._lab is None:
            raise invalid_input("The width lab is not open; nothing was changed.", "Open it again.")
        made = self._lab.widened(np.array(request["factors"], np.float64))
        return {"pixels": made.pixels, "ratios": made.ratios}

    def save(self, request: Values, person: Person, camera: Camera) -> dict[str, Any]:
        """Write it at the size of ``pixels`` to ``path`` (PNG), the labels and the mask beside it."""
        factors = np.array(request["factors"], np.float64)
        made = _lab(request, person, camera).widened(factors)
        path = Path(request["path"])
        return {"files": [str(one) for one in _write(path, made, person, factors)]}


def _lab(request: Values, person: Person, camera: Camera) -> WidthLab:
    from engine.bodies.reshape import part_sizes

    pixels: NDArray[np.uint8] = np.array(request["pixels"], np.uint8)
    if person.mask is None:
        raise invalid_input(
            "There is no outline of this person, so the photo cannot be changed.",
            "Recover the photo with BlazePose, which finds outlines.",
        )
    scale = pixels.shape[1] / camera.width
    mask = replace(person.mask, to_image=scale * person.mask.to_image)
    joints = np.array(request["joints"], np.float64)
    # The pelvis's segment goes sideways, to a hip; in a picture it is wide across the spine.
    ends = [3 if part == 0 else SEGMENT_ENDS[part] for part in PARTS]
    places = scale * camera.project(joints)
    depth = np.maximum(0.1, -(joints[list(PARTS), 2] + joints[ends, 2]) / 2)
    sizes = part_sizes(torch.from_numpy(np.array(request["shape"], np.float32))[None])
    widths = np.array(list(sizes.widths.values())) * scale * camera.focal / depth
    lines = Lines(places[list(PARTS)], places[ends], widths)
    inside = mask.in_image(*pixels.shape[:2]) > 127
    return WidthLab(pixels, inside, lines, scale * person.points)


def _write(path: Path, made: Widened, person: Person, factors: NDArray[np.float64]) -> list[Path]:
    from engine.bodies.reshape import PART_NAMES

    keypoints = np.concatenate([made.points, person.keypoints[:, 2:]], 1)
    box = box_around(made.points, person.confidence)
    labels = people_to_json([Person(keypoints, person.layout, box, person.score)])
    labels["people"][0]["width_changes"] = {
        name: {"asked": round(float(factor), 4), "became": None if np.isnan(r) else round(float(r), 4)}
        for name, factor, r in zip(PART_NAMES, factors, made.ratios, strict=True)
    }
    files = [path, path.with_name(f"{path.stem}-mask.png"), path.with_suffix(".json")]
    try:
        Image.fromarray(made.pixels).save(files[0], "PNG")
        Image.fromarray(255 * made.mask.astype(np.uint8)).save(files[1], "PNG")
        files[2].write_text(json.dumps(labels, indent=1), encoding="utf-8")
    except OSError as error:
        raise EngineError(
            ErrorCode.INVALID_INPUT,
            f"{path} could not be written ({error.strerror or error}); the lab is as it was.",
            "Choose another folder.",
        ) from error
    return files
