"""Our generators on diffusers folders against the library's pipelines: same noise, same pictures."""

from __future__ import annotations

import copy
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.artifacts import ArtifactStore
from engine.errors import EngineError, ErrorCode
from engine.images.generators import Generator, initial_noise, load_generator
from engine.images.params import DdimParams
from engine.images.samplers import ddim
from engine.job import Event, Failed, JobSpec, Output, Warned
from engine.runner import run_job
from engine.weights import add_model, inspect_model, models_folder, read_safetensors

tiny = pytest.importorskip("tests.engine.images.tiny_diffusers")

STEPS = 8
"""Divides 1000: else diffusers' DDIM steps to another time than the one it visits next."""
PROMPT, NEGATIVE = "a photo of a red cat", "blue dog, house"
TOLERANCE = 1e-4
Write = Callable[[Path], Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipelines")


@pytest.fixture(scope="module")
def sd(folders: Path) -> tuple[Any, Generator]:
    return both(tiny.write_stable_diffusion, folders / "sd")


@pytest.fixture(scope="module")
def sd_v(folders: Path) -> tuple[Any, Generator]:
    def write(folder: Path) -> Any:
        settings = {"timestep_spacing": "trailing", "beta_schedule": "linear"}
        return tiny.write_stable_diffusion(folder, prediction_type="v_prediction", **settings)

    return both(write, folders / "sd-v")


@pytest.fixture(scope="module")
def sd_zero(folders: Path) -> tuple[Any, Generator]:
    def write(folder: Path) -> Any:
        return tiny.write_stable_diffusion(
            folder,
            prediction_type="v_prediction",
            timestep_spacing="trailing",
            rescale_betas_zero_snr=True,
        )

    return both(write, folders / "sd-zero")


@pytest.fixture(scope="module")
def xl(folders: Path) -> tuple[Any, Generator]:
    return both(tiny.write_stable_diffusion_xl, folders / "xl")


@pytest.fixture(scope="module")
def dit(folders: Path) -> tuple[Any, Generator]:
    return both(tiny.write_dit, folders / "dit")


def both(write: Write, folder: Path) -> tuple[Any, Generator]:
    """The library's pipeline and our generator of one folder."""
    pipeline = write(folder)
    return pipeline, load_generator(inspect_model(folder), "cpu")


def ours(
    generator: Generator, noise: torch.Tensor, guidance: float, *condition: Any, steps: int = STEPS
) -> torch.Tensor:
    """Clean states by our DDIM in the model's own convention."""
    denoiser = generator.denoiser(generator.condition(*condition), guidance)
    grid = generator.grid(steps, "model")
    return ddim(denoiser, noise.double(), grid, (), DdimParams(), lambda *_: None)


def theirs(pipeline: Any, noise: torch.Tensor, guidance: float, kind: str, **more: Any) -> torch.Tensor:
    return pipeline(
        latents=noise, guidance_scale=guidance, num_inference_steps=STEPS, output_type=kind, **more
    ).images


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.double() - b.double()).abs().max().item()


# --- the library's pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("which", ["sd", "sd_v", "sd_zero", "xl"])
@pytest.mark.parametrize(("guidance", "negative"), [(5.0, ""), (5.0, NEGATIVE), (1.0, "")])
def test_text_models_make_the_librarys_pictures(
    request: pytest.FixtureRequest, which: str, guidance: float, negative: str
) -> None:
    pipeline, generator = request.getfixturevalue(which)
    shape = generator.latent_shape(None, None)
    noise, _ = initial_noise([1, 2], shape, STEPS, with_steps=False)
    words = {"prompt": [PROMPT] * 2, "height": 64, "width": 64}
    words["negative_prompt"] = [negative] * 2 if negative else None
    latents = ours(generator, noise, guidance, PROMPT, None, negative)
    assert worst(latents, theirs(pipeline, noise, guidance, "latent", **words)) <= TOLERANCE
    pixels = (generator.decode(latents).clamp(-1, 1) + 1) / 2
    expected = theirs(pipeline, noise, guidance, "pt", **words)
    assert expected.std() > 0.05, "a picture that is all one colour tests nothing"
    assert 2 * worst(pixels, expected) <= TOLERANCE


