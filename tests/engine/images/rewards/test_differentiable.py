"""Rewards by formula: values by hand, gradients by differences, finite on constant pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.images.rewards.protocol import RewardContext
from tests.engine.images.rewards.helpers import check_gradient, pictures, reward

ALL: list[tuple[str, dict[str, Any]]] = [
    *[
        (name, {})
        for name in ("sharpness", "smoothness", "symmetry", "plain_background", "white_border")
    ],
    *[
        (name, {"subject_only": only})
        for name in ("brightness", "colourfulness", "warmth", "contrast", "palette")
        for only in (False, True)
    ],
    ("hue", {"angle": 120}),
    ("hue", {"angle": 77, "subject_only": True}),
]


def plain(red: float, green: float, blue: float) -> torch.Tensor:
    colour = torch.tensor([red, green, blue], dtype=torch.float64)
    return colour[None, :, None, None].expand(1, 3, 16, 16).clone()


@pytest.mark.parametrize(("name", "options"), [item for item in ALL if "subject_only" not in item[1]])
def test_gradient_is_that_of_central_differences(name: str, options: dict[str, Any]) -> None:
    built = reward(name, **options)
    check_gradient(lambda x: built.batch(x, RewardContext()), pictures(), points=12)


@pytest.mark.parametrize(("name", "options"), ALL)
@pytest.mark.parametrize("colour", [(0.5, 0.5, 0.5), (1, 1, 1), (0, 0, 0), (0.2, 0.7, 0.4)])
def test_values_and_gradients_are_finite_on_constant_pictures(
    name: str, options: dict[str, Any], colour: tuple[float, float, float]
) -> None:
    x = plain(*colour).float().requires_grad_(True)
    value = reward(name, **options).batch(x, RewardContext())
    assert value.shape == (1,)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("name", "options"), ALL)
def test_pictures_of_a_batch_do_not_influence_one_another(name: str, options: dict[str, Any]) -> None:
    x, built = pictures(), reward(name, **options)
    alone = torch.cat([built.batch(x[i : i + 1], RewardContext()) for i in range(len(x))])
    torch.testing.assert_close(built.batch(x, RewardContext()), alone)


@pytest.mark.parametrize(
    ("name", "options", "colour", "expected"),
    [
        ("brightness", {}, (1, 0, 0), 0.299),
        ("warmth", {}, (1, 0, 0.25), 0.75),
        ("colourfulness", {}, (1, 0, 0), 0.3 * (1 + 0.25) ** 0.5),
        ("hue", {"angle": 0}, (1, 0, 0), 1.0),
        ("hue", {"angle": 60}, (1, 1, 0), 1.0),
        ("hue", {"angle": 120}, (0, 1, 0), 1.0),
        ("hue", {"angle": 240}, (0, 0, 1), 1.0),
        ("hue", {"angle": 180}, (1, 0, 0), -1.0),
        ("palette", {"colours": ["#ff0000", "#0000ff"]}, (1, 0, 0), 0.0),
        ("palette", {"colours": ["#ff0000"]}, (0, 0, 0), -1.0),
        ("white_border", {}, (0.75, 0.75, 0.75), -0.25),
        ("plain_background", {}, (0.2, 0.7, 0.4), 0.0),
        ("contrast", {}, (0.2, 0.7, 0.4), 0.0),
    ],
)
def test_values_of_plain_pictures(
    name: str, options: dict[str, Any], colour: tuple[float, float, float], expected: float
) -> None:
    value = reward(name, **options).batch(plain(*colour), RewardContext())
    assert value.item() == pytest.approx(expected, abs=2e-4)


def test_stripes_have_the_contrast_and_sharpness_of_their_formulas() -> None:
    x = torch.zeros(1, 3, 16, 16, dtype=torch.float64)
    x[..., ::2] = 1
    assert reward("contrast").batch(x, RewardContext()).item() == pytest.approx(0.5, abs=1e-6)
    assert reward("sharpness").batch(x, RewardContext()).item() == pytest.approx(2.0, abs=1e-6)
    assert reward("smoothness").batch(x, RewardContext()).item() == pytest.approx(-1.0)
    assert reward("symmetry").batch(x, RewardContext()).item() == pytest.approx(-1.0)
    assert reward("symmetry").batch(x[..., :15], RewardContext()).item() == 0


def test_subject_only_ignores_the_white_ground() -> None:
    small, large = (plain(1, 1, 1) for _ in range(2))
    small[:, :, 6:10, 6:10] = plain(1, 0, 0)[:, :, :4, :4]
    large[:, :, 2:14, 2:14] = plain(1, 0, 0)[:, :, :12, :12]
    for name, expected in (("brightness", 0.299), ("warmth", 1.0), ("colourfulness", 0.335)):
        built = reward(name, subject_only=True)
        for x in (small, large):
            assert built.batch(x, RewardContext()).item() == pytest.approx(expected, abs=1e-3)
    whole = reward("brightness")
    assert whole.batch(small, RewardContext()) > whole.batch(large, RewardContext()) + 0.1


def test_weights_of_the_subject_are_detached() -> None:
    # White pixels have no weight: nothing pulls them into the subject.
    x = plain(1, 1, 1)
    x[:, :, 6:10, 6:10] = 0.3
    x.requires_grad_(True)
    reward("brightness", subject_only=True).batch(x, RewardContext()).sum().backward()
    assert x.grad is not None
    assert x.grad[:, :, 0, 0].abs().max() == 0
    assert x.grad[:, :, 7, 7].min() > 0


def test_only_the_border_counts_for_the_background() -> None:
    x = plain(1, 1, 1)
    x[:, :, 3:13, 3:13] = 0
    assert reward("white_border").batch(x, RewardContext()).item() == 0
    assert reward("plain_background").batch(x, RewardContext()).item() == 0
    x[:, :, 2, 2] = 0
    assert reward("white_border").batch(x, RewardContext()).item() == pytest.approx(-1 / 156)
    tiny = torch.zeros(1, 3, 4, 4)
    assert reward("white_border").batch(tiny, RewardContext()).item() == -1, "smaller than two borders"
