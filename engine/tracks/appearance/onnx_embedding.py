"""Appearance by a network from an ONNX file: re-identification, or any embedding of pictures."""

from __future__ import annotations

import ast
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import bad_file
from engine.onnx_runtime import PictureModel
from engine.tracks.appearance.cache import Cached, FeatureCache
from engine.tracks.appearance.catalogue import Appearance, OnnxOptions
from engine.weight_files import sha256_of

Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]

log = logging.getLogger("triptych.tracks")

_SIDE = 224
_SCALES = {
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "byte": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""What is taken from red, green, blue of 0 to 255, and what the rest is divided by."""


class OnnxEmbedding:
    """Vectors of a network.

    Attributes
    ----------
    size
        Width and height of its input.
    assumptions
        What is not in the file and was taken for granted, in words.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is no model, or does not return a vector for a picture.
    """

    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        path = Path(options.path).expanduser()
        self._model = PictureModel(path, device=options.device)
        self.size = self._model.input.size or (options.width or _SIDE, options.height or _SIDE)
        self._scale, told = self._read_scale()
        self.assumptions: tuple[str, ...] = (f"colours: {options.order.upper()}, {told}",)
        if self._model.input.size is None:
            self.assumptions += (f"size of the input: {self.size[0]} x {self.size[1]}",)
        self._output = self._find_output()
        self.name = path.name
        settings = options.model_dump_json(exclude={"path", "batch", "device"})
        self.identity = f"onnx {sha256_of(path)} {settings}"
        log.info("%s: %d numbers; %s", self.name, self.dimension, "; ".join(self.assumptions))

    def describe(self, pictures: Sequence[Pixels]) -> Float32:
        """See :class:`~engine.tracks.appearance.catalogue.Appearance`."""
        vectors = np.zeros((len(pictures), self.dimension), np.float32)
        for start in range(0, len(pictures), self._options.batch):
            given = np.stack([self._prepared(p) for p in pictures[start : start + self._options.batch]])
            found = self._model.run_batch(given)[self._output]
            if self._options.flip:
                found = found + self._model.run_batch(given[:, :, ::-1])[self._output]
            vectors[start : start + len(given)] = found.reshape(len(given), -1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def _prepared(self, picture: Pixels) -> Float32:
        width, height = self.size
        shrinks = picture.shape[1] >= width and picture.shape[0] >= height
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        part = np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.float32)
        values = (part - self._scale[0]) / self._scale[1]
        return values[..., ::-1] if self._options.order == "bgr" else values

    def _read_scale(self) -> tuple[Float32, str]:
        colours = self._options.colours
        if colours == "auto":
            told = [_numbers(self._model.metadata.get(key, "")) for key in ("mean", "std")]
            if all(len(values) == 3 for values in told) and min(told[1], default=0) > 0:
                scale = np.array(told, np.float32)
                # Written for colours of 0 to 1 more often than for bytes; deviations tell which.
                return (scale * 255 if scale[1].max() <= 2 else scale), "mean and deviation of the file"
            colours = "byte" if self._model.input.dtype is np.uint8 else "imagenet"
        words = {"unit": "0 to 1", "byte": "0 to 255", "imagenet": "ImageNet's mean and deviation"}
        return np.array(_SCALES[colours], np.float32), words[colours]

    def _find_output(self) -> str:
        width, height = self.size
        outputs = self._model.run(np.zeros((height, width, 3)))
        for name, array in outputs.items():
            if array.ndim >= 2 and array.shape[0] == 1 and array.size == max(array.shape) > 1:
                self.dimension = int(array.size)
                return name
        told = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise bad_file(
            f"The model {self._model.path.name} does not return a vector for a picture; nothing was "
            f"started. It returns: {told or 'no numbers'}.",
            "It should have an output (N, d), before any classification.",
        )


def _numbers(text: str) -> list[float]:
    """Numbers that an exporter wrote as a list; none where it is something else."""
    try:
        return [float(value) for value in ast.literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []


def load(options: OnnxOptions) -> Appearance:
    """The network, with a cache on disk in front of it."""
    return Cached(OnnxEmbedding(options), FeatureCache())
