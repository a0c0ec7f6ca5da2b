"""Parts of a body made longer or wider by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bodies.body_model import load_builtin_body
from engine.bodies.poser import Poser
from engine.bodies.recover import average_shape
from engine.bodies.reshape import PART_NAMES, mean_shape, part_sizes, reshaped
from engine.errors import EngineError


def test_a_part_gets_its_width_and_the_locked_ones_stay() -> None:
    before = part_sizes(mean_shape())
    asked = {"waist": 1.2 * before.widths["waist"]}
    locked = [("width", "chest"), ("length", "left_thigh"), ("length", "right_thigh")]
    after = part_sizes(reshaped(mean_shape(), "width", asked, locked))
    assert after.widths["waist"] > 1.05 * before.widths["waist"], "as far as the chest lets it"
    assert after.widths["chest"] == pytest.approx(before.widths["chest"], rel=0.02)
    assert after.lengths["left_thigh"] == pytest.approx(before.lengths["left_thigh"], rel=0.02)
    free = part_sizes(reshaped(mean_shape(), "width", asked))
    assert free.widths["waist"] == pytest.approx(asked["waist"], rel=0.04)
    assert free.widths["abdomen"] > 1.03 * before.widths["abdomen"], "what goes with it comes along"
    assert free.widths["chest"] > after.widths["chest"]


def test_legs_become_longer_on_both_sides() -> None:
    before = part_sizes(mean_shape())
    legs = [f"{side}_{part}" for side in ("left", "right") for part in ("thigh", "shin")]
    asked = {part: 1.08 * before.lengths[part] for part in legs}
    after = part_sizes(reshaped(mean_shape(), "length", asked))
    for part, size in asked.items():
        assert after.lengths[part] == pytest.approx(size, rel=0.01)
    assert after.lengths["left_thigh"] == pytest.approx(after.lengths["right_thigh"], rel=0.005)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(EngineError, match="no part 'tail'"):
        reshaped(mean_shape(), "width", {"tail": 0.1})
    with pytest.raises(EngineError, match="cannot have a width of 90"):
        reshaped(mean_shape(), "width", {"waist": 0.9})


def test_the_poser_shows_a_reshaped_body() -> None:
    body = load_builtin_body()
    poser = Poser(body)
    shape = average_shape(body)[0].numpy()
    rotations = torch.eye(3).repeat(24, 1, 1).numpy()
    told = poser.answer({"do": "parts", "shape": shape})
    assert tuple(told["names"]) == PART_NAMES
    at = PART_NAMES.index("waist")
    request = {
        "do": "reshape", "key": 3, "shape": shape, "kind": "width", "locked": [],
        "sizes": {"waist": float(1.25 * told["widths"][at])}, "rotations": rotations,
        "translation": np.zeros(3, np.float32),
    }  # fmt: skip
    made = poser.answer(request)
    assert made["widths"][at] > 1.15 * told["widths"][at]
    before = poser.answer({**request, "do": "pose"})
    assert np.abs(made["vertices"] - before["vertices"]).max() > 0.01
