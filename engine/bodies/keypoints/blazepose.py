"""BlazePose: people in a photo, small ones too, with 33 keypoints, a mask and world points each.

The models' formats are MediaPipe's; detection is Bazarevsky et al. 2020 ("BlazePose"). The last step
of MediaPipe, a refinement of the landmarks by heat maps, is not done: it moves them by some 2 pixels.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints import blazepose_decoding as decoding
from engine.bodies.keypoints.blazepose_files import DETECTOR, LANDMARKS, find_file
from engine.bodies.keypoints.person import Mask, Person, box_around
from engine.bodies.keypoints.pictures import Picture, Pixels
from engine.bodies.keypoints.regions import Region
from engine.errors import EngineError, ErrorCode, bad_file

Array = NDArray[np.float64]

CROP = 256
LEAST_PERSON = 0.5
_SAME = 0.35
"""Mean distance of keypoints, over the size of a person, below which two are the same one."""
_TILE_OVERLAP = 0.3
_LEAST_TILE = 224


class TfliteModel:
    """A model file on one thread of the CPU, run by LiteRT.

    Raises
    ------
    EngineError
        ``missing_weights`` without the library, ``bad_file`` when it cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            library = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise EngineError(
                ErrorCode.MISSING_WEIGHTS,
                "BlazePose needs the library ai-edge-litert, which is not installed; nothing was "
                "detected.",
                "Run: pip install ai-edge-litert",
            ) from error
        try:
            self._model: Any = library.Interpreter(model_path=str(path), num_threads=1)
            self._model.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise bad_file(f"The model {path.name} cannot be used.", "Fetch it again.") from error
        self._input = self._model.get_input_details()[0]["index"]
        self._outputs = [entry["index"] for entry in self._model.get_output_details()]

    def __call__(self, values: NDArray[np.float32]) -> list[Array]:
        """Outputs for one input ``(1, h, w, 3)``; raises ``internal`` when not finite."""
        self._model.set_tensor(self._input, np.ascontiguousarray(values, np.float32))
        self._model.invoke()
        outputs = [self._model.get_tensor(index).astype(np.float64)[0] for index in self._outputs]
        if not all(np.isfinite(output).all() for output in outputs):
            raise EngineError(
                ErrorCode.INTERNAL,
                "BlazePose returned numbers that are not finite; nothing was detected.",
                "Fetch its models again; if that does not help, please report the image.",
            )
        return outputs


@dataclass(frozen=True, eq=False)
class Landmarks:
    """A person in a region, and where it will be looked for in the next frame."""

    person: Person
    following: Region


class BlazePose:
    """The detector ``blazepose``.

    Parameters
    ----------
    levels
        1: the picture as a whole, good for people larger than about a fifth of it; 2 and 3 add tiles
        of about a half and a quarter of it; 0: tiles as far as they have at least 224 pixels.
    most_people
        The surest ones are kept.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file`` when library or model files are missing or damaged.
    """

    layout = "blazepose33"

    def __init__(self, levels: int = 0, most_people: int = 32) -> None:
        self.levels, self.most_people = levels, most_people
        self._detector = TfliteModel(find_file(DETECTOR))
        self._landmarks = TfliteModel(find_file(LANDMARKS))

    def detect(self, picture: Picture) -> list[Person]:
        """The people in a picture, the surest first."""
        return [found.person for found in self.find(picture)]

    def find(self, picture: Picture) -> list[Landmarks]:
        """The same, with the regions to look in next (in the pixels of ``picture.pixels``)."""
        height, width = picture.pixels.shape[:2]
        found: list[Landmarks] = []
        for region in self._regions(picture.pixels, tiles(width, height, self.levels)):
            looked = self.look(picture, region)
            if looked is not None:
                found.append(looked)
        found.sort(key=lambda item: -item.person.score * item.person.confidence.mean())
        kept: list[Landmarks] = []
        for item in found:
            if not any(same_person(item.person, other.person) for other in kept):
                kept.append(item)
        return kept[: self.most_people]

    def _regions(self, pixels: Pixels, windows: list[tuple[int, int, int]]) -> list[Region]:
        boxes, points, scores = [np.zeros((0, 4))], [np.zeros((0, 4, 2))], [np.zeros(0)]
        for left, top, side in windows:
            part = pixels[top : top + side, left : left + side]
            factor = decoding.INPUT / max(part.shape[:2])
            size = tuple(max(1, round(length * factor)) for length in part.shape[1::-1])
            shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            small = cv2.resize(part, size, interpolation=shrink)
            x, y = (decoding.INPUT - size[0]) // 2, (decoding.INPUT - size[1]) // 2
            framed = np.zeros((decoding.INPUT, decoding.INPUT, 3), np.uint8)
            framed[y : y + size[1], x : x + size[0]] = small
            raw, logits = self._detector(framed[None].astype(np.float32) / 127.5 - 1)
            box, point, score = decoding.decode(raw, logits[:, 0])
            shift = np.array([x, y])
            corner = np.array([left, top])
            box = (box.reshape(-1, 2, 2) * decoding.INPUT - shift) / factor + corner
            boxes.append(box.reshape(-1, 4))
            points.append((point * decoding.INPUT - shift) / factor + corner)
            scores.append(score)
        _, merged, _ = decoding.merge(*map(np.concatenate, (boxes, points, scores)))
        return [
            Region.from_alignment(point[0], point[1])
            for point in merged
            if np.linalg.norm(point[1] - point[0]) > 4
        ]

    def look(self, picture: Picture, region: Region) -> Landmarks | None:
        """The person in a region of ``picture.pixels``; ``None`` when there is none."""
        crop = region.cut(picture.pixels, CROP)
        values, score, mask, _, world = self._landmarks(crop[None].astype(np.float32) / 255)
        if score[0] < LEAST_PERSON:
            return None
        marks = values.reshape(39, 5)
        placed = region.project(marks[:, :2], CROP)
        # Seen, and inside the crop at all: both have to hold.
        sure = np.prod(1 / (1 + np.exp(-np.clip(marks[:33, 3:], -60, 60))), axis=1)
        scale = picture.scale
        keypoints = np.column_stack([placed[:33] * scale, sure])
        covered = (255 / (1 + np.exp(-np.clip(mask[..., 0], -60, 60)))).round().astype(np.uint8)
        person = Person(
            keypoints,
            self.layout,
            box_around(keypoints[:, :2], sure),
            float(np.clip(score[0], 0, 1)),
            Mask(covered, scale[:, None] * region.to_image(CROP)),
            region.turn(world.reshape(39, 3)[:33]),
        )
        return Landmarks(person, Region.from_alignment(placed[33], placed[34]))


def tiles(width: int, height: int, levels: int) -> list[tuple[int, int, int]]:
    """Squares to look in: left, top, side; the whole picture first. See :class:`BlazePose`."""
    long = max(width, height)
    windows = [(0, 0, long)]
    for level in (2, 3):
        side = round(long * (0.5 if level == 2 else 0.27))
        if level > levels > 0 or (levels == 0 and side < _LEAST_TILE):
            break
        windows += [(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]
    return windows


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = 1 + int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP))))
    return [round(start) for start in np.linspace(0, length - side, count)]


def same_person(a: Person, b: Person) -> bool:
    """Whether two results are of one person: their keypoints lie together."""
    size = max(float(np.max(p.box[2:] - p.box[:2])) for p in (a, b)) / 3
    distance = np.linalg.norm(a.to_coco17().points - b.to_coco17().points, axis=1)
    return bool(np.median(distance) < _SAME * max(size, 1e-6))
