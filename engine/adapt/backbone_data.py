"""What the built-in backbone is trained on: things, seen twice in different ways.

Drawn pictograms and tiles, vehicles of the synthetic camera network and walking people of the built-in
body. Two views of one thing differ as two cameras differ: size, place, light, colours, blur, noise,
something in front. What stays the same is what tells things apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.adapt.backbone import SIDE, prepared
from engine.bodies.synthetic import known_walk
from engine.tracks.synthetic_video import draw_vehicle, ground_of

Picture = NDArray[np.uint8]

SHARES = {"pictograms": 0.35, "tiles": 0.15, "vehicles": 0.3, "people": 0.2}
"""Of what a batch is made."""
VEHICLES = 100_000
"""How many different vehicles are drawn; the numbers of a scene's own begin at 0, these at 10^6."""
VEHICLE_KINDS = 400
WALK_FRAMES = 6
HELD_OUT = 0.1
_FIRST_VEHICLE = 1_000_000


@dataclass(frozen=True, eq=False)
class Batch:
    """Two views of each of some things.

    Attributes
    ----------
    pictures
        ``(2, N, 3, S, S)`` float32, as the backbone takes them.
    things
        ``(N,)`` int64: equal numbers are one thing.
    kinds
        ``(N,)`` int64, :attr:`Things.kind_names`.
    """

    pictures: Tensor
    things: Tensor
    kinds: Tensor


@dataclass(frozen=True, eq=False)
class Sprites:
    """Pictures with transparency.

    Attributes
    ----------
    images
        ``(n, S, S, 4)`` uint8, straight alpha.
    kinds, things
        ``(n,)``; the same drawing in other skin tones is one thing.
    weights
        ``(n,)``, how often each is drawn.
    mirrorable, held_out
        ``(n,)`` bool.
    """

    images: Picture
    kinds: NDArray[np.int64]
    things: NDArray[np.int64]
    weights: NDArray[np.float64]
    mirrorable: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def pictogram_sprites(path: Path) -> tuple[Sprites, list[str]]:
    """``pictograms64.npz`` and the names of its classes."""
    with np.load(path, allow_pickle=False) as file:
        captions = [set(str(text).split()) for text in file["captions"]]
        names = [str(name) for name in file["class_names"]]
        directed = np.array([bool(words & {"left", "right", "facing"}) for words in captions])
        symbols = file["labels"] == names.index("symbols")
        sprites = Sprites(
            file["images"],
            file["labels"].astype(np.int64),
            file["family"].astype(np.int64),
            file["weight"].astype(np.float64),
            ~(directed | symbols),
            file["split"] == 1,
        )
    return sprites, names


def tile_sprites(path: Path) -> tuple[Sprites, list[str]]:
    """``tiles32.npz``, twice as large, and the names of its classes."""
    with np.load(path, allow_pickle=False) as file:
        images = file["images"].repeat(2, axis=1).repeat(2, axis=2)
        count = len(images)
        sprites = Sprites(
            images,
            file["labels"].astype(np.int64),
            np.arange(count),
            np.ones(count),
            np.ones(count, bool),
            file["split"] == 1,
        )
        return sprites, [str(name) for name in file["class_names"]]


def walking_people(count: int, seed: int) -> list[list[Picture]]:
    """Crops ``(S, S, 3)`` of ``count`` people, each in some moments of a walk."""
    people = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        crops = []
        for seen in known_walk(rng, WALK_FRAMES, 3.0, 160, 160):
            points = seen.view.project(seen.people[0].vertices)[:, :2]
            box = np.concatenate([points.min(0), points.max(0)])
            crops.append(_crop(seen.pixels, box, 0.12))
        people.append(crops)
    return people


