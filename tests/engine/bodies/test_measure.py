"""Measurements: sections of known solids, people's sizes, known heights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.measure import _girth, measure, scale_to_height, scaled
from engine.errors import EngineError


@pytest.fixture(scope="module")
def body() -> BakedBody:
    return load_builtin_body()


def tube(radius: float, corners: int = 256) -> tuple[np.ndarray, np.ndarray]:
    angles = 2 * np.pi * np.arange(corners) / corners
    ring = np.stack([radius * np.cos(angles), np.zeros(corners), radius * np.sin(angles)], 1)
    up = np.array([0.0, 1.0, 0.0])
    vertices = np.concatenate([ring - up, ring + up])
    first, second = np.arange(corners), np.roll(np.arange(corners), -1)
    faces = np.concatenate(
        [
            np.stack([first, second, first + corners], 1),
            np.stack([second, second + corners, first + corners], 1),
        ]
    )
    return vertices, faces


def test_girth_of_a_tube() -> None:
    vertices, faces = tube(0.2)
    across = _girth(vertices, faces, np.array([0, 0.3, 0]), np.array([0, 2.0, 0]))
    assert across.length == pytest.approx(2 * np.pi * 0.2, rel=1e-3)
    aslant = _girth(vertices, faces, np.zeros(3), np.array([0, 1.0, 1.0]))
    a, b = 0.2 * np.sqrt(2), 0.2
    ellipse = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert aslant.length == pytest.approx(ellipse, rel=1e-3)
    with pytest.raises(EngineError, match="no skin"):
        _girth(vertices, faces, np.array([0, 3.0, 0]), np.array([0, 1.0, 0]))


def test_sizes_of_an_average_adult(body: BakedBody) -> None:
    found = measure(body, body.shape_from_phenotype({}))
    girths = {name: girth.length for name, girth in found.girths.items()}
    assert 1.55 < found.height < 1.85
    assert girths["waist"] < girths["chest"]
    assert girths["waist"] < girths["hip"]
    for name, low, high in (
        ("chest", 0.75, 1.1), ("waist", 0.6, 0.95), ("hip", 0.8, 1.1), ("left_thigh", 0.42, 0.68),
        ("left_upper_arm", 0.2, 0.36),
    ):  # fmt: skip
        assert low < girths[name] < high, (name, girths)
    for part in ("thigh", "upper_arm"):
        assert girths[f"left_{part}"] == pytest.approx(girths[f"right_{part}"], rel=0.01)
    assert 0.3 < found.bones["left_knee"] < 0.5


def test_weight_widens_every_girth(body: BakedBody) -> None:
    thin = measure(body, body.shape_from_phenotype({"weight": 0.1})).girths
    heavy = measure(body, body.shape_from_phenotype({"weight": 0.9})).girths
    for name, girth in thin.items():
        assert heavy[name].length > 1.05 * girth.length


def test_a_known_height(body: BakedBody) -> None:
    found = measure(body, body.shape_from_phenotype({}))
    larger = scaled(found, scale_to_height(found, 1.76))
    assert larger.height == pytest.approx(1.76)
    ratio = larger.girths["waist"].length / found.girths["waist"].length
    assert ratio == pytest.approx(1.76 / found.height)
    with pytest.raises(EngineError, match="none that people have"):
        scale_to_height(found, 176)
    with pytest.raises(EngineError, match="One body"):
        measure(body, torch.zeros(2, 5))
