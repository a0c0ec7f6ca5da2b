"""BlazePose's two networks: their files, checked before they are used, and LiteRT, which runs them."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode, bad_file
from engine.weight_files import digest_of

log = logging.getLogger("triptych.keypoints")

FOLDER = Path(__file__).resolve().parents[3] / "resources" / "weights" / "blazepose"

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"

SHA256 = {
    DETECTOR: "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    LANDMARKS: "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}
"""Of the files in the wheel mediapipe 0.10.14; the model card says how to get them from there."""

_HINT = "Install Triptych again; these files are part of it."


def model_file(name: str, folder: Path = FOLDER) -> Path:
    """Where a model file is, its checksum compared.

    Raises
    ------
    EngineError
        ``missing_weights`` when it is not there, ``bad_file`` when it is damaged.
    """
    path = folder / name
    if not path.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The file {name} of the people detector is missing; nothing was detected.",
            f"{_HINT} Looked for {path}.",
        )
    if digest_of(path) != SHA256[name]:
        raise bad_file(
            f"The file {name} of the people detector is damaged; nothing was detected.", _HINT
        )
    return path


class TfliteModel:
    """A network on the CPU, run by LiteRT.

    Parameters
    ----------
    path
        A ``.tflite`` file with one input.
    threads

    Raises
    ------
    EngineError
        ``missing_weights`` without the library, ``bad_file`` when it cannot read the file.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            library = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise EngineError(
                ErrorCode.MISSING_WEIGHTS,
                "The people detector needs the library ai-edge-litert, which cannot be loaded; nothing "
                "was detected.",
                "Run: pip install ai-edge-litert",
                str(error),
            ) from error
        try:
            self._model: Any = library.Interpreter(model_path=str(path), num_threads=threads)
            self._model.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise bad_file(
                f"The model {path.name} cannot be loaded; nothing was detected.", _HINT, str(error)
            ) from error
        self._input = self._model.get_input_details()[0]["index"]
        self._outputs = [entry["index"] for entry in self._model.get_output_details()]

    def __call__(self, values: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """Outputs, without the batch, for one input ``(1, h, w, 3)``.

        Raises
        ------
        EngineError
            ``internal`` when they are not finite numbers.
        """
        self._model.set_tensor(self._input, np.ascontiguousarray(values, np.float32))
        self._model.invoke()
        outputs = [self._model.get_tensor(index).astype(np.float64)[0] for index in self._outputs]
        if not all(np.isfinite(output).all() for output in outputs):
            raise EngineError(
                ErrorCode.INTERNAL,
                "The people detector returned numbers that are not finite; nothing was detected.",
                "Please report it together with the image.",
            )
        return outputs