class Things:
    """Draws batches of views.

    Parameters
    ----------
    folder
        Of ``pictograms64.npz`` and ``tiles32.npz``.
    people
        Crops of people, :func:`walking_people`; the last tenth of them is held out.
    """

    def __init__(self, folder: Path, people: Sequence[Sequence[Picture]]) -> None:
        self.pictograms, pictogram_names = pictogram_sprites(folder / "pictograms64.npz")
        self.tiles, tile_names = tile_sprites(folder / "tiles32.npz")
        self.people = people
        self.kind_names = [*pictogram_names, *tile_names, "vehicle", "person"]
        self._tile_kinds = len(pictogram_names)
        self._tile_things = int(self.pictograms.things.max()) + 1
        self._people_things = self._tile_things + len(self.tiles.images)
        self._vehicle_things = self._people_things + len(people)

    def draw(
        self, count: int, rng: np.random.Generator, held_out: bool = False, only: str | None = None
    ) -> Batch:
        """Two views of ``count`` things, of all sorts by :data:`SHARES` or ``only`` of one."""
        sorts = [only] * count if only else rng.choice(list(SHARES), count, p=list(SHARES.values()))
        views: list[list[Picture]] = [[], []]
        things, kinds = [], []
        for sort in sorts:
            pair, thing, kind = self._pair(str(sort), rng, held_out)
            things.append(thing)
            kinds.append(kind)
            for place, picture in zip(views, pair, strict=True):
                place.append(picture)
        pictures = torch.stack([prepared(np.stack(side)) for side in views])
        return Batch(pictures, torch.tensor(things), torch.tensor(kinds))

    def _pair(
        self, sort: str, rng: np.random.Generator, held_out: bool
    ) -> tuple[list[Picture], int, int]:
        if sort == "vehicles":
            name = int(rng.integers(VEHICLES))
            # Every tenth is never trained on.
            name = name - name % 10 + (9 if held_out else name % 9)
            kind = int(np.random.default_rng([name, 79]).integers(VEHICLE_KINDS))
            pair = [altered(_vehicle_view(_FIRST_VEHICLE + name, kind, rng), rng) for _ in range(2)]
            return pair, self._vehicle_things + name, len(self.kind_names) - 2
        if sort == "people":
            first = round(len(self.people) * (1 - HELD_OUT))
            who = int(rng.integers(first, len(self.people)) if held_out else rng.integers(first))
            moments = rng.choice(len(self.people[who]), 2, replace=False)
            mirrored = rng.random(2) < 0.5
            crops = [self.people[who][moment] for moment in moments]
            turned = [
                crop[:, ::-1] if flip else crop for crop, flip in zip(crops, mirrored, strict=True)
            ]
            pair = [altered(_moved(crop, rng), rng) for crop in turned]
            return pair, self._people_things + who, len(self.kind_names) - 1
        tiles = sort == "tiles"
        sprites = self.tiles if tiles else self.pictograms
        rows = np.flatnonzero(sprites.held_out == held_out)
        chance = sprites.weights[rows] / sprites.weights[rows].sum()
        row = int(rng.choice(rows, p=chance))
        pair = [altered(_sprite_view(sprites, row, rng), rng) for _ in range(2)]
        shift = (self._tile_things, self._tile_kinds) if tiles else (0, 0)
        return pair, int(sprites.things[row]) + shift[0], int(sprites.kinds[row]) + shift[1]


