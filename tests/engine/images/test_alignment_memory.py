"""Memory of an alignment step: constant in the number of sampling steps."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_sampling import Recipe, StepByStep
from engine.images.generators import LatentGenerator
from engine.images.params import DdpmParams
from engine.images.rewards.protocol import from_decoded
from engine.weights import find_model

pytestmark = pytest.mark.usefixtures("tiny_model", "single_thread")


class Kept:
    """Counts the bytes that autograd keeps for the way back, each storage once."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._counts: dict[int, int] = {}

    def pack(self, tensor: Tensor) -> Any:
        return _Held(self, tensor)

    def add(self, key: int, size: int) -> None:
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] == 1:
            self.now += size
            self.peak = max(self.peak, self.now)

    def drop(self, key: int, size: int) -> None:
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
            self.now -= size


class _Held:
    def __init__(self, kept: Kept, tensor: Tensor) -> None:
        self._kept, self.tensor = kept, tensor
        storage = tensor.untyped_storage()
        self._about = (storage.data_ptr(), storage.nbytes())
        kept.add(*self._about)

    def __del__(self) -> None:
        self._kept.drop(*self._about)


def peak_and_gradient(steps: int, *, keep: bool) -> tuple[int, Tensor]:
    """Most bytes kept at once in one forward and backward pass, and the gradient."""
    generator = LatentGenerator(find_model("tiny"), "cpu")
    condition = generator.condition("red heart", None)
    grid = generator.grid(steps, "model")
    shape = generator.latent_shape(None, None)
    recipe = Recipe(
        generator.denoiser(condition, 2.5).with_gradient,
        lambda states: from_decoded(generator.decode_with_gradient(states)),
        grid,
        DdpmParams(),
        torch.empty(0, dtype=torch.float64),
    )
    noise = PictureNoise.of_seed(0, shape, steps, with_steps=True)
    active = ActiveNoise.choose(steps, True, None)
    pictures = StepByStep(recipe, noise, active, keep_activations=keep)
    z = active.take(noise).requires_grad_()
    gc.collect()
    kept = Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda held: held.tensor):
        value = pictures(z).square().mean()
        (gradient,) = torch.autograd.grad(value, z)
    return kept.peak, gradient


def test_memory_is_constant_in_the_steps_and_gradients_the_same(tiny_model: Path) -> None:
    few, _ = peak_and_gradient(10, keep=False)
    many, again = peak_and_gradient(50, keep=False)
    everything, kept = peak_and_gradient(50, keep=True)
    assert many <= 0.35 * everything
    assert many <= 1.5 * few
    torch.testing.assert_close(again, kept, rtol=1e-5, atol=1e-7 * float(kept.abs().max()))
