"""A network in an ONNX file that takes one picture, run by onnxruntime where it runs best."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode, bad_file

log = logging.getLogger("triptych.keypoints")

PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)
"""In the order in which they are tried. TensorRT is not: it builds for minutes at each start."""

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class PictureInput:
    """What the network takes.

    Attributes
    ----------
    size
        Width and height; ``None`` where any will do.
    channels_last
        ``(1, h, w, 3)`` instead of ``(1, 3, h, w)``.
    """

    name: str
    dtype: type[np.generic]
    size: tuple[int, int] | None
    channels_last: bool


class OnnxModel:
    """A network from a file.

    Attributes
    ----------
    path
    input
    metadata
        What its exporter wrote into it, such as ``license`` and ``kpt_shape``.
    provider
        Where it runs, one of :data:`PROVIDERS`.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not there, no ONNX model, or does not take one picture;
        ``missing_weights`` without onnxruntime.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise bad_file(
                f"The model {path.name} is not there; nothing was detected.",
                f"Looked for {path}. Choose the file again.",
            )
        self._session = _session(path)
        self.provider = str(self._session.get_providers()[0])
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.input = _picture_input(self._session, path)

    def run(self, picture: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Outputs by name, in the file's order, for ``(h, w, 3)`` numbers as the network wants them.

        Raises
        ------
        EngineError
            ``bad_file`` when it fails on a picture of this size, or returns numbers that are not
            finite.
        """
        values = picture if self.input.channels_last else picture.transpose(2, 0, 1)
        given = {self.input.name: np.ascontiguousarray(values[None], self.input.dtype)}
        names = [entry.name for entry in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, given)
        except Exception as error:  # the library's own exceptions have no common base
            raise bad_file(
                f"The model {self.path.name} fails on a picture of {picture.shape[1]} x "
                f"{picture.shape[0]} pixels; nothing was detected.",
                "Export it again with the size that it was trained with.",
                str(error),
            ) from error
        arrays = {
            name: np.asarray(output, np.float64)
            for name, output in zip(names, outputs, strict=True)
            if isinstance(output, np.ndarray) and output.dtype.kind in "fiu"
        }
        broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if broken:
            raise bad_file(
                f"The model {self.path.name} returns numbers that are not finite, in "
                f"{', '.join(broken)}; nothing was detected.",
                "Export it in 32 bits.",
            )
        return arrays


def _session(path: Path) -> Any:
    try:
        runtime = importlib.import_module("onnxruntime")
    except Exception as error:  # a broken installation fails in many ways
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"ONNX models need onnxruntime, which cannot be used here ({error}); nothing was detected.",
            "Install Triptych again, or: pip install onnxruntime",
        ) from error
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4
    available = runtime.get_available_providers()
    reason = ""
    for provider in PROVIDERS:
        if provider not in available:
            continue
        wanted = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
        try:
            session = runtime.InferenceSession(str(path), settings, providers=wanted)
        except Exception as error:  # as above; a provider may be listed and still not work
            reason = str(error)
            log.warning("%s cannot run %s: %s", provider, path.name, reason.splitlines()[0])
            continue
        if session.get_providers()[0] != provider:
            log.warning("%s was refused; %s runs on the CPU", provider, path.name)
        return session
    raise bad_file(
        f"The file {path.name} cannot be loaded as an ONNX model; nothing was detected.",
        "Export the model again, with all weights inside or with the file of weights beside it.",
        reason,
    )


def _picture_input(session: Any, path: Path) -> PictureInput:
    inputs = session.get_inputs()
    told = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
    shape = inputs[0].shape if len(inputs) == 1 else []
    known = len(shape) == 4 and inputs[0].type in _TYPES
    if not known or (shape[0] not in (1, None) and not isinstance(shape[0], str)):
        raise bad_file(
            f"The model {path.name} does not take one picture; nothing was detected. It takes: {told}.",
            "It should have one input (1, 3, height, width) or (1, height, width, 3).",
        )
    channels_last = shape[1] != 3 and shape[3] == 3
    height, width = shape[1:3] if channels_last else shape[2:]
    if 3 not in (shape[1], shape[3]) and isinstance(shape[1], int):
        raise bad_file(
            f"The model {path.name} does not take colours; nothing was detected. It takes: {told}.",
            "It should have one input (1, 3, height, width) or (1, height, width, 3).",
        )
    fixed = isinstance(height, int) and isinstance(width, int)
    size = (width, height) if fixed else None
    return PictureInput(inputs[0].name, _TYPES[inputs[0].type], size, channels_last)
