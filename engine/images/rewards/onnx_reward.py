"""Rewards from ONNX models, by onnxruntime: on the GPU where it can, on the CPU otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.options import OnnxOptions
from engine.images.rewards.protocol import Reward, RewardContext
from engine.onnx_runtime import open_session

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_PROVIDERS = {"CUDAExecutionProvider": "GPU", "CPUExecutionProvider": "CPU"}
_EXPECTED = "It should have one input of floating-point numbers (B, 3, height, width)."


@dataclass(frozen=True)
class OnnxReward:
    """One number of an ONNX model's output for each picture.

    Attributes
    ----------
    shape
        ``(batch, height, width)`` of its input; ``None`` where any will do.
    provider
        Where it runs: ``GPU`` or ``CPU``.
    """

    session: Any
    path: Path
    options: OnnxOptions
    shape: tuple[int | None, int | None, int | None]
    provider: str
    name: str = "onnx"
    kind: Sort = field(default="value", init=False)

    @property
    def title(self) -> str:
        """The file, and where it runs."""
        return f"{self.path.name} ({self.provider})"

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        parts = x.split(self.shape[0] or len(x))
        return torch.cat([self._values(part) for part in parts])

    def _values(self, x: Tensor) -> Tensor:
        count, batch = len(x), self.shape[0] or len(x)
        pixels = self._prepared(x)
        if count < batch:  # a model of a fixed batch: fill it up
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], batch - count, axis=0)])
        entry = self.session.get_inputs()[0]
        try:
            returned = self.session.run(None, {entry.name: pixels.astype(_TYPES[entry.type])})[0]
        except Exception as error:  # the library's own exceptions have no common base
            raise EngineError(
                ErrorCode.INVALID_INPUT,
                f"The model {self.path.name} does not take pictures of {pixels.shape[3]} x "
                f"{pixels.shape[2]} pixels; the run stops there.",
                "Give the size that it was made for.",
                str(error),
            ) from error
        numbers = np.asarray(returned)
        if numbers.ndim == 0 or len(numbers) != batch:
            raise invalid_input(
                f"The model {self.path.name} returns numbers of shape {numbers.shape} for {batch} "
                "picture(s), not some for each; it cannot be a reward.",
                "Export it with the batch as the first dimension of its output.",
            )
        flat = numbers.reshape(batch, -1)
        if self.options.output >= flat.shape[1]:
            raise invalid_input(
                f"The model {self.path.name} returns {flat.shape[1]} number(s) for a picture, so there "
                f"is no number {self.options.output}.",
                f"Choose an output from 0 to {flat.shape[1] - 1}.",
            )
        return torch.from_numpy(flat[:count, self.options.output].astype(np.float64))

    def _prepared(self, x: Tensor) -> Any:
        height = self.shape[1] or self.options.size or x.shape[2]
        width = self.shape[2] or self.options.size or x.shape[3]
        if (height, width) != tuple(x.shape[2:]):
            x = F.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.options.mean, self.options.std))
        return ((x - mean) / std).numpy()


def onnx(options: OnnxOptions, context: RewardContext) -> Reward:
    """The reward in an ONNX file.

    Raises
    ------
    EngineError
        ``invalid_input`` when no file or a wrong size is given; ``bad_file`` when the file is not
        there, is no ONNX model, or takes something else than pictures.
    """
    if not options.file:
        raise invalid_input(
            "No file is given for the reward 'onnx'; nothing was started.", "Choose an .onnx file."
        )
    if 0 in options.std:
        raise invalid_input(
            "A deviation of 0 would divide pictures by nothing; nothing was started.",
            "Use 1 where the model expects no scaling.",
        )
    path = Path(options.file).expanduser().resolve()
    gpu = context.device.startswith("cuda")
    session = open_session(path, context.device if gpu else "cpu", torch.get_num_threads())
    shape = _input_shape(session, path)
    if options.size and any(side not in (None, options.size) for side in shape[1:]):
        raise invalid_input(
            f"The model {path.name} takes pictures of {shape[2]} x {shape[1]} pixels only, not of "
            f"{options.size}; nothing was started.",
            "Leave the size at 0.",
        )
    provider = _PROVIDERS.get(session.get_providers()[0], session.get_providers()[0])
    return OnnxReward(session, path, options, shape, provider)


def _input_shape(session: Any, path: Path) -> tuple[int | None, int | None, int | None]:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise bad_file(
            f"The model {path.name} has {len(inputs)} inputs ({names}), not one; nothing was started.",
            _EXPECTED,
        )
    entry = inputs[0]
    shape = list(entry.shape)
    if entry.type not in _TYPES or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise bad_file(
            f"The model {path.name} takes {entry.type} of shape {shape}, not pictures; nothing was "
            "started.",
            _EXPECTED,
        )
    sides = [side if isinstance(side, int) and side > 0 else None for side in shape]
    return sides[0], sides[2], sides[3]
