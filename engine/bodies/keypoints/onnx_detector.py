"""The detector ``onnx``: keypoint models that the user has, recognised by what they return."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import framing
from engine.bodies.keypoints.detectors import OnnxOptions
from engine.bodies.keypoints.duplicates import without_duplicates
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.onnx_decoding import Rows, from_heat, from_rtmo, from_simcc, from_yolo
from engine.bodies.keypoints.onnx_kinds import Kind, recognise
from engine.bodies.keypoints.person import Person, box_around
from engine.bodies.keypoints.pictures import Picture
from engine.errors import EngineError, invalid_input
from engine.onnx_runtime import PictureModel

Array = NDArray[np.float64]

log = logging.getLogger("triptych.keypoints")

_SIZES = ((192, 256), (640, 640))
"""Width and height that are tried where a model takes any: of one person, and of everybody."""
_GREY = 114
"""Around pictures that do not have the shape of the input (YOLO, RTMO)."""
_IMAGENET = np.array([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]])

BoxSource = Callable[[Picture], list[tuple[Array, float]]]
"""Boxes of people ``(4,)`` in the pixels of ``picture.pixels``, each with its score."""


class RecognisedModel:
    """A model whose outputs are known, with what it is given.

    Attributes
    ----------
    model, kind
    size
        Width and height of its input.
    colours, order
        As in :class:`~engine.bodies.keypoints.detectors.OnnxOptions`, ``auto`` resolved.
    """

    def __init__(self, path: Path, colours: str = "auto", order: str = "auto") -> None:
        self.model = PictureModel(path)
        self.kind, self.size = self._recognised()
        family = self.kind.family
        usual = {"simcc": "imagenet", "heat": "imagenet", "rtmo": "byte"}.get(family, "unit")
        if self.model.input.dtype is np.uint8:
            usual = "byte"
        self.colours = usual if colours == "auto" else colours
        self.order = ("bgr" if family == "rtmo" else "rgb") if order == "auto" else order

    def _recognised(self) -> tuple[Kind, tuple[int, int]]:
        model = self.model
        sizes = [model.input.size] if model.input.size else list(_SIZES)
        failure: EngineError | None = None
        for size in sizes:
            try:
                outputs = model.run(np.zeros((size[1], size[0], 3)))
                shapes = {name: array.shape for name, array in outputs.items()}
                kind = recognise(shapes, size, model.metadata, model.path.name)
            except EngineError as error:
                failure = failure or error
                continue
            if model.input.size is None and not kind.one_person:
                size = _SIZES[1]
            return kind, size
        assert failure is not None
        raise failure

    def __call__(self, picture: Picture, to_image: Array) -> list[Array]:
        """Its outputs, without the batch, in the kind's order, for a part of a picture."""
        fill = None if self.kind.one_person else _GREY
        part = framing.cut(picture.pixels, to_image, *self.size, fill).astype(np.float64)
        if self.colours == "unit":
            part /= 255
        elif self.colours == "imagenet":
            part = (part - _IMAGENET[0]) / _IMAGENET[1]
        if self.order == "bgr":
            part = part[..., ::-1]
        outputs = self.model.run(part)
        return [outputs[name][0] for name in self.kind.outputs]

    def everybody(self, picture: Picture, least: float) -> Rows:
        """People of the whole picture, in the pixels of ``picture.pixels``."""
        height, width = picture.pixels.shape[:2]
        to_image = framing.letterbox((width, height), self.size, self.kind.family != "rtmo")
        outputs = self(picture, to_image)
        rows = (
            from_rtmo(outputs[0], outputs[1], least)
            if self.kind.family == "rtmo"
            else from_yolo(outputs[0], self.kind, least)
        )
        boxes = framing.project(rows.boxes.reshape(-1, 2, 2), to_image).reshape(-1, 4)
        keypoints = rows.keypoints.copy()
        keypoints[..., :2] = framing.project(keypoints[..., :2], to_image)
        return Rows(boxes, rows.scores, keypoints)

    def one(self, picture: Picture, box: Array) -> Array:
        """Keypoints ``(K, 3)`` of the person in a box, in the pixels of ``picture.pixels``."""
        to_image = framing.around(box, self.size)
        outputs = self(picture, to_image)
        found = (
            from_simcc(outputs[0], outputs[1], self.size)
            if self.kind.family == "simcc"
            else from_heat(outputs[0], self.size)
        )
        return np.column_stack([framing.project(found[:, :2], to_image), found[:, 2]])