def test_a_tall_picture_is_the_librarys_too(xl: tuple[Any, Generator]) -> None:
    pipeline, generator = xl
    shape = generator.latent_shape(64, 88)
    assert shape == (4, 11, 8)
    noise, _ = initial_noise([3], shape, STEPS, with_steps=False)
    size = {"height": 88, "width": 64, "original_size": (88, 64), "target_size": (88, 64)}
    expected = theirs(pipeline, noise, 4.0, "latent", prompt=PROMPT, **size)
    assert worst(ours(generator, noise, 4.0, PROMPT, None), expected) <= TOLERANCE


def test_dit_makes_the_librarys_pictures(
    dit: tuple[Any, Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, generator = dit
    noise, _ = initial_noise([1], generator.latent_shape(None, None), STEPS, with_steps=False)
    monkeypatch.setattr("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda **_: noise.clone())
    expected = pipeline(
        class_labels=[1], guidance_scale=4.0, num_inference_steps=STEPS, output_type="np"
    ).images
    latents = ours(generator, noise, 4.0, "", "tench, Tinca tinca")
    pixels = (generator.decode(latents).clamp(-1, 1) + 1) / 2
    assert expected.std() > 0.05
    assert 2 * worst(pixels.permute(0, 2, 3, 1), torch.from_numpy(expected)) <= TOLERANCE


def test_the_whole_job_makes_the_librarys_picture(folders: Path, sd: tuple[Any, Generator]) -> None:
    pipeline, generator = sd
    info = add_model(folders / "sd", "tiny-sd")
    params = {"model": info.name, "prompt": PROMPT, "negative_prompt": NEGATIVE}
    run = Run(folders / "store", **params, guidance=5.0, width=72, height=64)
    assert not [event for event in run.events if isinstance(event, Failed | Warned)]
    (picture,) = run.pictures
    assert picture.shape == (64, 72, 3)
    assert run.outputs[0].manifest["negative_prompt"] == NEGATIVE
    noise, _ = initial_noise([9], generator.latent_shape(72, 64), STEPS, with_steps=False)
    words = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "height": 64, "width": 72}
    expected = 255 * theirs(pipeline, noise, 5.0, "np", **words)[0]
    # Rounding to 8 bits may fall to either side.
    assert np.abs(picture - expected).max() <= 0.51


class Run:
    """A job on an installed model, with its pictures and what it said."""

    def __init__(self, folder: Path, **params: Any) -> None:
        self.events: list[Event] = []
        store = ArtifactStore(folder)
        spec = JobSpec("images.generate", {"steps": STEPS, **params}, seed=9, device="cpu")
        run_job(spec, "job", store, self.events.append, lambda: False)
        self.outputs = [event for event in self.events if isinstance(event, Output)]
        self.pictures = [
            np.asarray(Image.open(io.BytesIO(store.read(item.artifact)))) for item in self.outputs
        ]


@pytest.mark.parametrize(
    ("which", "params"),
    [
        ("sd_v", {"prompt": PROMPT, "negative_prompt": NEGATIVE}),
        ("xl", {"prompt": PROMPT, "width": 72, "height": 64}),
        ("dit", {"class_name": "crane (0)"}),
    ],
)
def test_parallel_sampling_makes_the_same_pictures(
    request: pytest.FixtureRequest, folders: Path, tmp_path: Path, which: str, params: dict[str, Any]
) -> None:
    request.getfixturevalue(which)
    name = which.replace("_", "-")
    add_model(folders / name, f"parallel-{name}", in_place=True)
    params = {**params, "model": f"parallel-{name}", "guidance": 3.0, "count": 2}
    parallel = {"name": "parataa", "tolerance": 1e-4}
    runs = [Run(tmp_path / s["name"], **params, sampler=s) for s in ({"name": "ddim"}, parallel)]
    for run in runs:
        assert len(run.pictures) == 2, run.events[-1]
    for one, other in zip(*(run.pictures for run in runs), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


# --- what the protocol promises -------------------------------------------------------------------


@pytest.mark.parametrize("which", ["sd", "sd_v", "xl", "dit"])
def test_rows_with_their_own_time_steps_do_not_mix(request: pytest.FixtureRequest, which: str) -> None:
    _, generator = request.getfixturevalue(which)
    texts = ("", "crane (0)") if which == "dit" else (PROMPT, None)
    x, _ = initial_noise([1, 2, 3], generator.latent_shape(None, None), 1, with_steps=False)
    t = torch.tensor([3.0, 421.5, 998.0], dtype=torch.float64)
    denoiser = generator.denoiser(generator.condition(*texts), 3.0)
    together = denoiser(x.double(), t)
    assert together.dtype == torch.float64
    alone = torch.cat([denoiser(x[i : i + 1].double(), t[i : i + 1]) for i in range(3)])
    assert worst(together, alone) <= 1e-5
    assert denoiser.evaluations == 12
    half = denoiser(x.bfloat16(), t.bfloat16())
    assert half.dtype == torch.bfloat16


def test_a_long_prompt_is_read_in_windows(sd: tuple[Any, Generator]) -> None:
    _, generator = sd
    short = generator.condition("red cat", None)
    words = " ".join(["red", "blue", "cat", "dog"] * 30)
    long = generator.condition(words, None, "house")
    assert short.notes == ()
    assert any("2 parts" in note for note in long.notes)
    assert long.positive.shape == long.negative.shape == (1, 2 * 77, 16)
    # The first window is what the library would have kept.
    first = generator.condition(" ".join(words.split()[:75]), None)
    torch.testing.assert_close(long.positive[:, :77], first.positive, rtol=0, atol=1e-5)
    # What comes after the first window matters.
    other = generator.condition(f"{words} house", None)
    x, _ = initial_noise([1], generator.latent_shape(None, None), 1, with_steps=False)
    t = torch.tensor([500.0])
    noises = [generator.denoiser(item, 3.0)(x, t) for item in (long, other)]
    assert worst(*noises) > 1e-6


def test_the_negative_prompt_matters(sd: tuple[Any, Generator]) -> None:
    _, generator = sd
    x, _ = initial_noise([1], generator.latent_shape(None, None), 1, with_steps=False)
    t = torch.tensor([500.0])
    conditions = [generator.condition(PROMPT, None, text) for text in ("", NEGATIVE)]
    assert worst(*[generator.denoiser(item, 3.0)(x, t) for item in conditions]) > 1e-6
    # Without guidance the negative prompt is not looked at.
    assert worst(*[generator.denoiser(item, 1.0)(x, t) for item in conditions]) == 0


def test_sizes_and_classes_are_checked(sd: tuple[Any, Generator], dit: tuple[Any, Generator]) -> None:
    with pytest.raises(EngineError, match="multiples of 8"):
        sd[1].latent_shape(100, None)
    with pytest.raises(EngineError, match="has no classes"):
        sd[1].condition("cat", "cat")
    with pytest.raises(EngineError, match="64 x 64 pixels only"):
        dit[1].latent_shape(128, 64)
    with pytest.raises(EngineError, match="no class 'crane'"):
        dit[1].condition("", "crane")
    notes = dit[1].condition("a cat", None, "a dog").notes
    assert len(notes) == 2


def test_too_many_steps_for_a_shifted_grid_are_refused(sd: tuple[Any, Generator]) -> None:
    assert len(sd[1].grid(999, "model")) == 999
    with pytest.raises(EngineError, match="do not fit into the model's 1000 noise levels"):
        sd[1].grid(1000, "model")
    with pytest.raises(EngineError, match="between 1 and 1000"):
        sd[1].grid(1001, "model")


# --- folders as they are published ----------------------------------------------------------------


def rewrite(path: Path, change: Callable[[str], str], **more: torch.Tensor) -> None:
    tensors = {change(name): value for name, value in read_safetensors(path).items()}
    save_file({**tensors, **more}, path, metadata={"format": "pt"})


def one_prediction(generator: Generator) -> torch.Tensor:
    x, _ = initial_noise([1], generator.latent_shape(None, None), 1, with_steps=False)
    condition = generator.condition(PROMPT, None, NEGATIVE)
    return generator.denoiser(condition, 3.0)(x, torch.tensor([500.0]))


def test_names_of_older_libraries_are_understood(
    folders: Path, sd: tuple[Any, Generator], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders / "sd", tmp_path / "old")
    rewrite(
        folder / "text_encoder" / "model.safetensors",
        lambda name: f"text_model.{name.removeprefix('text_model.')}",
        **{"text_model.embeddings.position_ids": torch.arange(77)[None]},
    )
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def older(name: str) -> str:
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.")
        return name

    rewrite(folder / "vae" / "diffusion_pytorch_model.safetensors", older)
    generator = load_generator(inspect_model(folder), "cpu")
    assert worst(one_prediction(generator), one_prediction(sd[1])) <= 1e-6
    latents, _ = initial_noise([1], (4, 8, 8), 1, with_steps=False)
    assert worst(generator.decode(latents), sd[1].decode(latents)) <= 1e-6


def test_half_precision_variants_and_shards_are_loaded(
    folders: Path, sd: tuple[Any, Generator], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders / "sd", tmp_path / "half")
    for part in ("unet", "text_encoder", "vae"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        network = copy.deepcopy(getattr(sd[0], part)).half()
        size = "300KB" if part == "unet" else "5GB"
        network.save_pretrained(str(folder / part), variant="fp16", max_shard_size=size)
    assert len(list((folder / "unet").glob("*-of-*"))) > 1
    info = inspect_model(folder)
    assert info.parameters == inspect_model(folders / "sd").parameters
    generator = load_generator(info, "cpu")
    assert one_prediction(generator).dtype == torch.float32
    difference = worst(one_prediction(generator), one_prediction(sd[1]))
    assert 0 < difference <= 5e-3


def test_loading_asks_nobody(
    folders: Path, sd: object, xl: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def online(*_: object) -> None:
        pytest.fail("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", online)
    monkeypatch.setattr("socket.getaddrinfo", online)
    for name in ("sd", "xl"):
        load_generator(inspect_model(folders / name), "cpu")
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_libraries_wait_until_a_model_needs_them(repository: Path) -> None:
    code = (
        "import sys, engine.images.jobs; "
        "sys.exit(bool({'diffusers', 'transformers', 'huggingface_hub'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)


# --- what is refused ------------------------------------------------------------------------------


def test_a_missing_extra_is_named(folders: Path, sd: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.extras.importlib.util.find_spec", lambda name: None)
    info = inspect_model(folders / "sd")
    assert info.needs == ("diffusers",)
    with pytest.raises(EngineError) as caught:
        load_generator(info, "cpu")
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS
    assert "pip install" in caught.value.hint
    assert "diffusers>=" in caught.value.hint


def test_weights_of_another_model_are_named(folders: Path, sd: object, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "sd", tmp_path / "mixed")
    other = tiny.tiny_unet(16, 3, layers_per_block=2)
    other.save_pretrained(str(folder / "unet"))
    (folder / "unet" / "config.json").write_bytes(
        (folders / "sd" / "unet" / "config.json").read_bytes()
    )
    with pytest.raises(EngineError) as caught:
        load_generator(inspect_model(folder), "cpu")
    assert caught.value.code is ErrorCode.BAD_FILE
    assert "'unet'" in caught.value.message


def test_models_folder_is_the_tests_own() -> None:
    assert "pytest" in str(models_folder())
