"""Rewards that need libraries which are not installed with Triptych: small ones in their place."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import EngineError
from engine.images.generators.libraries import library
from engine.images.rewards.clip_folder import Preparation, load_clip
from engine.images.rewards.learned import LearnedReward
from tests.engine.images.rewards.helpers import PROMPT, pictures, reward, values_of

pytestmark = pytest.mark.usefixtures("no_network")


def test_a_clip_folder_of_hps_works_without_open_clip(tiny: Path) -> None:
    x = pictures(2, 40, torch.float32)
    clip = load_clip(tiny, tiny, "cpu", "The test")
    expected = clip.image_vectors(x) @ clip.text_vector("red heart")
    torch.testing.assert_close(values_of("hpsv2", x, file=str(tiny)), expected)


class TwoTowers(nn.Module):
    """What the tests put in place of OpenCLIP's model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def encode_image(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (224, 224)
        return self.layer(x.mean(dim=(2, 3)))

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.layer(tokens.float())


def test_a_checkpoint_of_hps_is_loaded_into_open_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "HPS_v2.1_compressed.pt"
    torch.save({"state_dict": TwoTowers().state_dict()}, file)
    with pytest.raises(EngineError, match="library open_clip, which is not installed") as caught:
        reward("hpsv2", PROMPT, file=str(file))
    assert "pip install open_clip_torch" in caught.value.hint
    fake = types.ModuleType("open_clip")
    fake.create_model = lambda name, pretrained, device: TwoTowers()  # type: ignore[attr-defined]
    fake.get_tokenizer = lambda name: lambda texts: torch.ones(1, 3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    built = reward("hpsv2", PROMPT, file=str(file))
    assert isinstance(built, LearnedReward)
    x = pictures(2, 40, torch.float32).requires_grad_(True)
    score = built.batch(x, PROMPT)
    assert score.abs().max() <= 1 + 1e-5
    score.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    torch.save({"state_dict": {"other": torch.ones(1)}}, file)
    with pytest.raises(EngineError, match="HPS v2 cannot be loaded from"):
        reward("hpsv2", PROMPT, file=str(file))


class Blip(nn.Module):
    """What the tests put in place of the network of ImageReward."""

    def __init__(self) -> None:
        super().__init__()
        self.seeing = nn.Linear(3, 6)

    def tokenizer(self, text: str, **options: Any) -> Any:
        assert options["max_length"] == 35
        ids = torch.tensor([[len(word) for word in text.split()]])
        transformers = library("transformers", "The test")
        return transformers.BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    def visual_encoder(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (224, 224)
        return self.seeing(x.mean(dim=(2, 3)))[:, None].expand(-1, 5, -1)

    def text_encoder(self, ids: Tensor, **given: Any) -> Any:
        seen = given["encoder_hidden_states"]
        assert given["encoder_attention_mask"].shape == seen.shape[:2]
        assert ids.shape == given["attention_mask"].shape == (len(seen), 2)
        return types.SimpleNamespace(last_hidden_state=seen * ids.sum(dim=1)[:, None, None])


class Rater(nn.Module):
    """The class ``ImageReward`` as its library has it, but small."""

    def __init__(self, med_config: str, device: str = "cpu") -> None:
        super().__init__()
        assert Path(med_config).name == "med_config.json"
        self.blip, self.mlp = Blip(), nn.Linear(6, 1)
        self.mean, self.std = 0.5, 2.0


def test_image_reward_is_its_network_on_prepared_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "med_config.json").write_text("{}")
    rater, file = Rater(str(tmp_path / "med_config.json")), tmp_path / "ImageReward.safetensors"
    save_file(rater.state_dict(), file)
    fake = types.ModuleType("ImageReward.ImageReward")
    fake.ImageReward = Rater  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ImageReward", types.ModuleType("ImageReward"))
    monkeypatch.setitem(sys.modules, "ImageReward.ImageReward", fake)
    x = pictures(3, 40, torch.float32).requires_grad_(True)
    score = values_of("imagereward", x, file=str(file))
    seen = rater.blip.visual_encoder(Preparation(224)(x))[:, 0] * len("redheart")
    torch.testing.assert_close(score, (rater.mlp(seen)[:, 0] - 0.5) / 2)
    score.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    save_file({"mlp.weight": torch.ones(1, 6)}, file)
    with pytest.raises(EngineError, match=r"ImageReward cannot be loaded from.*it lacks"):
        reward("imagereward", PROMPT, file=str(file))


def test_a_broken_library_is_said_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ImageReward.safetensors"
    save_file({"x": torch.ones(1)}, file)
    with pytest.raises(EngineError, match=r"lacks the file med_config.json"):
        reward("imagereward", PROMPT, file=str(file))
    (tmp_path / "med_config.json").write_text("{}")
    package = tmp_path / "libraries" / "ImageReward"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(EngineError, match="torchvision::nms does not exist") as caught:
        reward("imagereward", PROMPT, file=str(file))
    assert caught.value.code == "missing_weights"
