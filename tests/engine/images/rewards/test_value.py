"""Rewards without a gradient: values by hand, and that the window starts without their libraries."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.images.rewards.protocol import RewardContext, eight_bit
from tests.engine.images.rewards.helpers import pictures, raw_mix, reward

NAMES = ("jpeg_size", "edges", "colour_count", "shape_count")


def value(name: str, x: Tensor) -> list[float]:
    return reward(name).batch(x, RewardContext()).tolist()


def white(size: int = 48) -> Tensor:
    return torch.ones(1, 3, size, size)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_pure_and_of_each_picture_alone(name: str) -> None:
    x = eight_bit(pictures(size=40))
    together = value(name, x)
    assert together == value(name, x)
    assert together == [value(name, x[i : i + 1])[0] for i in range(len(x))]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_value_rewards_of_a_mix(name: str) -> None:
    mix = raw_mix(name)
    assert mix.kind == "value"
    x = pictures().requires_grad_(True)
    total, raw = mix.total(x)
    assert not total.requires_grad
    assert raw[name].tolist() == pytest.approx(value(name, eight_bit(x)), rel=1e-6)


def test_file_size_is_beyond_that_of_plain_grey() -> None:
    assert value("jpeg_size", torch.full((1, 3, 48, 48), 128 / 255)) == [0]
    noise = eight_bit(torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)))
    buffers = []
    for pixels in (
        noise[0].mul(255).round().byte().permute(1, 2, 0).numpy(),
        np.full((48, 48, 3), 128),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=75)
        buffers.append(len(buffer.getvalue()))
    assert value("jpeg_size", noise) == [(buffers[0] - buffers[1]) / 1024]
    assert value("jpeg_size", noise)[0] > 1


def test_edges_are_those_of_a_square() -> None:
    x = white()
    assert value("edges", x) == [0]
    x[:, :, 12:36, 12:36] = 0
    # A closed line of one pixel around 24 x 24 pixels.
    assert value("edges", x)[0] == pytest.approx(4 * 24 / 48**2, rel=0.1)


def test_colours_are_counted_at_three_bits() -> None:
    x = white(8)
    x[:, 0, 0] = torch.arange(8) / 7
    assert value("colour_count", x) == [8]
    x[:, 0, 0] = torch.linspace(224, 255, 8) / 255
    assert value("colour_count", x) == [1], "levels that share their first three bits are one"


def test_shapes_touch_at_corners_and_specks_are_none() -> None:
    x = white()
    x[:, :, 2:6, 2:6] = 0
    x[:, :, 6:10, 6:10] = 0.5  # touches the first at a corner
    x[:, :, 20:30, 20:30] = 0.2
    x[:, :, 40:42, 40:44] = 0  # 8 pixels
    x[:, :, 10:20, 40:44] = 0.95  # ground
    assert value("shape_count", x) == [2]
