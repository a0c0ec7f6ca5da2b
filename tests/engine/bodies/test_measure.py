"""Measurements: sections of known solids, people's sizes, known heights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, PosedBody, load_builtin_body
from engine.bodies.measure import Slicer, _hull, measure, scale_to_height, scaled
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


def test_a_plane_cuts_tubes_in_loops() -> None:
    vertices, faces = tube(0.2)
    both = np.concatenate([vertices, vertices + np.array([1.0, 0, 0])])
    pair = np.concatenate([faces, faces + len(vertices)])
    across = Slicer(both, pair, np.array([0, 2.0, 0]))
    for loop, x in zip(across.loops(np.array([0, 0.3, 0])), (0.0, 1.0), strict=True):
        assert np.allclose(loop[:, 1], 0.3)
        assert loop[:, 0].mean() == pytest.approx(x, abs=1e-9)
        assert _hull(loop, across.normal).length == pytest.approx(2 * np.pi * 0.2, rel=1e-3)
    (aslant,) = Slicer(vertices, faces, np.array([0, 1.0, 1.0])).loops(np.zeros(3))
    a, b = 0.2 * np.sqrt(2), 0.2
    ellipse = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert _hull(aslant, np.array([0, 1.0, 1.0])).length == pytest.approx(ellipse, rel=1e-3)
    assert across.loops(np.array([0, 3.0, 0])) == []


def test_girths_are_of_their_own_part_alone(body: BakedBody) -> None:
    """Loops are closed and of one side: a tape around both thighs would be twice as long."""
    for phenotype in ({}, {"weight": 1.0, "gender": 1.0}, {"weight": 1.0, "muscle": 1.0}):
        found = measure(body, body.shape_from_phenotype(phenotype)).girths
        assert found["left_thigh"].outline[:, 0].min() > 0
        assert found["right_thigh"].outline[:, 0].max() < 0
        assert found["left_thigh"].length < 0.75 * found["hip"].length
        arms = [found[f"{side}_upper_arm"].outline[:, 0] for side in ("left", "right")]
        chest = found["chest"].outline
        assert chest[:, 0].max() < arms[0].max()
        # As deep as wide within reason: nothing of an arm was taken along.
        assert np.ptp(chest[:, 0]) < 2 * np.ptp(chest[:, 2])


def test_a_mesh_without_skin_is_refused(body: BakedBody) -> None:
    class Skinless(BakedBody):
        def __init__(self) -> None:
            pass

        faces = torch.zeros(0, 3, dtype=torch.int64)

        def rest(self, shape: torch.Tensor) -> PosedBody:
            return body.rest(shape)

    with pytest.raises(EngineError, match="no skin"):
        measure(Skinless(), torch.zeros(1, body.shape_size))


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
