"""Shapes from outlines: widths beside a body's, what is inferred of the rest, people in pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.keypoints.layouts import COCO17
from engine.bodies.keypoints.person import Mask, Person
from engine.bodies.measure import measure
from engine.bodies.record import Camera
from engine.bodies.recover import recover_person
from engine.bodies.recover_shape import measures_model
from engine.bodies.render import Caster, Mesh, View
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.shape_evidence import Measures
from engine.bodies.shape_parts import PARTS
from engine.bodies.shape_silhouette import LINES, half_widths
from engine.errors import EngineError

CAMERA = Camera(450, 600, 700.0, (225.0, 300.0), "user")


def person(body: BakedBody, weight: float, outlined: bool = True) -> tuple[Person, torch.Tensor]:
    """Somebody who stands with arms away from the trunk, and the shape."""
    shape = body.shape_from_phenotype({"weight": weight, "gender": 0.3})
    turns = torch.zeros(1, 24, 3)
    turns[0, 0, 1] = 0.3
    with torch.no_grad():
        posed = body.posed(shape, axis_angle_to_matrix(turns), torch.tensor([[0.0, 0.0, -3.0]]))
        points = body.coco_keypoints(posed.vertices)[0, : len(COCO17.names)].double().numpy()
    mesh = Mesh(posed.vertices[0].numpy(), body.faces.numpy(), np.full(3, 99, np.uint8))
    view = View.pinhole(CAMERA.focal, CAMERA.centre, CAMERA.width, CAMERA.height)
    seen = (255 * Caster([mesh]).silhouette(view)).astype(np.uint8)
    pixels = CAMERA.project(points)
    hips = points[[COCO17.index("left_hip"), COCO17.index("right_hip")]].mean(0)
    found = Person(
        keypoints=np.concatenate([pixels, np.ones((len(pixels), 1))], 1),
        layout=COCO17.name,
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
        mask=Mask(seen, np.eye(2, 3)) if outlined else None,
        world=(points - hips) * [1, -1, -1],
    )
    return found, shape


def test_half_widths_of_a_bar() -> None:
    mask = np.zeros((80, 60), bool)
    mask[10:70, 20:40] = True
    starts, ends = np.array([[30.0, 15.0], [30.0, 40.0]]), np.array([[30.0, 65.0], [50.0, 40.0]])
    found = half_widths(mask, starts, ends, np.array([25.0, 15.0]))
    assert found.shape == (2, LINES)
    assert found[0] == pytest.approx(np.full(LINES, 10.0), abs=0.6)
    # Along the bar's own side the run does not end within 15 pixels; outside there is none.
    assert np.isnan(found[1]).all()


def test_a_heavy_body_is_told_from_a_thin_one_by_the_outline() -> None:
    body = load_builtin_body()
    waists = {}
    for weight in (0.15, 0.9):
        seen, shape = person(body, weight)
        height = measure(body, shape).height
        found = recover_person(seen, CAMERA, body, "niki+shape", height=height)
        waists[weight] = (
            measure(body, torch.from_numpy(found.shape.copy())[None]).girths["waist"].length
        )
        true = measure(body, shape).girths["waist"].length
        assert abs(waists[weight] - true) < 0.1
        assert "parts were seen" in " ".join(found.notes)
    assert waists[0.9] > waists[0.15] + 0.05


def test_a_known_shape_stays_and_without_an_outline_it_is_average() -> None:
    body = load_builtin_body()
    seen, shape = person(body, 0.9)
    kept = recover_person(seen, CAMERA, body, "niki+shape", shape=shape)
    assert np.array_equal(kept.shape, shape[0].numpy())
    plain, _ = person(body, 0.9, outlined=False)
    assert "average" in " ".join(recover_person(plain, CAMERA, body, "niki+shape").notes)


def test_unseen_parts_are_inferred_and_less_certain() -> None:
    model = measures_model()
    numbers = torch.zeros(1, 16)
    numbers[0, :3] = torch.tensor([0.8, -1.0, 0.7])
    lengths, _, widths = model.decoder.measured(numbers)
    errors = 0.02 * widths[0]
    trunk = [PARTS.index(joint) for joint in (0, 3, 6, 9)]
    errors[trunk] = torch.inf
    some = Measures(lengths[0], 0.02 * lengths[0], torch.nan_to_num(widths[0]), errors)
    found = model.estimate(some)
    assert found.seen.sum() == len(PARTS) - len(trunk)
    assert not found.seen[trunk].any()
    assert (found.widths - widths[0]).abs()[trunk].mean() < 0.01
    whole = model.estimate(Measures(lengths[0], 0.02 * lengths[0], widths[0], 0.02 * widths[0]))
    assert (found.deviations[trunk] > whole.deviations[trunk]).all()
    with pytest.raises(EngineError, match="errors above 0"):
        model.estimate(Measures(lengths[0], 0 * lengths[0], widths[0], errors))
