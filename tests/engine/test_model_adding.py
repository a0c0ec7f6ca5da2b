"""Adding models of other programs: copied, converted or left in place; told, cancelled, removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine import model_folders, model_inspection, weights_conversion
from engine.errors import EngineError, ErrorCode, cancelled
from engine.model_recognition import DIT_SIZES, official_dit_keys, read_dit
from engine.weights import (
    add_model,
    find_model,
    inspect_model,
    list_broken,
    list_models,
    models_folder,
    remove_model,
    verify_model,
)
from tests.engine.fake_folders import ten, weights_name, write_part, write_pipeline


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No models but those of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (model_folders, model_inspection):
        monkeypatch.setattr(module, "BUILTIN_FOLDER", tmp_path / "builtin")
    return tmp_path


def error_of(function: Any, *arguments: Any, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        function(*arguments, **options)
    return caught.value


def write_dit(path: Path, channels: int = 3, width: int = 384, depth: int = 1) -> Path:
    """A DiT file whose tensors have the right names, and the right shapes where they are read."""
    shapes = {
        "x_embedder.proj.weight": (width, channels, 2, 2),
        "pos_embed": (1, 16, width),
        "y_embedder.embedding_table.weight": (11, width),
    }
    keys = sorted(official_dit_keys(depth))
    save_file({key: np.zeros(shapes.get(key, (2,)), np.float16) for key in keys}, path)
    return path


def write_hollow_dit(path: Path, size: tuple[int, int], patch: int, channels: int, sigma: bool) -> Path:
    """A DiT of full size whose numbers are a hole in the file: it takes no room on the disk."""
    width, depth = size
    out = patch * patch * channels * (2 if sigma else 1)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(official_dit_keys(depth), (width, width))
    shapes |= {
        "x_embedder.proj.weight": (width, channels, patch, patch),
        "pos_embed": (1, (32 // patch) ** 2, width),
        "y_embedder.embedding_table.weight": (1001, width),
        "final_layer.linear.weight": (out, width),
    }
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return path


# --- what files are -------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize("size", DIT_SIZES)
def test_all_published_sizes_are_recognised(home: Path, size: tuple[int, int], patch: int) -> None:
    for channels, sigma in ((4, True), (3, False)):
        path = write_hollow_dit(home / "some.safetensors", size, patch, channels, sigma)
        dit = read_dit(path)
        pixels = "256 px, latent" if channels == 4 else "32 px, pixels"
        assert dit.architecture == f"DiT-{DIT_SIZES[size]}/{patch}, {pixels}"
        assert (dit.patch, dit.channels, dit.classes) == (patch, channels, 1000)
        path.unlink()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["blocks.0.attn_rate.router.weight", "pos_embed"], "is not a DiT checkpoint"),
        (["control_model.input_blocks.0.weight"], "ControlNet"),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.weight"], "ControlNet"),
        (["lora_unet_down_blocks_0.lora_down.weight"], "LoRA"),
        (["unet.down_blocks.0.attn.to_q.lora_A.weight"], "LoRA"),
        (["model.diffusion_model.joint_blocks.0.weight"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.weight"], "Flux"),
        (["model.diffusion_model.input_blocks.0.weight", "cond_stage_model.a"], "single file"),
        (["encoder.down_blocks.0.weight", "decoder.conv_in.weight"], "VAE"),
        (["down_blocks.0.resnets.0.weight"], "one part of a model"),
    ],
)
def test_files_of_other_architectures_say_what_they_are(home: Path, keys: list[str], said: str) -> None:
    path = home / "other.safetensors"
    save_file({key: np.zeros(1, np.float32) for key in keys}, path)
    for function in (inspect_model, add_model):
        error = error_of(function, path)
        assert error.code is ErrorCode.BAD_FILE
        assert said in error.message
        assert error.hint
    assert list(models_folder().iterdir()) == []


def test_a_pickle_is_not_inspected(home: Path) -> None:
    (home / "DiT-XL-2-256x256.pt").write_bytes(b"\x80")
    error = error_of(inspect_model, home / "DiT-XL-2-256x256.pt")
    assert "models add" in error.hint


def test_a_single_file_of_stable_diffusion_is_converted_only_to_be_recognised(home: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(2)}
    torch.save({"state_dict": state}, home / "v1-5-pruned.ckpt")
    error = error_of(add_model, home / "v1-5-pruned.ckpt")
    assert "single file" in error.message
    assert "folder" in error.hint
    assert list(models_folder().iterdir()) == []


# --- folders --------------------------------------------------------------------------------------


def test_a_pipeline_is_copied_without_what_is_not_used(home: Path) -> None:
    source = write_pipeline(home / "sd", "StableDiffusionPipeline")
    write_part(source / "safety_checker")
    (source / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not read")
    (source / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n# My SD\n")
    added = add_model(source, "mine")
    assert (added.title, added.licence) == ("My SD", "creativeml-openrail-m")
    assert added.sha256 == inspect_model(source).sha256
    installed = {str(file.relative_to(added.path)) for file in added.path.rglob("*") if file.is_file()}
    assert "unet/diffusion_pytorch_model.safetensors" in installed
    assert not [name for name in installed if name.endswith(".bin") or "safety" in name]
    shutil.rmtree(source)
    assert verify_model("mine") == added
    broken = added.path / "scheduler" / "scheduler_config.json"
    broken.write_text(broken.read_text() + " ")
    assert "scheduler/scheduler_config.json" in error_of(verify_model, "mine").message


def test_the_licence_can_be_given(home: Path) -> None:
    assert add_model(write_part(home / "vae"), licence="MIT").licence == "MIT"


def test_pickles_in_a_folder_are_converted(home: Path) -> None:
    torch = pytest.importorskip("torch")
    source = write_pipeline(home / "sd", "StableDiffusionPipeline")
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    for kind in ("unet", "text_encoder"):
        (source / kind / weights_name(kind)).unlink()
    torch.save({"weight": torch.arange(10.0)}, source / "unet" / "diffusion_pytorch_model.fp16.bin")
    for key, shard in zip("ab", shards, strict=True):
        torch.save({key: torch.arange(5.0)}, source / "text_encoder" / shard)
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    (source / "text_encoder" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    added = add_model(source)
    assert added.parameters == 30
    installed = {file.name for file in (added.path / "text_encoder").iterdir()}
    assert installed == {
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert (added.path / "unet" / "diffusion_pytorch_model.fp16.safetensors").exists()
    assert not list(added.path.rglob("*.bin"))
    verify_model(added.name)


# --- in place -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_model_can_stay_where_it_is(home: Path, kind: str) -> None:
    source = home / "original.safetensors"
    if kind == "file":
        write_dit(source)
    else:
        source = write_pipeline(home / "original", "StableDiffusionPipeline")
    before = sorted(home.rglob("original*"))
    added = add_model(source, "mine", in_place=True)
    assert added.in_place
    assert added.path == source
    assert sum(file.stat().st_size for file in (models_folder() / "mine").iterdir()) < 3000
    assert verify_model("mine") == find_model("mine") == added
    moved = source.rename(home / "moved")
    error = error_of(find_model, "mine")
    assert error.code is ErrorCode.MISSING_WEIGHTS
    assert str(source) in error.message
    assert [name for name, _ in list_broken()] == ["mine"]
    moved.rename(source)
    remove_model("mine")
    assert sorted(home.rglob("original*")) == before
    assert list_models() == []


def test_changed_files_in_place_are_found(home: Path) -> None:
    source = write_dit(home / "original.safetensors")
    add_model(source, "mine", in_place=True)
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    assert "original.safetensors" in error_of(verify_model, "mine").message


def test_what_must_be_converted_cannot_stay(home: Path) -> None:
    (home / "model.pt").write_bytes(b"\x80")
    error = error_of(add_model, home / "model.pt", in_place=True)
    assert error.code is ErrorCode.INVALID_INPUT
    assert "converted" in error.message


# --- progress and cancel --------------------------------------------------------------------------


def test_progress_grows_to_its_total(home: Path) -> None:
    told: list[tuple[float, float, str]] = []
    add_model(write_part(home / "vae"), on_progress=lambda *values: told.append(values))
    done = [values[0] for values in told]
    assert done == sorted(done)
    assert done[-1] == told[-1][1] > 0
    assert [*dict.fromkeys(stage for *_, stage in told)] == ["Copying", "Checking"]


@pytest.mark.parametrize("stage", ["Copying", "Checking"])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_cancel_leaves_nothing(home: Path, stage: str, in_place: bool) -> None:
    def stop(done: float, total: float, now: str) -> None:
        if now == stage or in_place:
            raise cancelled()

    error = error_of(add_model, write_part(home / "vae"), in_place=in_place, on_progress=stop)
    assert error.code is ErrorCode.CANCELLED
    assert list(models_folder().iterdir()) == []


def test_a_cancel_ends_the_conversion(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(weights_conversion.child, "command", lambda *_: sleeping)
    (home / "model.pt").write_bytes(b"\x80")
    calls: list[str] = []

    def stop(done: float, total: float, stage: str) -> None:
        calls.append(stage)
        if len(calls) == 3:
            raise cancelled()

    assert error_of(add_model, home / "model.pt", on_progress=stop).code is ErrorCode.CANCELLED
    assert calls == ["Converting"] * 3
    assert list(models_folder().iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(home)._replace(free=10)
    monkeypatch.setattr("engine.model_copying.shutil.disk_usage", lambda _: usage)
    error = error_of(add_model, write_part(home / "vae"), on_progress=lambda *_: pytest.fail("copied"))
    assert "in place" in error.hint
    assert list(models_folder().iterdir()) == []


# --- removing -------------------------------------------------------------------------------------


def test_models_are_removed(home: Path) -> None:
    add_model(write_part(home / "vae"), "mine")
    remove_model("mine")
    assert list(models_folder().iterdir()) == []
    assert "no model called" in error_of(remove_model, "mine").message


def test_broken_models_can_be_removed(home: Path) -> None:
    add_model(write_part(home / "vae"), "mine")
    (models_folder() / "mine" / "config.json").write_text("{")
    ((name, error),) = list_broken()
    assert (name, error.code) == ("mine", ErrorCode.BAD_FILE)
    remove_model("mine")
    assert list_broken() == []


def test_the_builtin_model_stays(home: Path) -> None:
    (home / "builtin").mkdir()
    assert "belongs to Triptych" in error_of(remove_model, "builtin").message


# --- autoencoders ---------------------------------------------------------------------------------


def test_a_latent_file_takes_the_first_vae_that_fits(home: Path) -> None:
    add_model(write_part(home / "wide", latent_channels=16), "a-wide")
    add_model(write_part(home / "vae"), "b-vae")
    add_model(write_part(home / "another"), "c-vae")
    added = add_model(write_dit(home / "latent.safetensors", channels=4))
    assert added.vae == "b-vae"
    assert added.alignment
    assert json.loads((models_folder() / added.name / "model.json").read_text())["vae"] == "b-vae"
    chosen = add_model(home / "latent.safetensors", "second", vae="c-vae")
    assert chosen.vae == "c-vae"
    without = add_model(home / "latent.safetensors", "third", vae="none")
    assert (without.vae, without.alignment) == ("", False)
    for wrong in ("a-wide", "nobody", "second"):
        error = error_of(add_model, home / "latent.safetensors", "fourth", vae=wrong)
        assert "b-vae, c-vae" in error.hint
    # A model in use is not removed.
    error = error_of(remove_model, "b-vae")
    assert added.name in error.message
    remove_model(added.name)
    remove_model("b-vae")


def test_a_pixel_model_takes_no_vae(home: Path) -> None:
    add_model(write_part(home / "vae"))
    assert add_model(write_dit(home / "pixels.safetensors"), "first").vae == ""
    error = error_of(add_model, home / "pixels.safetensors", "second", vae="vae")
    assert error.code is ErrorCode.INVALID_INPUT


def test_a_vae_serves_the_files_that_waited_for_one(home: Path) -> None:
    add_model(write_dit(home / "latent.safetensors", channels=4), "waiting")
    add_model(write_dit(home / "wide.safetensors", channels=16), "other")
    assert find_model("waiting").vae == ""
    add_model(write_part(home / "vae"))
    assert find_model("waiting").vae == "vae"
    assert find_model("other").vae == ""


def test_a_missing_extra_is_told_in_the_list(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model(write_part(home / "vae"))
    add_model(write_dit(home / "latent.safetensors", channels=4))
    add_model(write_dit(home / "pixels.safetensors"))
    monkeypatch.setattr("engine.extras.importlib.util.find_spec", lambda name: None)
    needs = {info.name: info.needs for info in list_models()}
    assert needs == {"latent": ("diffusers",), "pixels": (), "vae": ("diffusers",)}


def test_ten_numbers_are_ten() -> None:
    assert ten()["weight"].size == 10
