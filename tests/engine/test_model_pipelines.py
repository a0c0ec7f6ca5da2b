"""Folders in the layout of diffusers: what they are, whether all is there, why some are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.errors import EngineError, ErrorCode
from engine.weight_sets import find_weights
from engine.weights import class_names, inspect_model
from tests.engine.fake_folders import ten, write_part, write_pipeline

KINDS = {
    "DiTPipeline": ("diffusers-dit", "DiT-XL/2, 256 px, latent", "class", 2),
    "StableDiffusionPipeline": ("stable-diffusion", "Stable Diffusion 1.x", "text", 3),
    "StableDiffusionXLPipeline": ("stable-diffusion-xl", "Stable Diffusion XL", "text", 4),
}


def error_of(path: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        inspect_model(path)
    return caught.value


@pytest.mark.parametrize("class_name", KINDS)
def test_pipelines_are_recognised(tmp_path: Path, class_name: str) -> None:
    kind, architecture, conditions, parts = KINDS[class_name]
    info = inspect_model(write_pipeline(tmp_path / "model", class_name))
    assert (info.kind, info.architecture, info.conditions) == (kind, architecture, conditions)
    assert info.parameters == 10 * parts
    assert info.samplers == ("sequential", "parallel")
    assert info.generates
    assert info.alignment
    assert info.needs == ()
    assert info.memory_bytes > 100 << 20
    assert info.size == sum(
        file.stat().st_size for file in (tmp_path / "model").rglob("*") if file.is_file()
    )


def test_the_version_of_stable_diffusion_is_told(tmp_path: Path) -> None:
    second = {"unet": {"cross_attention_dim": 1024}, "text_encoder": {"hidden_size": 1024}}
    info = inspect_model(write_pipeline(tmp_path / "two", "StableDiffusionPipeline", **second))
    assert info.architecture == "Stable Diffusion 2.x"


def test_an_autoencoder_makes_no_pictures(tmp_path: Path) -> None:
    info = inspect_model(write_part(tmp_path / "sd-vae-ft-mse"))
    assert (info.kind, info.generates, info.samplers) == ("vae", False, ())
    assert info.architecture == "AutoencoderKL, 4 channels"
    assert not info.alignment


def test_classes_are_named_once(tmp_path: Path) -> None:
    dit = inspect_model(write_pipeline(tmp_path / "dit", "DiTPipeline"))
    assert class_names(dit) == ("tench", "crane (1)", "crane (2)")
    text = inspect_model(write_pipeline(tmp_path / "sd", "StableDiffusionPipeline"))
    assert class_names(text) == ()


def test_every_file_counts_for_the_checksum(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    digests = {inspect_model(folder).sha256}
    for name in ("scheduler/scheduler_config.json", "unet/config.json", "model_index.json"):
        path = folder / name
        path.write_text(path.read_text() + " ")
        digests.add(inspect_model(folder).sha256)
    assert len(digests) == 4
    (folder / "README.txt").write_text("not read")
    assert inspect_model(folder).sha256 in digests


# --- what is incomplete or damaged ----------------------------------------------------------------


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    shutil.rmtree(folder / "text_encoder")
    error = error_of(folder)
    assert error.code is ErrorCode.MISSING_WEIGHTS
    assert "text_encoder" in error.message


def test_a_part_without_weights_is_named(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    error = error_of(folder)
    assert error.code is ErrorCode.MISSING_WEIGHTS
    assert "'unet'" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"", "empty"),
    ],
)
def test_weights_that_are_something_else_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    error = error_of(folder)
    assert error.code is ErrorCode.BAD_FILE
    assert said in error.message


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_class_name": "UNet2DConditionModel"}', '{"a": '])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    (folder / "unet" / "config.json").write_text(text)
    assert error_of(folder).code is ErrorCode.BAD_FILE


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_descriptions_without_sizes_are_damaged(tmp_path: Path, part: str) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    config = json.loads((folder / part / "config.json").read_text())
    del config["block_out_channels"]
    (folder / part / "config.json").write_text(json.dumps(config))
    error = error_of(folder)
    assert error.code is ErrorCode.BAD_FILE
    assert "damaged" in error.message


# --- what is refused, and why ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("class_name", "said"),
    [
        ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
        ("FluxPipeline", "Flux"),
        ("StableDiffusionInpaintPipeline", "inpainting"),
        ("StableDiffusionXLImg2ImgPipeline", "refiner"),
        ("StableDiffusionControlNetPipeline", "ControlNet"),
        ("KandinskyPipeline", "does not have its pipeline (KandinskyPipeline)"),
    ],
)
def test_other_pipelines_are_refused(tmp_path: Path, class_name: str, said: str) -> None:
    error = error_of(write_pipeline(tmp_path / "other", class_name))
    assert error.code is ErrorCode.BAD_FILE
    assert said in error.message
    assert "Stable Diffusion XL (base)" in error.hint


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("unet", {"in_channels": 9}, "inpainting"),
        ("unet", {"in_channels": 8}, "edits pictures"),
        ("unet", {"time_cond_proj_dim": 256}, "latent consistency"),
        ("unet", {"class_embed_type": "projection"}, "picture embeddings"),
        ("unet", {"addition_embed_type": "text"}, "added condition"),
        ("unet", {"cross_attention_dim": 1024}, "texts of width 1024"),
        ("unet", {"_class_name": "UNet3DConditionModel"}, "UNet3DConditionModel"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "AutoencoderTiny"),
        ("scheduler", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow-matching"),
        ("scheduler", {"thresholding": True}, "thresholding"),
    ],
)
def test_variants_that_need_more_are_refused(
    tmp_path: Path, part: str, changes: dict[str, Any], said: str
) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline", **{part: changes})
    error = error_of(folder)
    assert error.code is ErrorCode.BAD_FILE
    assert said in error.message


def test_a_part_alone_says_what_to_choose(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline") / "unet"
    save_file(
        {"down_blocks.0.weight": np.zeros(1, np.float32)},
        folder / "diffusion_pytorch_model.safetensors",
    )
    error = error_of(folder)
    assert "one part of a model" in error.message
    assert "model_index.json" in error.hint


def test_an_unknown_folder_says_what_is_known(tmp_path: Path) -> None:
    assert "model_index.json" in error_of(tmp_path).hint


# --- sets of weights ------------------------------------------------------------------------------


def files(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("names", "chosen", "variant", "pickled"),
    [
        (["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"], 0, "", False),
        (["model.fp16.safetensors", "pytorch_model.bin"], 0, "fp16", False),
        (["pytorch_model.bin", "notes.txt"], 0, "", True),
        (["model.non_ema.safetensors", "model.fp16.safetensors"], 1, "fp16", False),
        (["model.odd.safetensors"], 0, "odd", False),
    ],
)
def test_the_best_set_is_chosen(
    tmp_path: Path, names: list[str], chosen: int, variant: str, pickled: bool
) -> None:
    found = find_weights(files(tmp_path / "part", *names))
    assert [file.name for file in found.files] == [names[chosen]]
    assert (found.variant, found.pickled) == (variant, pickled)


def test_shards_are_one_set(tmp_path: Path) -> None:
    folder = write_part(tmp_path / "vae")
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    shards = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name, shard in zip("ab", shards, strict=True):
        save_file({name: ten()["weight"]}, folder / shard)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}))
    assert inspect_model(folder).parameters == 20
    (folder / shards[1]).unlink()
    error = error_of(folder)
    assert error.code is ErrorCode.MISSING_WEIGHTS
    assert shards[1] in error.message
    index.write_text(json.dumps({"weight_map": {"a": "../../vae/" + shards[0]}}))
    assert [file.parent for file in find_weights(folder).files] == [folder]
    index.write_text(json.dumps({"weight_map": {}}))
    assert error_of(folder).code is ErrorCode.BAD_FILE


def test_pickles_have_to_be_added(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    weights = folder / "text_encoder" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    error = error_of(folder)
    assert error.code is ErrorCode.BAD_FILE
    assert "models add" in error.hint
