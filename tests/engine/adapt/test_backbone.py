"""The built-in backbone tells things apart that it has never seen; its training learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.adapt import backbone_training
from engine.adapt.backbone import FILE, SIDE, describe, fitted
from engine.adapt.backbone_data import SHARES, Things, altered, walking_people
from engine.adapt.backbone_files import load_backbone
from engine.adapt.backbone_training import Pretraining, contrastive_loss, export, random_patches, train
from engine.errors import EngineError
from engine.tracks.synthetic_video import draw_vehicle
from engine.weight_files import digest_of


def vehicle(name: int, kind: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A vehicle on grey, ``size`` (width, height)."""
    width, height = size
    picture = np.full((height + 8, width + 8, 3), 110, np.uint8)
    draw_vehicle(picture, np.array([4, 4, width, height], np.float32), name, kind)
    return picture


def test_the_file_that_ships_is_the_one_of_its_checksum() -> None:
    (line,) = (FILE.parent / "SHA256SUMS").read_text().splitlines()
    assert line.split() == [digest_of(FILE), FILE.name]


def test_vehicles_are_found_again_in_other_light_and_size() -> None:
    names = range(5_000_000, 5_000_030)
    rng = np.random.default_rng(3)
    first = describe([vehicle(name, name % 7, (90, 60)) for name in names])
    pictures = [fitted(vehicle(name, name % 7, (50, 36))) for name in names]
    second = describe([altered(picture, rng) for picture in pictures])
    assert first.shape == (30, 192)
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    assert ((first @ second.T).argmax(1) == np.arange(30)).mean() > 0.8


def test_pictures_of_any_size_and_none() -> None:
    grey = np.full((7, 300, 3), 90, np.uint8)
    assert describe([grey, grey[:1, :1]]).shape == (2, 192)
    assert describe([]).shape == (0, 192)
    with pytest.raises(EngineError, match="must be"):
        describe([grey[..., 0]])
    # A larger network sees more: nothing is squeezed to the built-in one's size first.
    stripes = np.tile(np.array([[[0], [255]]], np.uint8).repeat(3, 2), (224, 112, 1))
    assert np.array_equal(fitted(stripes, 224), stripes)
    assert fitted(stripes).std() < 60
    builtin = load_backbone("builtin")
    pictures = torch.full((1, SIDE, SIDE, 3), 90, dtype=torch.uint8)
    features = builtin.model.features(builtin.prepared(pictures))
    expected = features / features.norm()
    assert torch.allclose(torch.from_numpy(describe([pictures[0].numpy()])), expected, atol=1e-6)


def test_views_of_one_thing_attract(tmp_path: Path) -> None:
    things = torch.tensor([0, 1, 2, 0])
    stream = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(4, 8, generator=stream))
    same = vectors[[0, 1, 2, 0]]
    assert contrastive_loss(same, same, things) < contrastive_loss(same, same[[1, 2, 0, 1]], things)
    patches = random_patches(3, torch.Generator().manual_seed(1))
    vectors, kinds = Pretraining(5)(torch.zeros(3, 3, SIDE, SIDE), patches)
    assert (vectors.shape, kinds.shape) == ((3, 128), (3, 5))


def test_a_short_training_learns_and_is_exported(
    tmp_path: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone_training, "BATCH", 12)
    monkeypatch.setattr(backbone_training, "EVALUATE_EVERY", 4)
    things = Things(golden.parent / "data" / "generator", walking_people(10, 3))
    batch = things.draw(20, np.random.default_rng(0))
    assert batch.pictures.shape == (2, 20, 3, SIDE, SIDE)
    again = things.draw(20, np.random.default_rng(0))
    assert torch.equal(batch.pictures, again.pictures)
    held_out = things.draw(40, np.random.default_rng(1), held_out=True, only="vehicles")
    shown = things.draw(200, np.random.default_rng(2), only="vehicles")
    assert not set(held_out.things.tolist()) & set(shown.things.tolist())
    run = train(things, tmp_path / "run", 0.04)
    assert run.clock.step >= 4
    assert set(SHARES) <= set(run.clock.history[0])
    export(tmp_path / "run", tmp_path / "backbone.safetensors")
    assert load_backbone(tmp_path / "backbone.safetensors").model.config.depth == 6
