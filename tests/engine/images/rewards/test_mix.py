"""Mixes: weights and ceilings by hand, clipping, and every way in which a reward can be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.images.generators import to_pixels
from engine.images.rewards import RAW, REWARDS, RewardTerm, Scale, Scales
from engine.images.rewards.catalogue import RewardKind
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.protocol import RewardContext, eight_bit, from_decoded, soft_clip
from tests.engine.images.rewards.helpers import Given, check_gradient, pictures, raw_mix


@pytest.fixture
def given() -> Iterator[Any]:
    """Registers rewards for one test: ``given(function, kind)`` makes ``given``."""

    def add(function: Any, kind: Any = "gradient", name: str = "given") -> None:
        REWARDS.add(
            name, RewardKind("Given", "Not given", kind, lambda o, c: Given(function, kind, name))
        )

    before = dict(REWARDS)
    yield add
    for name in [name for name, _ in REWARDS if name not in before]:
        del REWARDS._items[name]


def test_soft_clip_is_identity_inside_and_nearly_flat_outside() -> None:
    x = torch.tensor([-1.0, 0.0, 0.25, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    clipped = soft_clip(x)
    assert clipped.tolist() == pytest.approx([-0.01, 0, 0.25, 1, 1.02])
    (slope,) = torch.autograd.grad(clipped.sum(), x)
    assert slope[[0, 2, 4]].tolist() == pytest.approx([0.01, 1, 0.01])


def test_eight_bit_is_what_is_saved() -> None:
    decoded = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    saved = torch.from_numpy(to_pixels(decoded)).permute(0, 3, 1, 2)
    assert torch.equal((eight_bit(from_decoded(decoded)) * 255).round().byte(), saved)


def test_total_is_the_weighted_sum_in_widths_from_the_median() -> None:
    x = pictures()
    scales = Scales({"brightness": Scale(0.2, 0.4, 1.2), "warmth": Scale(-9, 1, 11)})
    terms = [RewardTerm(name="brightness", weight=2), RewardTerm(name="warmth", weight=-3)]
    with RewardMix(terms, RewardContext(), scales) as mix:
        total, raw = mix.total(x)
        assert mix.kind == "gradient"
        expected = 2 * (raw["brightness"] - 0.4) - 3 * (raw["warmth"] - 1) / 20
        torch.testing.assert_close(total, expected)
        assert total.shape == raw["warmth"].shape == (3,)
        shown = mix.positions({name: values[0].item() for name, values in raw.items()})
    assert shown["brightness"] == pytest.approx(100 * (raw["brightness"][0].item() - 0.2))
    check_gradient(lambda y: RewardMix(terms, RewardContext(), scales).total(y)[0], x)


@pytest.mark.parametrize(("weight", "scale"), [(1, Scale(0, 0.1, 0.2)), (-1, Scale(0.8, 0.9, 1.0))])
def test_a_ceiling_ends_the_push_in_the_wanted_direction(weight: float, scale: Scale) -> None:
    x = pictures().requires_grad_(True)
    for ceiling, moves in ((True, False), (False, True)):
        term = RewardTerm(name="brightness", weight=weight, options={"ceiling": ceiling})
        total, raw = RewardMix([term], RewardContext(), Scales({"brightness": scale})).total(x)
        (gradient,) = torch.autograd.grad(total.sum(), x)
        assert bool(gradient.abs().max() > 0) is moves
        assert raw["brightness"].min() > 0.3, "the value that is shown has no ceiling"


def test_clipped_rates_the_saved_picture_without_gradient() -> None:
    x = (pictures() * 4 - 1).requires_grad_(True)
    mix = raw_mix("brightness", "contrast")
    total, _ = mix.total(x, clipped=True)
    assert not total.requires_grad
    again, _ = mix.total(eight_bit(x).double())
    torch.testing.assert_close(total, again, rtol=1e-6, atol=1e-7)


def test_the_same_reward_twice_has_two_names() -> None:
    red = RewardTerm(name="hue", options={"angle": 0})
    blue = RewardTerm(name="hue", options={"angle": 240})
    _, raw = raw_mix(red, blue).total(pictures())
    assert list(raw) == ["hue", "hue-2"]


def test_a_weight_of_zero_only_shows(given: Any) -> None:
    given(lambda x: x.mean(dim=(1, 2, 3)), "value")
    mix = raw_mix("brightness", RewardTerm(name="given", weight=0))
    total, raw = mix.total(pictures())
    assert mix.kind == "gradient"
    torch.testing.assert_close(total, raw["brightness"])
    assert raw["given"].isfinite().all()


def test_value_rewards_see_saved_pictures_and_add_no_gradient(given: Any) -> None:
    seen: list[Tensor] = []

    def value(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        seen.append(x)
        return x.mean(dim=(1, 2, 3))

    given(value, "value")
    mix = raw_mix("brightness", "given")
    assert mix.kind == "value"
    x = (pictures() * 2 - 0.5).requires_grad_(True)
    total, raw = mix.total(x)
    assert torch.equal(seen[0], eight_bit(x))
    assert seen[0].device.type == "cpu"
    (gradient,) = torch.autograd.grad(total.sum(), x)
    (alone,) = torch.autograd.grad(raw_mix("brightness").total(x)[0].sum(), x)
    assert torch.equal(gradient, alone)
    torch.testing.assert_close(total, raw["brightness"] + raw["given"])
    only, names = mix.total(x, only="value")
    torch.testing.assert_close(only, raw["given"])
    assert list(names) == ["given"]


WRONG = [
    (lambda x: x.mean(dim=(1, 2, 3)) * torch.nan, "returned nan for a picture"),
    (lambda x: x.mean(dim=(1, 2, 3)) / 0, "returned inf for a picture"),
    (lambda x: x.mean(), r"shape \(\) for 3 picture"),
    (lambda x: x.mean(dim=(2, 3)), r"shape \(3, 3\) for 3 picture"),
    (lambda x: [0.0, 0.0, 0.0], "returned list instead of a tensor"),
    (lambda x: torch.ones(3, dtype=torch.long), "returned torch.int64 numbers"),
    (lambda x: 1 / 0, "raised ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("function", "told"), WRONG)
@pytest.mark.parametrize("kind", ["gradient", "value"])
def test_a_wrong_reward_is_named(given: Any, kind: str, function: Any, told: str) -> None:
    given(function, kind)
    with pytest.raises(EngineError, match=rf"The reward 'Given' \(given\).*{told}") as caught:
        raw_mix("brightness", "given").total(pictures())
    assert caught.value.code == "invalid_input"
    assert "best picture so far is kept" in caught.value.message
    assert caught.value.hint


def test_a_missing_gradient_is_said(given: Any) -> None:
    given(lambda x: x.detach().mean(dim=(1, 2, 3)))
    mix = raw_mix("given")
    mix.total(pictures(), clipped=True)
    with pytest.raises(EngineError, match="declared to have a gradient") as caught:
        mix.total(pictures().requires_grad_(True))
    assert "without gradient" in caught.value.hint


def test_a_gradient_that_is_not_finite_is_laid_at_its_rewards_door(given: Any) -> None:
    given(lambda x: (x - x).square().sum(dim=(1, 2, 3)).sqrt())
    total, _ = raw_mix("brightness", "given").total(pictures().requires_grad_(True))
    with pytest.raises(EngineError, match=r"\(given\) has a gradient that is not finite"):
        total.sum().backward()


def test_memory_shortage_and_our_own_errors_pass_through(given: Any) -> None:
    def short(x: Tensor) -> Tensor:
        raise MemoryError

    given(short)
    with pytest.raises(MemoryError):
        raw_mix("given").total(pictures())


def test_half_precision_stays_outside(given: Any) -> None:
    kinds: list[torch.dtype] = []

    def value(x: Tensor) -> Tensor:
        kinds.append((x[0, 0] @ x[0, 0]).dtype)
        return x.mean(dim=(1, 2, 3))

    given(value)
    with torch.autocast("cpu", torch.bfloat16):
        raw_mix("given").total(pictures(dtype=torch.float32))
    assert kinds == [torch.float32]


def test_nothing_to_align_with_and_no_scale_are_said() -> None:
    with pytest.raises(EngineError, match="no reward to align"):
        RewardMix([], RewardContext(), RAW)
    with pytest.raises(EngineError, match="not known how large the reward 'palette'"):
        RewardMix([RewardTerm(name="palette")], RewardContext(), Scales())
