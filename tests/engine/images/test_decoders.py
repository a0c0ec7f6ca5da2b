"""States to pixels: whole, in tiles, by an installed VAE, or roughly without one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.artifacts import ArtifactStore
from engine.errors import EngineError, ErrorCode
from engine.images.dit import DiT, DiTConfig
from engine.images.generators import cache_key, images_that_fit, load_generator, picture_bytes
from engine.images.generators import decoders as module
from engine.images.generators.decoders import RoughDecoder, VaeDecoder
from engine.images.tiles import SMALLEST_TILE, decode_in_tiles
from engine.job import Event, Failed, JobSpec, Output, Warned
from engine.model_pipelines import read_vae
from engine.runner import run_job
from engine.weights import add_model, find_model, models_folder

tiny = pytest.importorskip("tests.engine.images.tiny_diffusers")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae") / "tiny-vae"
    tiny.tiny_vae(scaling_factor=0.3).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def decoder(vae_folder: Path) -> VaeDecoder:
    return VaeDecoder(read_vae(vae_folder), CPU, "tiny")


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 16), (33, 57), (70, 48)])
@pytest.mark.parametrize("tile", [16, 24])
def test_tiles_of_a_local_decoder_are_the_whole(height: int, width: int, tile: int) -> None:
    """A decoder that looks nowhere but at its own position gives no seams at all."""
    sizes = []

    def enlarge(latents: torch.Tensor) -> torch.Tensor:
        sizes.append(latents.shape[-2:])
        return latents[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3)

    latents = noise(1, 2, 4, height, width)
    tiled = decode_in_tiles(enlarge, latents, tile, 4)
    assert all(max(size) <= tile for size in sizes)
    torch.testing.assert_close(tiled, enlarge(latents), rtol=0, atol=1e-5)


def test_seams_fade(decoder: VaeDecoder) -> None:
    """A step between neighbouring tiles is spread over their overlap, not left at one line."""
    tones = iter([0.0, 1.0])

    def one_tone(latents: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 3, 8 * latents.shape[-2], 8 * latents.shape[-1]), next(tones))

    picture = decode_in_tiles(one_tone, noise(1, 1, 4, 16, 24), 16, 8)
    assert picture.min() == 0
    assert picture.max() == 1
    # 64 pixels overlap, and the middle half of them fades.
    assert picture.diff(dim=-1).abs().max() <= 1 / 32 + 1e-6
    assert picture.diff(dim=-2).abs().max() == 0


def test_a_vae_in_tiles_is_close_to_the_whole(decoder: VaeDecoder) -> None:
    """Tiles see other statistics to normalise with; the difference must stay small and smooth."""
    latents = noise(2, 1, 4, 48, 48)
    whole = decoder._plain(latents)
    difference = decode_in_tiles(decoder._plain, latents, 32, 8) - whole
    spread = float(whole.std())
    assert float(difference.abs().max()) <= 0.06 * spread
    # A seam is a jump of the difference from one column or row to the next. Fading over the whole
    # overlap, out to the tiles' edges, gives 0.04.
    for axis in (-1, -2):
        assert float(difference.diff(dim=axis).abs().max()) <= 0.025 * spread


def test_without_memory_for_the_whole_it_is_decoded_in_tiles(
    decoder: VaeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = noise(3, 2, 4, 40, 32)
    whole = decoder(latents)
    seen: list[int] = []
    plain = decoder._plain
    monkeypatch.setattr(
        decoder, "_plain", lambda part: seen.append(max(part.shape[-2:])) or plain(part)
    )
    monkeypatch.setattr(module, "memory_budget", lambda device: decoder.bytes_for(20, 20))
    tiled = decoder(latents)
    assert set(seen) == {20}
    assert tiled.shape == whole.shape == (2, 3, 320, 256)
    assert (tiled - whole).std() <= 0.15 * whole.std()


def test_running_out_of_memory_leads_to_smaller_tiles(
    decoder: VaeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, sizes = decoder._plain, []

    def small_only(part: torch.Tensor) -> torch.Tensor:
        sizes.append(max(part.shape[-2:]))
        if sizes[-1] > 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(part)

    monkeypatch.setattr(decoder, "_plain", small_only)
    assert decoder(noise(4, 1, 4, 48, 48)).shape == (1, 3, 384, 384)
    assert [*dict.fromkeys(sizes)] == [48, 24, 16]
    monkeypatch.setattr(decoder, "_plain", lambda part: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        decoder(noise(4, 1, 4, SMALLEST_TILE, SMALLEST_TILE))


# --- an autoencoder alone -------------------------------------------------------------------------


def test_states_are_scaled_as_the_vae_says(vae_folder: Path, decoder: VaeDecoder) -> None:
    latents = noise(5, 1, 4, 8, 8)
    with torch.no_grad():
        expected = tiny.tiny_vae(scaling_factor=0.3).decode(latents / 0.3).sample
    torch.testing.assert_close(decoder(latents.double()), expected, rtol=0, atol=1e-5)
    shifted = {"shift_factor": 0.5, "latents_mean": [1.0] * 4, "latents_std": [2.0] * 4}
    scale, shift = module._normalisation({"scaling_factor": 0.5, **shifted}, 4, "x")
    assert scale.unique().item() == 4
    assert shift.unique().item() == 1.5
    with pytest.raises(EngineError, match="names 3 means"):
        module._normalisation({"latents_mean": [0] * 3, "latents_std": [1] * 3}, 4, "x")


def test_weights_that_do_not_fit_are_named(vae_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    tiny.tiny_vae(layers_per_block=2).save_pretrained(str(other))
    (other / "config.json").write_bytes((vae_folder / "config.json").read_bytes())
    with pytest.raises(EngineError, match="unexpected: decoder") as caught:
        VaeDecoder(read_vae(other), CPU, "other")
    assert caught.value.code is ErrorCode.BAD_FILE


# --- latent DiT files -----------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No models but those of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return models_folder()


def write_dit(path: Path, channels: int = 4) -> Path:
    model = DiT(DiTConfig(8, 2, channels, 384, 1, 6, num_classes=5, learn_sigma=True))
    stream = torch.Generator().manual_seed(7)
    state = model.state_dict()
    for name, value in state.items():
        if name != "pos_embed":
            state[name] = torch.randn(value.shape, generator=stream) * 0.02
    save_file(state, path)
    return path


class Run:
    """A finished job: its events and its one picture."""

    def __init__(self, folder: Path, **params: Any) -> None:
        self.events: list[Event] = []
        spec = JobSpec("images.generate", {"steps": 3, **params}, seed=3, device="cpu")
        store = ArtifactStore(folder)
        run_job(spec, "job", store, self.events.append, lambda: False)
        outputs = [event for event in self.events if isinstance(event, Output)]
        self.pictures = [Image.open(io.BytesIO(store.read(item.artifact))) for item in outputs]

    @property
    def warnings(self) -> str:
        return " ".join(event.message for event in self.events if isinstance(event, Warned))


def test_without_a_vae_latents_are_shown_roughly(models: Path, tmp_path: Path) -> None:
    add_model(write_dit(tmp_path / "latent.safetensors"))
    run = Run(tmp_path / "out", model="latent", class_name="4")
    assert [picture.size for picture in run.pictures] == [(64, 64)]
    assert "rough colours" in run.warnings


def test_an_installed_vae_decodes(models: Path, tmp_path: Path, vae_folder: Path) -> None:
    source = write_dit(tmp_path / "latent.safetensors")
    rough = Run(tmp_path / "a", model=add_model(source, "rough").name).pictures[0]
    add_model(vae_folder)
    info = find_model("rough")
    assert info.vae == "tiny-vae"
    run = Run(tmp_path / "b", model="rough")
    assert not run.warnings
    assert run.pictures[0].size == rough.size
    assert (np.asarray(run.pictures[0]) != np.asarray(rough)).any()
    generator = load_generator(info, "cpu")
    assert isinstance(generator.decoder, VaeDecoder)
    # Another VAE of the same name makes another picture, so the loaded model is not used again.
    key = cache_key(info, "cpu")
    config = models / "tiny-vae" / "config.json"
    config.write_text(config.read_text().replace("0.3", "0.4"))
    assert cache_key(info, "cpu") != key


def test_a_vae_that_is_gone_is_named(models: Path, tmp_path: Path, vae_folder: Path) -> None:
    import shutil

    add_model(vae_folder)
    add_model(write_dit(tmp_path / "latent.safetensors"))
    shutil.rmtree(models / "tiny-vae")
    run = Run(tmp_path / "out", model="latent")
    failed = run.events[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.MISSING_WEIGHTS
    assert "tiny-vae" in failed.error.message


def test_latents_that_nothing_decodes_are_refused(models: Path, tmp_path: Path) -> None:
    info = add_model(write_dit(tmp_path / "wide.safetensors", channels=16))
    with pytest.raises(EngineError, match="16 channels") as caught:
        load_generator(info, "cpu")
    assert "VAE" in caught.value.hint


def test_a_vae_makes_no_pictures(models: Path, vae_folder: Path) -> None:
    with pytest.raises(EngineError, match="does not make pictures"):
        load_generator(add_model(vae_folder), "cpu")


def test_rough_colours_follow_the_latents() -> None:
    bright = RoughDecoder()(
        torch.full((1, 4, 2, 2), 1.0) * torch.tensor([2.0, 2, 0, 0]).view(1, 4, 1, 1)
    )
    assert bright.shape == (1, 3, 16, 16)
    assert bright.min() > 0.5


def test_larger_pictures_count_for_more_memory(models: Path, tmp_path: Path) -> None:
    generator = load_generator(add_model(write_dit(tmp_path / "latent.safetensors")), "cpu")
    own = picture_bytes(generator, (4, 8, 8))
    assert own == max(generator.bytes_per_evaluation, generator.bytes_per_decode)
    assert picture_bytes(generator, (4, 16, 16)) == 4 * own
    assert images_that_fit(generator, 8 * own, 100) == 8
    assert images_that_fit(generator, 8 * own, 100, (4, 16, 16)) == 2
    assert images_that_fit(generator, 0, 100) == 1
