"""The shipped encoder: what its card claims, likeness to words and pictures, its classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.errors import EngineError
from engine.images.rewards.encoder import (
    Encoder,
    cached_encoder,
    read_encoder,
    shifted,
    to_input_size,
)
from engine.images.rewards.encoder_data import load_encoder_data
from engine.images.rewards.encoder_training import figures
from engine.images.rewards.likeness import Closeness, WordLikeness
from engine.images.rewards.measuring import builtin_pictures, measure, scales_for
from engine.images.rewards.params import RewardTerm
from engine.images.rewards.protocol import RewardContext
from engine.images.rewards.scales import FOLDER
from engine.weight_files import digest_of
from engine.weights import find_model
from tests.engine.images.rewards.helpers import check_gradient, pictures, raw_mix, reward


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return cached_encoder("cpu")


@pytest.fixture(scope="module")
def shown(repository: Path) -> Tensor:
    """The generator's answers to 16 prompts, 6 each, from its model card: ``(16, 6, 3, 128, 128)``."""
    with Image.open(repository / "resources/weights/builtin/prompts.png") as sheet:
        pixels = torch.tensor(list(sheet.convert("RGB").tobytes()), dtype=torch.uint8)
        width, height = sheet.size
    rows = pixels.view(height // 128, 128, width // 128, 128, 3).permute(0, 2, 4, 1, 3)
    return rows.reshape(16, 6, 3, 128, 128).float() / 255


PROMPTS = (
    "grinning face", "red heart", "dog face", "cat", "pizza", "red apple", "rocket", "house",
    "crown", "woman teacher", "thumbs up", "soccer ball", "guitar", "sun", "airplane", "snowman",
)  # fmt: skip


def test_the_weights_are_small_and_as_their_checksums_say() -> None:
    assert (FOLDER / "encoder.safetensors").stat().st_size <= 6 * 2**20
    lines = [line.split() for line in (FOLDER / "SHA256SUMS").read_text().splitlines()]
    assert {"encoder.safetensors", "encoder.json", "scales.json"} <= {name for _, name in lines}
    for checksum, name in lines:
        assert digest_of(FOLDER / name) == checksum, name


def test_its_figures_are_those_of_the_card() -> None:
    told = json.loads((FOLDER / "figures.json").read_text())
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert told["recall_at_10"] > 3 * told["recall_at_10_chance"]
    assert told["recall_at_10_in_pool"] > 10 * told["recall_at_10_in_pool_chance"]
    assert told["shifted_nearer_than_same_class"] > 0.95
    for key in ("recall_at_10", "recall_at_10_in_pool", "shifted_nearer_than_same_class"):
        assert f"{told[key]:.0%}" in card, key


def test_prompts_find_the_pictures_made_for_them(encoder: Encoder, shown: Tensor) -> None:
    images = encoder.embed_images(shown.flatten(0, 1))
    likeness = encoder.embed_texts(PROMPTS) @ images.T
    best = likeness.topk(6, dim=1).indices // 6
    right = (best == torch.arange(16)[:, None]).float().mean().item()
    assert right > 0.5, "chance is 1 of 16"


def test_a_moved_picture_is_nearer_than_another(encoder: Encoder, shown: Tensor) -> None:
    group = shown[:, 0]
    maps = encoder.image.features(group)
    moved = encoder.image.features(group.roll((3, -2), (2, 3)))
    nearer = []
    for by in range(1, 16):
        other = encoder.image.features(group.roll(by, 0))
        nearer.append(encoder.distance(maps, moved) < encoder.distance(maps, other))
    assert torch.cat(nearer).float().mean() > 0.95


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_card_is_true_of_held_out_pictures(encoder: Encoder, repository: Path) -> None:
    folder = repository.parent / "shared" / "data" / "generator"
    if not folder.is_dir():
        pytest.skip("the training data are not beside this checkout")
    found = figures(encoder, load_encoder_data(folder))
    assert found == json.loads((FOLDER / "figures.json").read_text())


def test_distance_is_zero_to_itself_and_symmetrical(encoder: Encoder) -> None:
    a, b = (encoder.image.features(p) for p in builtin_pictures()[:4].chunk(2))
    assert encoder.distance(a, a).abs().max() == 0
    torch.testing.assert_close(encoder.distance(a, b), encoder.distance(b, a))
    assert encoder.distance(a, b).min() > 0.05


def test_words_of_letters_only_have_a_meaning_and_are_told(encoder: Encoder) -> None:
    context = RewardContext(prompt="a red heart with xylograph")
    with raw_mix("words", "brightness", context=context) as mix:
        assert mix.notes() == (
            "The reward 'words' never learnt 'xylograph'; it guesses by the letters.",
        )
    with raw_mix("words", context=RewardContext(prompt="red heart")) as mix:
        assert mix.notes() == ()
    plain, misspelt, other = encoder.embed_texts(["elephant", "elephantt", "rocket"])
    assert plain @ misspelt > plain @ other
    assert encoder.embed_texts(["", "!"]).isfinite().all()


@pytest.mark.parametrize("size", [(20, 20), (48, 48), (64, 80), (128, 128), (300, 100)])
def test_pictures_of_any_size_are_taken(encoder: Encoder, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert to_input_size(x).shape == (2, 3, 48, 48)
    assert all(part.shape == x.shape for part in shifted(x))
    assert encoder.embed_images(x).square().sum(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_shifts_move_by_at_most_three_pixels_and_keep_the_first() -> None:
    x = torch.arange(100.0).view(1, 1, 10, 10)
    moved = shifted(x)
    assert torch.equal(moved[0], x)
    assert torch.equal(moved[1][..., :7, 3:], x[..., 2:9, 2:9])
    assert len({tuple(part.flatten().tolist()) for part in moved}) == 4
    assert shifted(torch.rand(1, 3, 2, 2))[3].shape == (1, 3, 2, 2)


def doubled(built: Any) -> Any:
    """The reward with an encoder in float64."""
    fields = {k: v.double() for k, v in vars(built).items() if isinstance(v, Tensor)}
    others = {"text": built.text} if isinstance(built, WordLikeness) else {}
    return type(built)(encoder=read_encoder(FOLDER).double(), **fields, **others)


def given(picture: Tensor) -> RewardContext:
    """A context with one picture to come close to."""
    return RewardContext(references={"reference": picture})


def sketch() -> Tensor:
    drawn = torch.zeros(4, 32, 32)
    drawn[:, 8:24, 8:24] = torch.tensor([1.0, 0.2, 0.2, 1.0])[:, None, None]
    return drawn


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("words", RewardContext(prompt="red heart")),
        ("closeness", given(builtin_pictures()[0])),
        ("closeness", given(sketch())),
    ],
)
def test_gradients_are_those_of_central_differences(name: str, context: RewardContext) -> None:
    built = doubled(reward(name, context))
    check_gradient(lambda x: built.batch(x, context), pictures(2, 20))


@pytest.mark.parametrize("name", ["words", "closeness"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_on_plain_pictures(name: str, level: float) -> None:
    context = RewardContext(prompt="cat", references={"reference": builtin_pictures()[1]})
    x = torch.full((2, 3, 64, 64), level, requires_grad=True)
    value = reward(name, context).batch(x, context)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert gradient.isfinite().all()


def test_nothing_is_closer_to_a_picture_than_itself() -> None:
    samples = builtin_pictures()[:16]
    context = given(samples[3])
    values = reward("closeness", context).batch(samples, context)
    assert values.argmax() == 3
    assert values[3].item() == pytest.approx(0, abs=1e-6)
    assert values.sort().values[-2] < -0.01


def test_a_sketch_counts_where_it_is_painted() -> None:
    context = given(sketch())
    built = reward("closeness", context)
    assert isinstance(built, Closeness)
    x = torch.ones(1, 3, 32, 32)
    x[:, :, 8:24, 8:24] = sketch()[:3, 8, 8][None, :, None, None]
    elsewhere = x.clone()
    elsewhere[:, :, :6] = 0
    on_it = x.clone()
    on_it[:, :, 10:20, 10:20] = 0
    assert built._layout(x).item() == pytest.approx(0, abs=1e-4)
    assert built._layout(elsewhere).item() == pytest.approx(0, abs=1e-4)
    assert built._layout(on_it).item() > 0.05


def test_likeness_to_words_ranks_the_pictures_made_for_them_first(shown: Tensor) -> None:
    below = []
    for place, prompt in enumerate(PROMPTS):
        context = RewardContext(prompt=prompt)
        values = reward("words", context).batch(shown[:, 0], context)
        below.append((values < values[place]).sum().item() / 15)
    assert sum(below) / 16 > 0.8, "chance is a half"
    other = reward("words", RewardContext(prompt="rocket"), text="red heart")
    assert other.batch(shown[:, 0], RewardContext()).argmax() == PROMPTS.index("red heart")


def test_the_classifier_names_classes_and_is_no_gradient(shown: Tensor) -> None:
    context = RewardContext(class_name="faces")
    built = reward("class_probability", context)
    assert built.kind == "value"
    faces, rockets = (built.batch(shown[i], context) for i in (0, 6))
    assert faces.mean() > 0.5
    assert rockets.mean() < 0.1
    assert (rockets == 0).any(), "0 where another class is the first guess"


@pytest.mark.parametrize(
    ("name", "context", "options", "told"),
    [
        ("class_probability", RewardContext(), {}, "needs one"),
        ("class_probability", RewardContext(class_name="boats"), {}, "knows no class 'boats'"),
        ("words", RewardContext(), {}, "there are none"),
        ("closeness", RewardContext(), {}, "no picture 'reference'"),
        (
            "closeness",
            given(torch.zeros(4, 8, 8)),
            {},
            "Nothing is painted",
        ),
        ("closeness", given(torch.zeros(8, 8)), {}, "the shape"),
    ],
)
def test_what_is_missing_is_said(
    name: str, context: RewardContext, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(EngineError, match=told) as caught:
        reward(name, context, **options)
    assert caught.value.code == "invalid_input"
    assert caught.value.hint


def test_scales_of_prompts_are_measured_on_the_shipped_samples() -> None:
    context = RewardContext(prompt="red heart")
    terms = [RewardTerm(name="words"), RewardTerm(name="brightness")]
    scales = scales_for(terms, context, find_model("builtin"), lambda count: torch.empty(0))
    measured = measure(terms[:1], context, builtin_pictures())
    assert scales.find(terms[0]) == measured[terms[0].scale_key]


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"encoder.safetensors are not there"):
        read_encoder(tmp_path)
    (tmp_path / "encoder.safetensors").write_bytes((FOLDER / "encoder.safetensors").read_bytes())
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(EngineError, match="description of the reward encoder"):
        read_encoder(tmp_path)
