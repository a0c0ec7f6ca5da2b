"""BlazePose: people in a photo, small ones too, with 33 keypoints, a mask and world points each.

The networks' formats are MediaPipe's; detection is Bazarevsky et al. 2020 ("BlazePose").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints import blazepose_decoding as decoding
from engine.bodies.keypoints.blazepose_models import DETECTOR, LANDMARKS, TfliteModel, model_file
from engine.bodies.keypoints.detectors import BlazePoseOptions
from engine.bodies.keypoints.duplicates import agreement, without_duplicates
from engine.bodies.keypoints.person import Mask, Person, box_around
from engine.bodies.keypoints.pictures import Picture, Pixels
from engine.bodies.keypoints.regions import MARGIN, Region
from engine.errors import invalid_input

Array = NDArray[np.float64]

CROP = 256
LEAST_PERSON = 0.5
"""Of the landmark network's own score."""
_LEAST_AGREEMENT = 0.5
_LEAST_REGION = 24
"""Pixels; what is smaller shows nothing."""
_LOOKS = 3
"""At most this many for one person: the landmarks say better where it is than the detector."""
_GOOD = 0.75
"""Quality from which on a person is not looked at from other beginnings, too."""
_TILES = (0.5, 0.27, 0.14)
"""Sides of tiles, over the longest side of the picture."""
_TILE_OVERLAP = 0.3
_LEAST_TILE = 224


@dataclass(frozen=True, eq=False)
class Found:
    """A person in a region, and where it will be looked for in the next frame."""

    person: Person
    following: Region

    @property
    def quality(self) -> float:
        """The better of two results for one person has the higher number."""
        return float(self.person.score * self.person.confidence.mean())


class BlazePose:
    """The detector ``blazepose``.

    Parameters
    ----------
    levels
        1: the picture as a whole, good for people larger than about a fifth of it; 2, 3 and 4 add
        tiles of about a half, a quarter and a seventh of it; 0: the first three, as far as tiles
        have at least 224 pixels.
    most_people
        The surest ones are kept.
    threads
        Of the processor, for the networks.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file`` when library or model files are missing or damaged,
        ``invalid_input`` for numbers out of range.
    """

    name = "BlazePose"
    licence = "Apache-2.0"
    layout = "blazepose33"

    def __init__(self, levels: int = 0, most_people: int = 32, threads: int = 1) -> None:
        if not 0 <= levels <= 1 + len(_TILES) or most_people < 1 or threads < 1:
            raise invalid_input(
                f"BlazePose cannot work with {levels} levels, {most_people} people and {threads} "
                "threads.",
                f"Levels go from 0 to {1 + len(_TILES)}; the others begin at 1.",
            )
        self.levels, self.most_people = levels, most_people
        self._detector = TfliteModel(model_file(DETECTOR), threads)
        self._landmarks = TfliteModel(model_file(LANDMARKS), threads)

    def detect(self, picture: Picture) -> list[Person]:
        """The people in a picture, the surest first; none where nobody is found."""
        return [found.person for found in self.find(picture)]

    def find(
        self, picture: Picture, known: list[Region] | None = None, levels: int | None = None
    ) -> list[Found]:
        """The same, with the regions to look in next (in the pixels of ``picture.pixels``).

        Regions that are nearly one of ``known`` are not looked in; ``levels`` instead of the
        detector's own.
        """
        levels = self.levels if levels is None else levels
        height, width = picture.pixels.shape[:2]
        found: list[Found] = []
        visited = list(known or [])
        for region in self._regions(picture.pixels, tiles(width, height, levels)):
            if any(_near(region, other) for other in visited):
                continue
            looked = self._approach(picture, region)
            if looked is not None:
                found.append(looked)
                if looked.quality > _GOOD:
                    visited.append(looked.following)
        found.sort(key=lambda item: -item.quality)
        kept = without_duplicates([item.person for item in found])
        return [found[place] for place in kept[: self.most_people]]

    def in_box(self, picture: Picture, box: Array) -> Person | None:
        """The person in a box that somebody has drawn; ``None`` when none is recognised.

        The box ``(4,)`` is left, top, right, bottom in pixels of the original.
        """
        corners = box.reshape(2, 2) / picture.scale
        centre = corners.mean(axis=0)
        side = MARGIN * float(np.max(corners[1] - corners[0]))
        found = self._approach(picture, Region(float(centre[0]), float(centre[1]), side))
        return None if found is None else found.person

    def look(self, picture: Picture, region: Region) -> Found | None:
        """The person in a region of ``picture.pixels``; ``None`` when there is none."""
        crop = region.cut(picture.pixels, CROP)
        values, score, mask, heat, world = self._landmarks(np.asarray(crop[None] / 255, np.float32))
        if score[0] < LEAST_PERSON:
            return None
        marks = values.reshape(-1, 5)
        placed = region.project(decoding.refined(marks[:, :2] / CROP, heat) * CROP, CROP)
        # Seen, and inside the crop at all: both have to hold.
        sure = np.prod(decoding.sigmoid(marks[:33, 3:]), axis=1)
        scale = picture.scale
        keypoints = np.column_stack([placed[:33] * scale, sure])
        likely = (255 * decoding.sigmoid(mask[..., 0])).round().astype(np.uint8)
        person = Person(
            keypoints,
            self.layout,
            box_around(keypoints[:, :2], sure),
            float(np.clip(score[0], 0, 1)),
            Mask(likely, scale[:, None] * region.to_image(CROP)),
            region.turn(world.reshape(-1, 3)[:33]),
        )
        following = Region.from_alignment(placed[33], placed[34])
        if following.side < _LEAST_REGION or agreement(person) < _LEAST_AGREEMENT:
            return None
        return Found(person, following)

    def _approach(self, picture: Picture, region: Region) -> Found | None:
        """Look, and look again where the person then seems to be."""
        found = self.look(picture, region)
        for _ in range(_LOOKS - 1):
            if found is None or _near(region, found.following, 0.5):
                break
            region = found.following
            again = self.look(picture, region)
            if again is None:
                return None  # gone when looked at closely
            found = again
        return found

    def _regions(self, pixels: Pixels, windows: list[tuple[int, int, int]]) -> list[Region]:
        """Where people may be, the surest first."""
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
        _, merged, _ = decoding.merge(
            np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)
        )
        regions = [Region.from_alignment(point[0], point[1]) for point in merged]
        return [region for region in regions if region.side >= _LEAST_REGION]


def _near(a: Region, b: Region, share: float = 1.0) -> bool:
    """Whether two regions show the same; ``share`` below 1 asks for more."""
    side = min(a.side, b.side)
    turned = abs((a.angle - b.angle + math.pi) % (2 * math.pi) - math.pi)
    return (
        math.hypot(a.x - b.x, a.y - b.y) < 0.12 * share * side
        and max(a.side, b.side) < (1 + 0.3 * share) * side
        and turned < 0.35 * share
    )


def tiles(width: int, height: int, levels: int) -> list[tuple[int, int, int]]:
    """Squares to look in: left, top, side; the whole picture first. See :class:`BlazePose`."""
    long = max(width, height)
    windows = [(0, 0, long)]
    for level, share in enumerate(_TILES[: levels - 1 if levels else 2]):
        side = round(long * share)
        if levels == 0 and level and side < _LEAST_TILE:
            break
        windows += [(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]
    return windows


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = 1 + math.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))
    return [round(start) for start in np.linspace(0, length - side, count)]


def load(options: BlazePoseOptions) -> BlazePose:
    """The detector with its settings, for the registry."""
    return BlazePose(options.levels, options.most_people, options.threads)
