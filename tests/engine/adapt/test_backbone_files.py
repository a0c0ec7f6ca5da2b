"""Vision transformers from other programs compute what they compute there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.adapt.backbone_files import IMAGENET, load_backbone, tensors_digest
from engine.adapt.backbone_keys import config_of, merged_lora, our_names, resized
from engine.adapt.vit import ViT, ViTConfig
from engine.errors import EngineError, ErrorCode

SMALL = ViTConfig(image_size=32, patch_size=8, width=48, depth=2, heads=3, mlp_width=96)


def weights_of(config: ViTConfig = SMALL, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = ViT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    return model.state_dict()


def pictures(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_file_of_timm_is_loaded(tmp_path: Path, ending: str) -> None:
    weights = weights_of()
    path = tmp_path / f"vit{ending}"
    wrapped = {f"module.{key}": value for key, value in weights.items()}
    wrapped |= {"module.head.weight": torch.zeros(7, 48), "module.pre_logits.fc.bias": torch.zeros(3)}
    if ending == ".pth":
        torch.save({"model": wrapped, "epoch": 3}, path)
    else:
        save_file(wrapped, path)
    backbone = load_backbone(path, heads=3, colours=IMAGENET)
    assert backbone.model.config == SMALL
    model = ViT(SMALL)
    model.load_state_dict(weights)
    assert torch.equal(backbone.model.features(pictures()), model.features(pictures()))
    assert backbone.digest == tensors_digest(weights)
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    grey = torch.full((1, 32, 32, 3), 128, dtype=torch.uint8)
    expected = [(128 / 255 - mean) / by for mean, by in zip(*IMAGENET, strict=True)]
    assert backbone.prepared(grey)[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("headed", [False, True])
def test_a_folder_of_hugging_face_gives_what_its_library_gives(tmp_path: Path, headed: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        image_size=32, patch_size=8, layer_norm_eps=1e-5, num_labels=5,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = (transformers.ViTForImageClassification if headed else transformers.ViTModel)(config)
    theirs.eval().save_pretrained(tmp_path)
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    backbone = load_backbone(tmp_path)
    assert (backbone.model.config.heads, backbone.model.config.norm_eps) == (4, 1e-5)
    assert (backbone.mean, backbone.deviation) == ((0.1, 0.2, 0.3), (1, 2, 3))
    body = theirs.vit if headed else theirs
    with torch.no_grad():
        expected = body(pictures()).last_hidden_state[:, 0]
        assert torch.allclose(backbone.model.features(pictures()), expected, atol=2e-6)


def test_a_model_with_all_the_extras_is_recognised_by_its_tensors() -> None:
    config = ViTConfig(
        32, 8, 48, 2, 4, 0, 96, registers=3, position_of_prefix=False, qkv_bias=False, qk_norm=True,
        layer_scale=True, norm_before=True, mean_pool=True,
    )  # fmt: skip
    plain, added = our_names(weights_of(config))
    assert config_of(plain, 4) == config
    assert not added
    old = {
        key.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value
        for key, value in plain.items()
    }
    old["patch_embed.proj.weight"] = old["patch_embed.proj.weight"].flatten(1)
    again, _ = our_names(old)
    assert all(torch.equal(again[key], value) for key, value in plain.items())


def test_what_dyt_added_comes_apart(golden: Path) -> None:
    weights = load_backbone(golden / "dyt" / "vit_d3_h48" / "model.safetensors", heads=4)
    assert weights.model.config.depth == 3
    assert "blocks.2.adaptmlp.down_proj.weight" in weights.tuned
    assert "blocks.0.mlp_token_select.mlp_head.bias" in weights.tuned


def test_the_position_table_is_resampled_for_larger_pictures() -> None:
    weights = weights_of()
    across = torch.linspace(0, 1, 4).repeat(4, 1).flatten()
    weights["pos_embed"][0, 1:] = across[:, None]
    larger, config = resized(weights, SMALL, 64)
    assert (config.image_size, larger["pos_embed"].shape[1]) == (64, 65)
    assert torch.equal(larger["pos_embed"][:, 0], weights["pos_embed"][:, 0])
    rows = larger["pos_embed"][0, 1:, 0].reshape(8, 8)
    assert torch.all(rows.diff(dim=1) > -1e-6)
    assert torch.allclose(rows[0], rows[7], atol=1e-5)
    model = ViT(config)
    model.load_state_dict(larger)
    with pytest.raises(EngineError):
        resized(weights, SMALL, 60)


def test_low_rank_changes_are_merged(tmp_path: Path) -> None:
    weights = weights_of()
    generator = torch.Generator().manual_seed(3)
    down, up = torch.randn(2, 48, generator=generator), torch.randn(144, 2, generator=generator)
    path = "base_model.model.blocks.0.attn.qkv"
    adapter = {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
    key = "blocks.0.attn.qkv.weight"
    merged = merged_lora(weights, adapter, 2, 6)
    assert torch.allclose(merged[key], weights[key] + 3 * up @ down, atol=1e-6)
    save_file(weights, tmp_path / "model.safetensors")
    save_file(adapter, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 6}))
    loaded = load_backbone(tmp_path, heads=3)
    assert torch.equal(loaded.model.state_dict()[key], merged[key])
    with pytest.raises(EngineError, match="changes blocks"):
        merged_lora(weights, {f"{path}.lora_A.weight": down}, 2, 6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks.0.mlp.w12.weight": 0}, "gated"),
        ({"dist_token": 0}, "distillation"),
        ({"pos_embed": None}, "no pos_embed"),
        ({"pos_embed": torch.zeros(1, 12, 48)}, "no square"),
        ({"blocks.0.norm2.weight": None}, "missing: blocks.0.norm2.weight"),
        ({"blocks.0.relative_position": 0}, "unexpected: blocks.0.relative_position"),
    ],
)
def test_other_models_are_refused_with_the_reason(
    tmp_path: Path, change: Mapping[str, Any], words: str
) -> None:
    weights = weights_of()
    for key, value in change.items():
        if value is None:
            del weights[key]
        else:
            weights[key] = value if isinstance(value, Tensor) else torch.zeros(2)
    save_file(weights, tmp_path / "vit.safetensors")
    with pytest.raises(EngineError, match=words) as refused:
        load_backbone(tmp_path / "vit.safetensors", heads=3)
    assert refused.value.code is ErrorCode.BAD_FILE


def test_missing_answers_are_asked_for(tmp_path: Path) -> None:
    save_file(weights_of(), tmp_path / "vit.safetensors")
    with pytest.raises(EngineError, match="how many attention heads"):
        load_backbone(tmp_path / "vit.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EngineError, match="there is none of"):
        load_backbone(tmp_path / "empty")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineError, match="cannot be read as JSON"):
        load_backbone(tmp_path / "vit.safetensors", heads=3)
