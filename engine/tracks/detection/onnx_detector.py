"""The detector ``onnx``: models of the user, recognised by what they return."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import framing
from engine.errors import EngineError, invalid_input
from engine.onnx_runtime import PictureModel
from engine.tracks.detection.catalogue import OnnxOptions
from engine.tracks.detection.class_names import told_names, usual_names
from engine.tracks.detection.found import Found, together
from engine.tracks.detection.onnx_decoding import decode
from engine.tracks.detection.onnx_layouts import Layout, recognise
from engine.video import Frame, VideoFile

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

log = logging.getLogger("triptych.tracks")

_SIDE = 640
"""Of the input, where a model takes any."""
_GREY = 114
"""Around pictures that do not have the shape of the input (YOLO)."""
_IMAGENET = np.array([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])
_SIZES_INPUT, _MASK_INPUT = "orig_target_sizes", "pixel_mask"
_TILE_OVERLAP = 0.2
_EDGE = 2.0
"""Boxes of a tile that come so close to its inner border, in pixels, are cut things."""


class OnnxDetector:
    """Boxes by a model from a file.

    Attributes
    ----------
    layout
        What the model was recognised as.
    assumptions
        What is not in the file and was taken for granted, in words.
    provider
        Where it runs.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is no model, or not of a known kind; ``invalid_input`` for classes
        that it does not have.
    """

    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        path = Path(options.path).expanduser()
        self._model = PictureModel(path, (_SIZES_INPUT, _MASK_INPUT), options.device)
        told = told_names(self._model.metadata)
        side = options.size or _SIDE
        self.size = self._model.input.size or (side, side)
        self.layout = self._recognised(len(told))
        names = told or usual_names(self.layout.classes or 80)
        self._kept = _chosen_classes(options.classes, names, path.name)
        self._names = names
        if options.one_class:
            self.class_names: Mapping[int, str] = {0: "object"}
        else:
            kept = names if self._kept is None else self._kept
            self.class_names = {number: names[number] for number in kept}
        self.colours, self.order = self._colours()
        self.name = f"{path.name} ({self.layout.title})"
        self.batch = options.batch
        self.provider = self._model.provider
        self.assumptions = self._assumed(told)
        log.info("%s on %s: %s", self.name, self.provider, "; ".join(self.assumptions))

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        """See :class:`~engine.tracks.detection.catalogue.Detector`; there is nothing to prepare."""

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        return self.look([frame.pixels for frame in frames])

    def look(self, pictures: Sequence[Pixels]) -> list[Found]:
        """What is in pictures ``(h, w, 3)`` uint8 RGB of any size."""
        pieces = [
            (number, part, self._frame(part))
            for number, picture in enumerate(pictures)
            for part in tile_boxes(picture.shape[1], picture.shape[0], self._tiles(picture))
        ]
        parts: list[list[Found]] = [[] for _ in pictures]
        for start in range(0, len(pieces), self.batch):
            some = pieces[start : start + self.batch]
            for (number, part, to_part), found in zip(some, self._run(pictures, some), strict=True):
                height, width = pictures[number].shape[:2]
                whole = framing.project(found.boxes.reshape(-1, 2, 2), to_part).reshape(-1, 4)
                whole += np.tile(part[:2], 2)
                placed = Found(whole, found.scores, found.classes)
                parts[number].append(placed[~_cut_off(whole, part, width, height)])
        return [
            self._cleaned(together(some), picture)
            for some, picture in zip(parts, pictures, strict=True)
        ]

    def _run(
        self, pictures: Sequence[Pixels], pieces: Sequence[tuple[int, NDArray[np.int64], Array]]
    ) -> list[Found]:
        width, height = self.size
        given = np.empty((len(pieces), height, width, 3), np.float32)
        for row, (number, (left, top, right, bottom), matrix) in enumerate(pieces):
            piece = pictures[number][top:bottom, left:right]
            given[row] = framing.cut(piece, matrix, width, height, _GREY)
        outputs = self._model.run_batch(self._prepared(given), self._further(len(pieces)))
        chosen = [outputs[name] for name in self.layout.outputs]
        least = self._options.least_score
        return [
            decode([output[row] for output in chosen], self.layout, self.size, least)
            for row in range(len(pieces))
        ]

    def _further(self, count: int) -> dict[str, NDArray[np.int64]]:
        width, height = self.size
        values = {
            _SIZES_INPUT: np.tile(np.array([width, height]), (count, 1)),
            _MASK_INPUT: np.ones((count, height, width), np.int64),
        }
        return {name: values[name] for name in self._model.further}

    def _prepared(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.colours == "unit":
            pictures = pictures / np.float32(255)
        elif self.colours == "imagenet":
            pictures = ((pictures - _IMAGENET[0]) / _IMAGENET[1]).astype(np.float32)
        return pictures[..., ::-1] if self.order == "bgr" else pictures

    def _recognised(self, told: int) -> Layout:
        width, height = self.size
        outputs = self._model.run(np.zeros((height, width, 3)), self._further(1))
        shapes = {name: array.shape for name, array in outputs.items()}
        return recognise(shapes, self.size, told, self._options.layout, self._model.path.name)

    def _colours(self) -> tuple[str, str]:
        """How the model wants colours: what its family was trained with, or what the user says."""
        layout, options = self.layout, self._options
        colours, order = "unit", "rgb"
        if layout.family == "yolox":
            colours, order = "byte", "bgr"
        elif layout.family == "labelled" and len(layout.outputs) == 2:
            colours, order = "imagenet", "bgr"
        elif layout.family == "detr" and (layout.softmax or "dets" in layout.outputs):
            colours = "imagenet"
        if self._model.input.dtype is np.uint8:
            colours = "byte"
        return (
            colours if options.colours == "auto" else options.colours,
            order if options.order == "auto" else options.order,
        )

    def _assumed(self, told: Mapping[int, str]) -> tuple[str, ...]:
        words = {"unit": "0 to 1", "byte": "0 to 255", "imagenet": "ImageNet's mean and deviation"}
        said = [f"colours: {self.order.upper()}, {words[self.colours]}"]
        if self._model.input.size is None:
            said.append(f"size of the input: {self.size[0]} x {self.size[1]}")
        if not told:
            said.append(f"names of classes: {'COCO' if len(self._names) in (80, 91) else 'numbers'}")
        return tuple(said)

    def _frame(self, part: NDArray[np.int64]) -> Array:
        size = int(part[2] - part[0]), int(part[3] - part[1])
        if self.layout.family in ("rtdetr", "detr") or len(self.layout.outputs) == 3:
            return framing.stretched(size, self.size)
        return framing.letterbox(size, self.size, centred=self.layout.family != "yolox")

    def _tiles(self, picture: Pixels) -> int:
        if self._options.tiles:
            return self._options.tiles
        return int(np.clip(round(max(picture.shape[:2]) / (1.5 * max(self.size))), 1, 4))

    def _cleaned(self, found: Found, picture: Pixels) -> Found:
        if self._kept is not None:
            found = found[np.isin(found.classes, list(self._kept))]
        if self._options.one_class:
            found = Found(found.boxes, found.scores, np.zeros_like(found.classes))
        found = found.clipped(picture.shape[1], picture.shape[0])
        return found.once(self._options.overlap, self._options.per_class)


def tile_boxes(width: int, height: int, count: int) -> list[NDArray[np.int64]]:
    """The whole of a picture, then ``count`` by ``count`` parts of it that overlap (none for 1).

    Each is int64 ``(4,)``: left, top, right, bottom.
    """
    parts = [np.array([0, 0, width, height])]
    if count > 1:
        share = 1 / (count - (count - 1) * _TILE_OVERLAP)
        for row in range(count):
            for column in range(count):
                size = np.array([width, height]) * share
                low = size * (1 - _TILE_OVERLAP) * [column, row]
                parts.append(np.concatenate([np.floor(low), np.ceil(low + size)]).astype(np.int64))
        parts[1:] = [np.minimum(part, [width, height, width, height]) for part in parts[1:]]
    return parts


def _cut_off(boxes: Array, part: NDArray[np.int64], width: int, height: int) -> NDArray[np.bool_]:
    """``(N,)`` which boxes end at a border of their tile that is no border of the picture."""
    inner = part != [0, 0, width, height]
    low = (boxes[:, :2] < part[:2] + _EDGE) & inner[:2]
    high = (boxes[:, 2:] > part[2:] - _EDGE) & inner[2:]
    return np.asarray((low | high).any(axis=1))


def _chosen_classes(text: str, names: Mapping[int, str], file: str) -> frozenset[int] | None:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        return None
    by_name = {name.lower(): number for number, name in names.items()}
    chosen = set()
    for word in words:
        if word.isdecimal() and int(word) in names:
            chosen.add(int(word))
        elif word.lower() in by_name:
            chosen.add(by_name[word.lower()])
        else:
            raise _no_class(word, names, file)
    return frozenset(chosen)


def _no_class(word: str, names: Mapping[int, str], file: str) -> EngineError:
    near = difflib.get_close_matches(word.lower(), names.values(), n=3, cutoff=0.5)
    listed = near or [names[number] for number in sorted(names)[:12]]
    return invalid_input(
        f"The model {file} has no class {word!r} among its {len(names)}; nothing was detected.",
        f"{'Did you mean' if near else 'It has'}: {', '.join(listed)}{'' if near else ', ...'}.",
    )
