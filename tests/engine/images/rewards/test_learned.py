"""Rewards from folders of well-known models, without a network: tiny CLIPs, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from engine import extras
from engine.errors import EngineError
from engine.images.generators.libraries import library
from engine.images.rewards import REWARDS
from engine.images.rewards.clip_folder import Preparation, load_clip
from engine.images.rewards.learned import read_head
from engine.images.rewards.protocol import RewardContext
from engine.weights import models_folder
from tests.engine.images.rewards.helpers import PROMPT, check_gradient, pictures, reward, values_of
from tests.engine.images.rewards.tiny_clip import WIDTH


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / "clip"))


pytestmark = pytest.mark.usefixtures("no_network")


def test_a_folder_scores_as_transformers_does(tiny: Path) -> None:
    x = pictures(4, 40, torch.float32)
    scores = values_of("clip", x, folder=str(tiny))
    transformers = library("transformers", "The test")
    model = transformers.CLIPModel.from_pretrained(tiny, local_files_only=True).eval()
    words = transformers.AutoTokenizer.from_pretrained(tiny, local_files_only=True)
    small = F.interpolate(x, (32, 32), mode="bicubic", antialias=True)
    shape = (1, 3, 1, 1)
    small = (small - torch.tensor([0.5, 0.4, 0.3]).view(shape)) / torch.tensor([0.2, 0.25, 0.3]).view(
        shape
    )
    with torch.no_grad():
        tokens = words(["red heart"], return_tensors="pt")
        expected = model(pixel_values=small, **tokens).logits_per_image[:, 0]
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_batches_and_single_pictures_agree_and_texts_matter(tiny: Path) -> None:
    x = pictures(3, 40, torch.float32)
    together = values_of("pickscore", x, folder=str(tiny))
    alone = torch.cat([values_of("pickscore", x[i : i + 1], folder=str(tiny)) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (values_of("pickscore", x, folder=str(tiny), text="a blue car") != together).all()
    assert values_of("pickscore", x, folder=str(tiny), text="heart " * 200).isfinite().all()


def test_gradient_is_that_of_central_differences(tiny: Path) -> None:
    clip = load_clip(tiny, tiny, "cpu", "The test")
    clip.model.double()
    target = clip.text_vector("red heart")
    check_gradient(lambda x: clip.image_vectors(x) @ target, pictures(2, 40))


def test_old_versions_that_return_tensors_are_understood(tiny: Path) -> None:
    clip = load_clip(tiny, tiny, "cpu", "The test")
    x = pictures(2, 32, torch.float32)
    expected = clip.image_vectors(x)
    new = clip.model.get_image_features
    clip.model.get_image_features = lambda pixel_values: new(pixel_values=pixel_values).pooler_output
    assert torch.equal(clip.image_vectors(x), expected)


def test_other_shapes_are_cropped_in_the_middle() -> None:
    x = torch.zeros(1, 3, 32, 64)
    x[..., 16:48] = 1
    prepared = Preparation(32, (0, 0, 0), (1, 1, 1))(x)
    assert prepared.shape == (1, 3, 32, 32)
    assert prepared.min() == 1
    assert Preparation(32)(torch.zeros(1, 3, 100, 37)).shape == (1, 3, 32, 32)


def test_the_name_in_the_models_folder_is_enough(tiny: Path) -> None:
    place = models_folder() / "pickscore"
    shutil.copytree(tiny, place)
    try:
        assert values_of("pickscore", pictures(1, 32, torch.float32)).isfinite().all()
    finally:
        shutil.rmtree(place)


def test_the_tokenizer_may_be_elsewhere(folder: Path, tiny: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / file).unlink(missing_ok=True)
    x = pictures(2, 40, torch.float32)
    apart = values_of("pickscore", x, folder=str(folder), tokenizer=str(tiny))
    torch.testing.assert_close(apart, values_of("pickscore", x, folder=str(tiny)))


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_tokenizer(folder: Path) -> None:
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("merges*")):
        file.unlink()


def _small_tokenizer(folder: Path) -> None:
    _no_tokenizer(folder)
    transformers = library("transformers", "The test")
    marks = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    transformers.CLIPTokenizer(vocab=marks, merges=[]).save_pretrained(folder)


def _lacking(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["visual_projection.weight"]
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "missing_weights", "lacks the file model.safe"),
        (lambda f: (f / "config.json").unlink(), "missing_weights", "lacks the file config.json"),
        (lambda f: (f / "config.json").write_text("{"), "bad_file", "cannot be used for CLIP"),
        (lambda f: rewrite(f / "config.json", model_type="bert"), "bad_file", "another kind .bert"),
        (
            lambda f: rewrite(f / "config.json", model_type="clip_text_model"),
            "bad_file",
            "texts only .clip_text_model",
        ),
        (_cut, "bad_file", "not complete, or damaged"),
        (_pickle, "bad_file", "PyTorch pickle"),
        (_no_tokenizer, "missing_weights", "lacks the file tokenizer.json"),
        (_small_tokenizer, "bad_file", "knows 2 tokens"),
        (_lacking, "bad_file", "missing: visual_projection.weight"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "bad_file", "preprocessor_config"),
    ],
)
def test_damaged_and_wrong_folders_are_said_at_once(
    folder: Path, damage: Callable[[Path], Any], code: str, told: str
) -> None:
    damage(folder)
    began = time.monotonic()
    with pytest.raises(EngineError, match=told) as caught:
        reward("clip", PROMPT, folder=str(folder))
    assert time.monotonic() - began < 5
    assert caught.value.code == code
    assert str(folder) in caught.value.hint


def test_a_hub_name_is_never_downloaded() -> None:
    began = time.monotonic()
    with pytest.raises(EngineError, match="Hugging Face: download that model there") as caught:
        reward("pickscore", PROMPT, folder="yuvalkirstain/PickScore_v1")
    assert time.monotonic() - began < 5
    assert caught.value.code == "missing_weights"
    assert str(models_folder() / "pickscore") in caught.value.hint


@pytest.mark.parametrize("name", ["clip", "pickscore", "aesthetic", "hpsv2", "imagereward"])
def test_without_weights_each_says_where_they_belong(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        reward(name, PROMPT)
    assert caught.value.code == "missing_weights"
    assert str(models_folder() / name) in caught.value.hint


def test_words_are_needed(tiny: Path) -> None:
    with pytest.raises(EngineError, match="compares pictures with words, and there are none"):
        reward("clip", RewardContext(prompt=" ... "), folder=str(tiny))


def test_a_missing_library_is_said(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda name: False)
    with pytest.raises(EngineError, match="needs the extra 'diffusers'"):
        load_clip(tiny, tiny, "cpu", "CLIP similarity")
    with_obstacle = {name for name, kind in REWARDS if "extra 'diffusers'" in kind.obstacle()}
    assert with_obstacle == {"clip", "pickscore", "aesthetic"}
    monkeypatch.undo()
    assert {kind.obstacle() for _, kind in REWARDS} == {""}


def write_head(path: Path, widths: tuple[int, ...] = (WIDTH, 8, 4, 1)) -> nn.Sequential:
    torch.manual_seed(1)
    stack = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        stack.extend([nn.Linear(before, after), nn.Dropout(0.2)])
    tensors = {f"layers.{k}": v for k, v in stack.state_dict().items()}
    if path.suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    return stack.eval()


@pytest.mark.parametrize("name", ["aesthetic.safetensors", "head.pth"])
def test_the_aesthetic_head_is_its_stack_of_layers(folder: Path, name: str) -> None:
    stack = write_head(folder / name)
    x = pictures(3, 40, torch.float32)
    given = {} if name.startswith("aesthetic") else {"head": str(folder / name)}
    score = values_of("aesthetic", x, folder=str(folder), **given)
    clip = load_clip(folder, folder, "cpu", "The test")
    torch.testing.assert_close(score, stack(clip.image_vectors(x))[:, 0], rtol=1e-4, atol=1e-5)
    x.requires_grad_(True)
    values_of("aesthetic", x, folder=str(folder), **given).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_heads_that_do_not_fit_are_said(folder: Path, tmp_path: Path) -> None:
    write_head(folder / "aesthetic.safetensors", (768, 8, 1))
    with pytest.raises(EngineError, match="vectors of 768 numbers, and the CLIP in 'clip' makes 16"):
        reward("aesthetic", folder=str(folder))
    save_file({"0.weight": torch.ones(3, 4), "0.bias": torch.ones(3)}, tmp_path / "a.safetensors")
    save_file({"table": torch.ones(3, 4)}, tmp_path / "b.safetensors")
    for file in ("a.safetensors", "b.safetensors"):
        with pytest.raises(EngineError, match="is no aesthetic head"):
            read_head(tmp_path / file)