def altered(picture: Picture, rng: np.random.Generator) -> Picture:
    """As another camera sees ``(S, S, 3)``: gain and white balance, blur, noise, something in front."""
    seen = picture.astype(np.float64)
    if rng.random() < 0.25:
        _hide(seen, rng)
    gain = rng.uniform(0.8, 1.2, 3) * rng.uniform(0.75, 1.2)
    seen = 255 * np.clip(seen * gain / 255, 0, 1) ** float(rng.uniform(0.8, 1.25))
    if rng.random() < 0.4:
        size = rng.uniform(0.3, 1.0)
        small = cv2.resize(seen, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        seen = np.asarray(cv2.resize(small, (SIDE, SIDE)), np.float64)
    noise = rng.normal(0, rng.uniform(0, 8), (SIDE, SIDE, 1))
    return np.clip(seen + noise, 0, 255).astype(np.uint8)


def _hide(seen: NDArray[np.float64], rng: np.random.Generator) -> None:
    """A plain piece, at most a third of the picture, at one of its sides."""
    depth = int(rng.uniform(0.1, 0.35) * SIDE)
    colour = rng.uniform(0, 255, 3)
    side = seen if rng.random() < 0.5 else seen.transpose(1, 0, 2)
    if rng.random() < 0.5:
        side[:depth] = colour
    else:
        side[-depth:] = colour


def _sprite_view(sprites: Sprites, row: int, rng: np.random.Generator) -> Picture:
    """A sprite turned, scaled and moved, before a background of its own."""
    image = sprites.images[row].astype(np.float32) / 255
    colours = np.concatenate([image[..., :3] * image[..., 3:], image[..., 3:]], 2)
    if sprites.mirrorable[row] and rng.random() < 0.5:
        colours = np.ascontiguousarray(colours[:, ::-1])
    matrix = cv2.getRotationMatrix2D(
        ((SIDE - 1) / 2, (SIDE - 1) / 2), rng.normal(0, 9), rng.uniform(0.6, 1.25)
    )
    matrix = matrix + np.pad(rng.uniform(-0.12, 0.12, (2, 1)) * SIDE, ((0, 0), (2, 0)))
    placed = cv2.warpAffine(colours, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return (255 * (placed[..., :3] + (1 - placed[..., 3:]) * _background(rng))).astype(np.uint8)


def _background(rng: np.random.Generator) -> NDArray[np.float32]:
    """A plain colour, or soft patches of several, ``(S, S, 3)`` from 0 to 1."""
    if rng.random() < 0.4:
        return np.full((SIDE, SIDE, 3), rng.random(3), np.float32)
    side = int(rng.integers(2, 9))
    patches = (rng.random(3) + rng.normal(0, 0.2, (side, side, 3))).astype(np.float32)
    soft = cv2.resize(patches, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft, 0, 1).astype(np.float32)


_GROUNDS: list[Picture] = []


def _vehicle_view(name: int, kind: int, rng: np.random.Generator) -> Picture:
    """A vehicle as a detector would cut it out of a frame."""
    if not _GROUNDS:
        _GROUNDS.extend(ground_of(np.random.default_rng([number, 80])) for number in range(8))
    ground = _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    width = rng.uniform(36, 130)
    height = width * rng.uniform(0.55, 0.9)
    room = int(width * 1.6)
    top = int(rng.integers(ground.shape[0] - room))
    left = int(rng.integers(ground.shape[1] - room))
    canvas = np.ascontiguousarray(ground[top : top + room, left : left + room])
    at = np.array([(room - width) / 2, (room - height) / 2, width, height], np.float32)
    draw_vehicle(canvas, at, name, kind)
    if rng.random() < 0.3:  # another one in front
        aside = rng.choice([-1, 1]) * width * rng.uniform(0.6, 0.9)
        other = (at + np.array([aside, 0.2 * height, 0, 0])).astype(np.float32)
        number, its_kind = (int(rng.integers(most)) for most in (VEHICLES, VEHICLE_KINDS))
        draw_vehicle(canvas, other, number, its_kind)
    jitter = rng.uniform(-0.08, 0.1, 4) * [-width, -height, width, height]
    box = np.array([at[0], at[1], at[0] + width, at[1] + height]) + jitter
    crop = _crop(canvas, box, 0.0)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def _moved(picture: Picture, rng: np.random.Generator) -> Picture:
    """A little nearer and to a side."""
    low, high = rng.uniform(0, 0.14, 2), rng.uniform(0.86, 1.0, 2)
    return _crop(picture, np.concatenate([low, high]) * SIDE, 0.0)


def _crop(picture: Picture, box: NDArray[np.float64], around: float) -> Picture:
    """What is in ``box`` (left, top, right, bottom) and ``around`` it, ``(S, S, 3)``."""
    room = around * (box[2:] - box[:2])
    left, top = np.maximum(np.floor(box[:2] - room), 0).astype(int)
    right, bottom = np.ceil(box[2:] + room).astype(int)
    part = picture[top : max(bottom, top + 2), left : max(right, left + 2)]
    square = cv2.resize(np.ascontiguousarray(part), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(square, np.uint8)
