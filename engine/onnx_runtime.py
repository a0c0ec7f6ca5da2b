"""Networks in ONNX files that take pictures, run by onnxruntime where they run best."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode, bad_file

log = logging.getLogger("triptych.onnx")

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
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_OF_PICTURES = (np.float32, np.float16, np.float64, np.uint8)


@dataclass(frozen=True)
class PictureInput:
    """What the network takes.

    Attributes
    ----------
    size
        Width and height; ``None`` where any will do.
    channels_last
        ``(N, h, w, 3)`` instead of ``(N, 3, h, w)``.
    batch
        How many pictures at once; ``None`` where any number will do.
    """

    name: str
    dtype: type[np.generic]
    size: tuple[int, int] | None
    channels_last: bool
    batch: int | None = 1


class PictureModel:
    """A network from a file.

    Parameters
    ----------
    path
        Of the file.
    further
        Names of inputs besides the picture that the caller knows how to fill.
    device
        As jobs name it; ``auto`` takes the best there is, ``cpu`` stays on the processor.

    Attributes
    ----------
    path
    input
    further
        Inputs besides the picture, by name, with their types.
    outputs
        Names, in the file's order.
    metadata
        What its exporter wrote into it, such as ``license``, ``names`` and ``kpt_shape``.
    provider
        Where it runs, one of :data:`PROVIDERS`.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not there, no ONNX model, or does not take pictures;
        ``missing_weights`` without onnxruntime.
    """

    def __init__(self, path: Path, further: Collection[str] = (), device: str = "auto") -> None:
        self.path = path
        self._session = open_session(path, device)
        self.provider = str(self._session.get_providers()[0])
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        entries = self._session.get_inputs()
        self.input = _picture_input([e for e in entries if e.name not in further], entries, path)
        self.further = {e.name: _TYPES.get(e.type, np.float32) for e in entries if e.name in further}
        self.outputs = [entry.name for entry in self._session.get_outputs()]
        self._one_by_one = False

    def run(
        self, picture: NDArray[Any], further: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Outputs by name, in the file's order, for ``(h, w, 3)`` numbers as the network wants them.

        Outputs keep their batch, which is 1.

        Raises
        ------
        EngineError
            ``bad_file`` when it fails on a picture of this size, or returns numbers that are not
            finite.
        """
        count = self.input.batch or 1  # of a model with a fixed batch the others are copies
        filled = {name: np.repeat(value, count, axis=0) for name, value in (further or {}).items()}
        outputs = self._run(np.repeat(picture[None], count, axis=0), filled)
        return {
            name: array[:1] if count > 1 and len(array) == count else array
            for name, array in outputs.items()
        }

    def run_batch(
        self, pictures: NDArray[Any], further: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """The same for ``(N, h, w, 3)``; the first dimension of every output is N.

        ``further`` has a row for each picture. A network that takes another number of pictures at
        once gets as many as it wants, several times.
        """
        further = dict(further or {})
        most = 1 if self._one_by_one else self.input.batch or len(pictures)
        if most == 1 or len(pictures) == 1:
            singles = [
                self.run(picture, {name: value[at : at + 1] for name, value in further.items()})
                for at, picture in enumerate(pictures)
            ]
            return {name: np.concatenate([one[name] for one in singles]) for name in singles[0]}
        parts: list[dict[str, NDArray[np.float64]]] = []
        for start in range(0, len(pictures), most):
            rows = np.minimum(np.arange(start, start + most), len(pictures) - 1)
            kept = min(most, len(pictures) - start)
            found = self._run(pictures[rows], {name: value[rows] for name, value in further.items()})
            if any(array.ndim == 0 or len(array) != most for array in found.values()):
                log.info("%s answers for one picture at a time only", self.path.name)
                self._one_by_one = True
                return self.run_batch(pictures, further)
            parts.append({name: array[:kept] for name, array in found.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(
        self, pictures: NDArray[Any], further: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[np.float64]]:
        values = pictures if self.input.channels_last else pictures.transpose(0, 3, 1, 2)
        given = {self.input.name: np.ascontiguousarray(values, self.input.dtype)}
        given |= {name: np.asarray(value, self.further[name]) for name, value in further.items()}
        try:
            outputs = self._session.run(self.outputs, given)
        except Exception as error:  # the library's own exceptions have no common base
            raise bad_file(
                f"The model {self.path.name} fails on a picture of {pictures.shape[2]} x "
                f"{pictures.shape[1]} pixels; nothing was computed.",
                "Export it again with the size that it was trained with.",
                str(error),
            ) from error
        arrays = {
            name: np.asarray(output, np.float64)
            for name, output in zip(self.outputs, outputs, strict=True)
            if isinstance(output, np.ndarray) and output.dtype.kind in "fiu"
        }
        broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if broken:
            raise bad_file(
                f"The model {self.path.name} returns numbers that are not finite, in "
                f"{', '.join(broken)}; nothing was computed.",
                "Export it in 32 bits.",
            )
        return arrays


def open_session(path: Path, device: str = "auto", threads: int = 0) -> Any:
    """An ``InferenceSession`` on the first provider that works; a fallback is logged.

    Parameters
    ----------
    path
        Of the file.
    device
        ``cpu`` stays on the processor; anything else tries GPUs first.
    threads
        Of the processor; 0 leaves it to the library.

    Raises
    ------
    EngineError
        As :class:`PictureModel`.
    """
    if not path.is_file():
        raise bad_file(
            f"The model {path.name} is not there; nothing was computed.",
            f"Looked for {path}. Choose the file again.",
        )
    try:
        runtime = importlib.import_module("onnxruntime")
    except Exception as error:  # a broken installation fails in many ways
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"ONNX models need onnxruntime, which cannot be used here ({error}); nothing was computed.",
            "Install Triptych again, or: pip install onnxruntime",
        ) from error
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = threads
    available = runtime.get_available_providers()
    reason = ""
    for provider in PROVIDERS[-1:] if device == "cpu" else PROVIDERS:
        if provider not in available:
            continue
        wanted = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session = runtime.InferenceSession(str(path), settings, providers=wanted)
        except Exception as error:  # as above; a provider may be listed and still not work
            reason = str(error)
            first = (reason.splitlines() or [type(error).__name__])[0]
            log.warning("%s cannot run %s: %s", provider, path.name, first)
            continue
        if session.get_providers()[0] != provider:
            log.warning("%s was refused; %s runs on the CPU", provider, path.name)
        return session
    raise bad_file(
        f"The file {path.name} cannot be loaded as an ONNX model; nothing was computed.",
        "Export the model again, with all weights inside or with the file of weights beside it.",
        reason,
    )


def _picture_input(entries: list[Any], everything: list[Any], path: Path) -> PictureInput:
    told = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in everything)
    shape = entries[0].shape if len(entries) == 1 else []
    dtype = _TYPES.get(entries[0].type) if entries else None
    if len(shape) != 4 or dtype not in _OF_PICTURES:
        raise bad_file(
            f"The model {path.name} does not take one picture; nothing was computed. It takes: {told}.",
            "It should have one input (N, 3, height, width) or (N, height, width, 3).",
        )
    channels_last = shape[1] != 3 and shape[3] == 3
    height, width = shape[1:3] if channels_last else shape[2:]
    if 3 not in (shape[1], shape[3]) and isinstance(shape[1], int):
        raise bad_file(
            f"The model {path.name} does not take colours; nothing was computed. It takes: {told}.",
            "It should have one input (N, 3, height, width) or (N, height, width, 3).",
        )
    fixed = isinstance(height, int) and isinstance(width, int)
    size = (width, height) if fixed else None
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    return PictureInput(entries[0].name, dtype, size, channels_last, batch)
