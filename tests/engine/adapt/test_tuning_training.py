"""Tuning learns, keeps the backbone, hits its rate, and its files bring it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.adapt.backbone_files import HALF, Backbone, load_backbone, tensors_digest
from engine.adapt.dynamic_tuning import Tuning
from engine.adapt.tuned_files import TunedCard, from_released, load_tuned, read_card, save_tuned
from engine.adapt.tuning_training import EpochFigures, TuningSettings, features_of, run_all, tune
from engine.adapt.vit import ViT, ViTConfig
from engine.errors import EngineError, cancelled

CONFIG = ViTConfig(image_size=16, patch_size=4, width=32, depth=2, heads=2, mlp_width=64)
SETTINGS = TuningSettings(Tuning(hidden=8, scale=1.0), epochs=12, batch=32, learning_rate=5e-3)


def make_backbone() -> Backbone:
    torch.manual_seed(0)
    model = ViT(CONFIG).eval().requires_grad_(False)
    return Backbone("small", tensors_digest(model.state_dict()), model, *HALF, {})


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return make_backbone()


def squares(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A square somewhere in noise; its colour is one of four classes."""
    stream = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 90, (count, 16, 16, 3), generator=stream, dtype=torch.uint8)
    labels = torch.randint(4, (count,), generator=stream)
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        row, column = torch.randint(10, (2,), generator=stream).tolist()
        colour = torch.tensor([(255, 60, 60), (60, 255, 60), (60, 60, 255), (255, 255, 60)][label])
        picture[row : row + 6, column : column + 6] = colour
    return pictures, labels


def test_it_learns_at_the_rate_and_leaves_the_backbone(backbone: Backbone) -> None:
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    told: list[EpochFigures] = []
    pictures, labels = squares(256, 1)
    model = tune(
        backbone.model, pictures, labels, 4, backbone.prepared, SETTINGS, lambda f, _: told.append(f)
    )
    seen, true = squares(128, 2)
    run = run_all(model, seen, backbone.prepared)
    assert run.accuracy(true) > 0.9
    assert float(run.gates.mean()) == pytest.approx(0.5, abs=0.12)
    assert run_all(model, seen, backbone.prepared, "complete").accuracy(true) > 0.9
    assert [f.epoch for f in told] == list(range(1, 13))
    assert told[-1].task < 0.5 * told[0].task
    for key, value in before.items():
        assert torch.equal(model.state_dict()[key], value)
        assert torch.equal(backbone.model.state_dict()[key], value)
    assert features_of(model, seen, backbone.prepared).shape == (128, 32)


def test_the_same_seed_gives_the_same_model_and_another_another(backbone: Backbone) -> None:
    pictures, labels = squares(40, 3)

    def head(settings: TuningSettings) -> Tensor:
        model = tune(backbone.model, pictures, labels, 4, backbone.prepared, settings)
        return next(value for name, value in model.trained_parameters() if name == "head.weight")

    short = replace(SETTINGS, epochs=1, mirror=True)
    first = head(short)
    torch.rand(7)  # what others draw does not matter
    assert torch.equal(first, head(short))
    assert not torch.equal(first, head(replace(short, seed=1)))


def test_adapters_alone_open_everything(backbone: Backbone) -> None:
    told: list[EpochFigures] = []
    pictures, labels = squares(33, 4)
    settings = replace(SETTINGS, epochs=1, dispatch=False)
    tune(backbone.model, pictures, labels, 4, backbone.prepared, settings, lambda f, _: told.append(f))
    assert told[0].rate == 1


def test_what_a_check_raises_ends_it(backbone: Backbone) -> None:
    def check() -> None:
        raise cancelled()

    pictures, labels = squares(8, 5)
    with pytest.raises(EngineError, match="cancelled"):
        tune(backbone.model, pictures, labels, 4, backbone.prepared, SETTINGS, check=check)
    with pytest.raises(EngineError, match="too few"):
        tune(backbone.model, pictures, labels, 1, backbone.prepared, SETTINGS)


def test_a_file_brings_a_tuned_model_back(backbone: Backbone, tmp_path: Path) -> None:
    pictures, labels = squares(32, 6)
    settings = replace(SETTINGS, epochs=2, tuning=Tuning("attention_mlp", 8, 0.5, 2))
    model = tune(backbone.model, pictures, labels, 4, backbone.prepared, settings)
    card = TunedCard(
        backbone.name, backbone.digest, settings.tuning, ("a", "b", "c", "d"), {"accuracy": 0.5}
    )
    path = tmp_path / "tuned.safetensors"
    save_tuned(path, model, card)
    assert read_card(path) == card
    assert not [key for key in load_file(path) if "attn.qkv" in key]
    again = load_tuned(path, backbone)
    expected = run_all(model, pictures, backbone.prepared).logits
    assert torch.equal(run_all(again, pictures, backbone.prepared).logits, expected)
    with pytest.raises(EngineError, match="tuned on the backbone small") as refused:
        load_tuned(path, replace(backbone, digest="0" * 64, name="other"))
    assert "Choose small" in refused.value.hint


def test_a_file_of_the_released_program_is_used(golden: Path) -> None:
    folder = golden / "dyt" / "vit_d3_h48"
    weights, io = load_file(folder / "model.safetensors"), load_file(folder / "io.safetensors")
    loaded = load_backbone(folder / "model.safetensors", heads=4)
    head = {key: value for key, value in weights.items() if key.startswith("head.")}
    model = from_released(loaded, head, 0.1)
    with torch.no_grad():
        assert torch.allclose(model.run(io["x"]).output, io["out"], atol=2e-5)


def test_other_files_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no adapters"):
        from_released(backbone, {})
    half = {"blocks.0.adaptmlp.down_proj.weight": torch.zeros(4, 32)}
    with pytest.raises(EngineError, match="missing: blocks"):
        from_released(replace(backbone, tuned=half), {})
    from safetensors.torch import save_file

    save_file(half, tmp_path / "other.safetensors")
    with pytest.raises(EngineError, match="no file of a tuned model"):
        load_tuned(tmp_path / "other.safetensors", backbone)
