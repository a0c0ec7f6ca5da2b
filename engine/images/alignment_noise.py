"""The noise of one picture, and which of it alignment may change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.generators import initial_noise


@dataclass(frozen=True)
class PictureNoise:
    """All noise of one sampling run of T steps.

    Attributes
    ----------
    pure
        ``(C, h, w)`` x_T.
    steps
        ``(T, C, h, w)``, row ``t`` the noise of step ``t``; ``(0, C, h, w)`` of a run without any.
    """

    pure: Tensor
    steps: Tensor

    @classmethod
    def of_seed(
        cls, seed: int, shape: tuple[int, int, int], steps: int, with_steps: bool
    ) -> PictureNoise:
        """The noise that generation gives this seed, float32 on the CPU."""
        pure, each = initial_noise([seed], shape, steps, with_steps)
        return cls(pure[0], each[:, 0])


@dataclass(frozen=True)
class ActiveNoise:
    """Which noise may change, as one tensor ``z (R, C, h, w)``.

    Attributes
    ----------
    count
        T, the steps of the run.
    rows
        What the rows of ``z`` are: ``t`` in 1..T-1 is the noise of step ``t``, T is x_T; increasing.
        Step 0 adds no noise. Left out, nothing that the regulariser sees is without effect.
    """

    count: int
    rows: tuple[int, ...]

    @classmethod
    def choose(cls, count: int, noisy: bool, last_steps: int | None) -> ActiveNoise:
        """All of it, or that of the last steps only.

        Parameters
        ----------
        count
            T.
        noisy
            Whether the steps add noise; otherwise x_T is all there is.
        last_steps
            Only the noise of so many last steps; ``None``, or all steps: x_T as well.

        Raises
        ------
        EngineError
            ``invalid_input`` when nothing would be left to change.
        """
        whole = last_steps is None or last_steps >= count
        if not noisy:
            if not whole:
                raise invalid_input(
                    f"Without noise in its steps the picture depends on its first noise alone, so its "
                    f"last {last_steps} steps cannot be aligned by themselves; nothing was started.",
                    "Leave 'Last steps only' empty, or use Eta 1.",
                )
            return cls(count, (count,))
        end = count if whole or last_steps is None else last_steps
        rows = (*range(1, end), *((count,) if whole else ()))
        if not rows:
            raise invalid_input(
                "The last step adds no noise, so it cannot be aligned by itself; nothing was started.",
                "Set 'Last steps only' to 2 or more.",
            )
        return cls(count, rows)

    @property
    def first_step(self) -> int:
        """The noisiest step that the active noise takes part in; those before never change."""
        return min(self.rows[-1], self.count - 1)

    def take(self, noise: PictureNoise) -> Tensor:
        """``z`` of a picture."""
        return torch.stack([noise.pure if t == self.count else noise.steps[t] for t in self.rows])

    def put(self, noise: PictureNoise, z: Tensor) -> PictureNoise:
        """The picture's noise with ``z`` in it, on the CPU in the dtype it had."""
        pure, steps = noise.pure, noise.steps.clone()
        for row, t in zip(z.detach().to(noise.pure), self.rows, strict=True):
            if t == self.count:
                pure = row
            else:
                steps[t] = row
        return PictureNoise(pure, steps)