class OnnxDetector:
    """Keypoints by a model from a file.

    Attributes
    ----------
    name, licence, layout
        The licence is what the file says of itself.
    kind
        What the model was recognised as.
    assumptions
        What is not in the file and was taken for granted, in words.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is no model, or not of a known kind; ``invalid_input`` when it
        finds boxes only, or ``boxes`` is not something that finds people.
    """

    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        self._model = RecognisedModel(Path(options.path).expanduser(), options.colours, options.order)
        self.kind = self._model.kind
        path = self._model.model.path
        if self.kind.family == "boxes":
            raise invalid_input(
                f"The model {path.name} finds people, but no keypoints; nothing was detected.",
                "Give it as boxes, together with a model that finds the keypoints of one person.",
            )
        self.name = f"{path.name} ({self.kind.title})"
        self.licence = self._model.model.metadata.get("license", "") or "see where the file is from"
        self.layout = self.kind.layout
        self._boxes = _box_source(options) if self.kind.one_person else None
        self.assumptions = self._assumed()
        log.info("%s: %s", self.name, "; ".join(self.assumptions))

    def _assumed(self) -> tuple[str, ...]:
        model = self._model
        words = {"unit": "0 to 1", "byte": "0 to 255", "imagenet": "ImageNet's mean and deviation"}
        told = [f"colours: {model.order.upper()}, {words[model.colours]}"]
        if model.model.input.size is None:
            told.append(f"size of the input: {model.size[0]} x {model.size[1]}")
        if self.kind.count != len(find_layout(self.layout)):
            told.append(f"the first {len(find_layout(self.layout))} keypoints are COCO's")
        return tuple(told)

    def detect(self, picture: Picture) -> list[Person]:
        """The people in a picture, the surest first."""
        least = self._options.least_score
        if self._boxes is None:
            rows = self._model.everybody(picture, least)
            people = [
                self._person(picture, keypoints, box, float(score))
                for box, score, keypoints in zip(rows.boxes, rows.scores, rows.keypoints, strict=True)
            ]
        else:
            people = []
            for box, score in self._boxes(picture):
                keypoints = self._model.one(picture, box)
                found = float(keypoints[: len(find_layout(self.layout)), 2].mean()) * score
                if found >= least:
                    around = box_around(keypoints[:, :2], keypoints[:, 2], least)
                    people.append(self._person(picture, keypoints, around, found))
            people.sort(key=lambda person: -person.score)
        kept = without_duplicates(people)
        return [people[place] for place in kept[: self._options.most_people]]

    def _person(self, picture: Picture, keypoints: Array, box: Array, score: float) -> Person:
        scale = picture.scale
        chosen = keypoints[: len(find_layout(self.layout))] * [*scale, 1]
        return Person(chosen, self.layout, box * np.tile(scale, 2), score)


def _box_source(options: OnnxOptions) -> BoxSource:
    if options.boxes == "picture":
        return lambda picture: [(np.array([0.0, 0, *picture.pixels.shape[1::-1]]), 1.0)]
    if options.boxes == "blazepose":
        return _blazepose_boxes()
    path = Path(options.boxes).expanduser()
    if path.suffix.lower() != ".onnx":
        raise invalid_input(
            f"{options.boxes!r} is nothing that finds people; nothing was detected.",
            "Use blazepose, picture, or an .onnx file that finds people.",
        )
    model = RecognisedModel(path)
    if model.kind.one_person:
        raise invalid_input(
            f"The model {path.name} sees one person at a time ({model.kind.title}), so it cannot find "
            "where people are; nothing was detected.",
            "Use blazepose, picture, or an .onnx file that finds people, such as YOLO.",
        )

    def from_model(picture: Picture) -> list[tuple[Array, float]]:
        rows = model.everybody(picture, options.least_score)
        return [(box, float(score)) for box, score in zip(rows.boxes, rows.scores, strict=True)]

    return from_model


def _blazepose_boxes() -> BoxSource:
    from engine.bodies.keypoints.blazepose import BlazePose

    detector = BlazePose()

    def boxes(picture: Picture) -> list[tuple[Array, float]]:
        found = []
        for person in detector.detect(picture):
            # Keypoints end at the eyes and the ankles; heads and feet belong to a person, too.
            low, high = person.box[:2], person.box[2:]
            room = 0.1 * float(np.max(high - low))
            box = np.concatenate([low - room, high + room / 2])
            found.append((box / np.tile(picture.scale, 2), person.score))
        return found

    return boxes


def load(options: OnnxOptions) -> OnnxDetector:
    """The detector with its settings, for the registry."""
    return OnnxDetector(options)
