"""Gradients through every kind of generator, and alignment of a picture of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.artifacts import ArtifactStore
from engine.errors import EngineError
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_sampling import Recipe, StepByStep
from engine.images.generators import Generator, load_generator
from engine.images.params import DdimParams
from engine.images.rewards.protocol import from_decoded
from engine.job import Finished, JobSpec, Output
from engine.runner import run_job
from engine.weights import ModelInfo, add_model
from tests.engine.images.test_decoders import write_dit as write_dit_file

tiny = pytest.importorskip("tests.engine.images.tiny_diffusers")
pytestmark = pytest.mark.usefixtures("single_thread")

STEPS = 4
KINDS: dict[str, tuple[Callable[[Path], Any], str | None]] = {
    "sd": (tiny.write_stable_diffusion, None),
    "xl": (tiny.write_stable_diffusion_xl, None),
    "dit": (tiny.write_dit, None),
    "latent": (write_dit_file, "4"),
    "pixel": (lambda path: write_dit_file(path, channels=3), "4"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelInfo, str | None]:
    """A tiny model of a kind, in the tests' models folder, and a class of it."""
    write, class_name = KINDS[request.param]
    name = f"align-{request.param}"
    path = tmp_path_factory.mktemp("models") / name
    if class_name is not None:
        path = path.with_suffix(".safetensors")
    write(path)
    return add_model(path), class_name


def gradient_and_slope(generator: Generator, class_name: str | None) -> tuple[float, float, float]:
    """The gradient along a direction, the same by differences, and the gradient's norm."""
    condition = generator.condition("" if class_name else "a red cat", class_name)
    shape = generator.latent_shape(None, None)
    recipe = Recipe(
        generator.denoiser(condition, 2.0).with_gradient,
        lambda states: from_decoded(generator.decode_with_gradient(states)),
        generator.grid(STEPS, "model"),
        DdimParams(eta=1.0),
        torch.empty(0, dtype=torch.float64),
    )
    noise = PictureNoise.of_seed(0, shape, STEPS, with_steps=True)
    active = ActiveNoise.choose(STEPS, True, None)
    pictures = StepByStep(recipe, noise, active)
    z = active.take(noise).double().requires_grad_()

    def value(z: torch.Tensor) -> torch.Tensor:
        return pictures(z).double().square().sum()

    (gradient,) = torch.autograd.grad(value(z), z)
    direction = gradient / gradient.norm()
    h = 3e-3
    with torch.no_grad():
        slope = float(value(z + h * direction) - value(z - h * direction)) / (2 * h)
    return float((gradient * direction).sum()), slope, float(gradient.norm())


def test_gradients_go_through(installed: tuple[ModelInfo, str | None]) -> None:
    info, class_name = installed
    generator = load_generator(info, "cpu")
    along, slope, norm = gradient_and_slope(generator, class_name)
    assert norm > 0
    assert along == pytest.approx(slope, rel=0.02)
    networks = [
        module
        for name in ("model", "unet", "decoder")
        for module in (getattr(generator, name, None),)
        if isinstance(module, torch.nn.Module)
    ]
    assert all(not p.requires_grad and p.grad is None for n in networks for p in n.parameters())


def test_a_picture_is_aligned(installed: tuple[ModelInfo, str | None], tmp_path: Path) -> None:
    info, class_name = installed
    events: list[Any] = []
    params = {
        "picture": {
            "model": info.name,
            "steps": STEPS,
            "class_name": class_name,
            "prompt": "" if class_name else "a red cat",
        },
        "rewards": [{"name": "brightness", "options": {"ceiling": False}}],
        "steps": 3,
        "check_density": False,
    }
    spec = JobSpec("images.align", params, seed=1, device="cpu")
    run_job(spec, "job", ArtifactStore(tmp_path), events.append, lambda: False)
    assert isinstance(events[-1], Finished), events[-1]
    (output,) = [event for event in events if isinstance(event, Output)]
    total = output.manifest["align"]["total"]
    assert total["after"] > total["before"]


def test_pictures_are_encoded_where_a_model_can(installed: tuple[ModelInfo, str | None]) -> None:
    info, _ = installed
    generator = load_generator(info, "cpu")
    picture = torch.rand(1, 3, 8, 8) * 2 - 1
    if info.name == "align-pixel":
        assert torch.equal(generator.encode(picture), picture)
    else:
        with pytest.raises(EngineError, match="has no encoder here"):
            generator.encode(picture)
