"""Training of the reward encoder: its data, how they are varied, its loss, and that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import EngineError
from engine.images.rewards.encoder import Encoder, EncoderConfig, read_encoder
from engine.images.rewards.encoder_data import (
    kept_words,
    load_encoder_data,
    training_words,
    vary,
)
from engine.images.rewards.encoder_training import (
    contrastive_loss,
    figures,
    recall_at_10,
    text_rows,
    train,
)

COUNT = 12


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Twelve discs of four colours and four tiles, in the files' own format."""
    folder = tmp_path / "data"
    folder.mkdir()
    names = ("red", "green", "blue", "grey")
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (99, 99, 99))
    images = np.zeros((COUNT, 128, 128, 4), np.uint8)
    for row in range(COUNT):
        images[row, 20:100, 20 : 60 + 5 * row] = (*colours[row % 4], 255)
    codepoints = np.array([str(i) for i in range(COUNT)])
    np.savez(folder / "pictograms128.npz", images=images, codepoints=codepoints)
    np.savez(
        folder / "pictograms64.npz",
        images=images[:, ::2, ::2],
        labels=np.array([row % 2 for row in range(COUNT)], np.uint8),
        class_names=np.array(["shapes", "symbols"]),
        captions=np.array([f"{names[row % 4]} box facing" for row in range(COUNT)]),
        keywords=np.array(["box|thing"] * COUNT),
        tone=np.array([0] * (COUNT - 1) + [3], np.uint8),
        family=np.array([0, 0, *range(1, COUNT - 1)], np.int16),
        weight=np.ones(COUNT, np.float32),
        split=np.array([0] * (COUNT - 4) + [1] * 4, np.uint8),
    )
    tiles = np.full((4, 32, 32, 4), 255, np.uint8)
    np.savez(
        folder / "tiles32.npz",
        images=tiles,
        captions=np.array(["wall", "wall", "floor", "door"]),
        split=np.zeros(4, np.uint8),
    )
    return folder


def test_data_are_read_as_described(data_folder: Path) -> None:
    data = load_encoder_data(data_folder)
    assert data.images.shape == (COUNT + 4, 4, 64, 64)
    assert data.words[0] == ("red", "box", "facing", "thing"), "a word once, the caption's first"
    assert data.caption_lengths[0] == 3
    assert data.labels.tolist()[COUNT:] == [-1] * 4
    assert not data.mirrorable[0], "it says facing"
    assert data.mirrorable[COUNT]
    assert data.families[0] == data.families[1]
    assert data.families[COUNT] == data.families[COUNT + 1] != data.families[COUNT + 2]
    assert data.chance[:COUNT].sum() == pytest.approx(0.85)
    assert data.chance[COUNT:].sum() == pytest.approx(0.15)
    assert data.held_out.sum() == 4
    white = data.on_white(np.array([0, COUNT]))
    assert white[0, :, 0, 0].tolist() == [1, 1, 1], "transparent is white"
    assert white[0, :, 30, 15].tolist() == [1, 0, 0]
    assert training_words(data, np.array([0, COUNT])) == ("box", "facing", "red", "thing", "wall")


def test_missing_data_are_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        load_encoder_data(tmp_path)


def test_pictures_are_varied_within_bounds_and_repeatably(data_folder: Path) -> None:
    data = load_encoder_data(data_folder)
    rows = np.zeros(64, np.int64)
    varied = data.draw(rows, torch.Generator().manual_seed(0))
    assert varied.shape == (64, 3, 48, 48)
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert torch.equal(varied, data.draw(rows, torch.Generator().manual_seed(0)))
    # White ground where no noise, blur or brightness came into it, other grounds elsewhere.
    grounds = varied[:, :, 0, 0]
    assert 0.2 < (grounds.amin(dim=1) > 0.79).float().mean() < 0.9
    assert (grounds.amin(dim=1) < 0.3).any()


def test_mirroring_is_left_out_where_it_would_lie() -> None:
    left = torch.zeros(64, 4, 64, 64)
    left[:, 3, :, :32] = 1  # a black half on a lighter ground

    def halves(mirrorable: bool) -> Tensor:
        varied = vary(left, torch.full((64,), mirrorable), torch.Generator().manual_seed(1))
        return varied[..., :24].mean(dim=(1, 2, 3)) < varied[..., 24:].mean(dim=(1, 2, 3))

    assert halves(False).all()
    assert 0.3 < halves(True).float().mean() < 0.7


def test_families_do_not_repel_one_another() -> None:
    vectors = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors[1] = vectors[0]
    apart = contrastive_loss(vectors, vectors, torch.arange(4), torch.tensor(0.07))
    together = contrastive_loss(vectors, vectors, torch.tensor([0, 0, 2, 3]), torch.tensor(0.07))
    assert together < apart - 0.2
    # With equal vectors and no mask it is the logarithm of the number of pictures.
    same = vectors[:1].expand(4, 8)
    loss = contrastive_loss(same, same, torch.arange(4), torch.tensor(1.0))
    assert loss.item() == pytest.approx(np.log(4), rel=1e-5)


def test_words_are_dropped_at_their_rate_and_never_all() -> None:
    draws = np.random.default_rng(0)
    kept = [kept_words(("a", "b", "c"), draws, 0.7) for _ in range(2000)]
    assert min(len(words) for words in kept) == 1
    assert sum(len(words) for words in kept) / 6000 == pytest.approx(0.71, abs=0.02)
    assert kept_words((), draws, 0.7) == []


def test_text_rows_have_letters_always_and_own_vectors_mostly(data_folder: Path) -> None:
    data = load_encoder_data(data_folder)
    model = Encoder(EncoderConfig(("box", "facing", "red", "thing"), data.class_names))
    rows = text_rows(model, data, np.zeros(500, np.int64), np.random.default_rng(0))
    own = sum(row < 4 for text in rows for row in text)
    assert own / (500 * 4) == pytest.approx(0.7 * 0.8, abs=0.05)
    assert all(any(row >= 4 for row in text) for text in rows)


def test_recall_counts_pictures_that_are_found(data_folder: Path) -> None:
    data = load_encoder_data(data_folder)
    torch.manual_seed(0)
    model = Encoder(EncoderConfig(("box",), data.class_names)).eval()
    everything = np.arange(COUNT)
    assert recall_at_10(model, data, everything, everything, True) >= 10 / COUNT - 0.35
    assert recall_at_10(model, data, everything[:5], everything[:5], False) == 1, "10 of 5"


def test_a_finished_run_is_not_begun_again(data_folder: Path, tmp_path: Path) -> None:
    data = load_encoder_data(data_folder)
    run = train(data, tmp_path, 0.02, batch=4)
    assert run.clock.step > 0
    assert train(data, tmp_path, 0.02, batch=4).clock.step == run.clock.step


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_ends_in_weights_that_are_read_and_have_learnt(data_folder: Path, tmp_path: Path) -> None:
    data = load_encoder_data(data_folder)
    train(data, tmp_path, 1.0, batch=8)
    model = read_encoder(tmp_path / "best")
    about = json.loads((tmp_path / "best" / "encoder.json").read_text())
    assert about["training"]["steps"] >= 60
    assert figures(model, data)["held_out_pictures"] == 3
    texts = model.embed_texts(["red", "green", "blue"])
    images = model.embed_images(data.on_white(np.array([0, 1, 2])))
    assert (texts @ images.T).argmax(dim=1).tolist() == [0, 1, 2]
