"""Rays meet what they should: a sphere, whose picture is known, and two of them in one line."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest

from engine.bodies.render import Caster, Mesh, View, over
from engine.errors import EngineError

RADIUS, DISTANCE = 0.5, 3.0


def sphere(centre: tuple[float, float, float], colour: tuple[int, int, int] = (200, 60, 60)) -> Mesh:
    made = o3d.geometry.TriangleMesh.create_sphere(RADIUS, 60)
    made.compute_vertex_normals()
    return Mesh(
        (np.asarray(made.vertices) + centre).astype(np.float32),
        np.asarray(made.triangles),
        np.array(colour, np.uint8),
        np.asarray(made.vertex_normals).astype(np.float32),
    )


@pytest.fixture(scope="module")
def view() -> View:
    return View.pinhole(300, (160, 120), 320, 240)


def test_depth_and_outline_of_a_sphere(view: View) -> None:
    hits = Caster([sphere((0, 0, -DISTANCE))]).cast(view)
    assert hits.depth[120, 160] == pytest.approx(DISTANCE - RADIUS, abs=2e-3)
    # A sphere's outline is where the ray touches it: sin(angle) = radius / distance.
    radius = 300 * np.tan(np.arcsin(RADIUS / DISTANCE))
    assert (hits.mesh == 0).sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert np.isinf(hits.depth[0, 0])
    assert hits.face[0, 0] == -1


def test_y_is_up_and_x_right(view: View) -> None:
    seen = Caster([sphere((0.6, 0.4, -DISTANCE))]).silhouette(view)
    rows, columns = np.nonzero(seen)
    assert rows.mean() == pytest.approx(120 - 300 * 0.4 / DISTANCE, abs=3)
    assert columns.mean() == pytest.approx(160 + 300 * 0.6 / DISTANCE, abs=3)
    assert view.project(np.array([[0.6, 0.4, -DISTANCE]]))[0] == pytest.approx([220, 80])


def test_the_nearer_one_is_seen(view: View) -> None:
    caster = Caster([sphere((0, 0, -5)), sphere((0, 0, -DISTANCE))])
    assert caster.cast(view).mesh[120, 160] == 1
    picked = caster.pick(view, 160, 120)
    assert picked is not None
    assert picked.mesh == 1
    assert picked.point == pytest.approx([0, 0, RADIUS - DISTANCE], abs=2e-3)
    assert np.linalg.norm(caster.meshes[1].vertices[picked.vertex] - picked.point) < 0.03
    assert caster.pick(view, 3, 3) is None


def test_looking_from_somewhere_else() -> None:
    view = View.look_at((4, 1, 0), (0, 1, 0), 30, 200, 100)
    hits = Caster([sphere((0, 1, 0))]).cast(view)
    assert hits.depth[50, 100] == pytest.approx(4 - RADIUS, abs=2e-3)
    assert view.eye == pytest.approx([4, 1, 0])
    # From +x, what is at -z is on the right.
    assert view.project(np.array([[0.0, 1, -1]]))[0, 0] > 100


def test_light_comes_from_the_upper_left(view: View) -> None:
    picture = Caster([sphere((0, 0, -DISTANCE))]).paint(view, samples=2)
    assert picture.shape == (240, 320, 4)
    assert picture[0, 0].tolist() == [0, 0, 0, 0]
    assert picture[100, 140, :3].sum() > picture[140, 180, :3].sum() + 60
    assert picture[120, 160, 3] == 255
    edge = picture[120, :, 3]
    assert ((edge > 0) & (edge < 255)).any(), "several rays a pixel smooth the edge"
    ground = Caster([sphere((0, 0, -DISTANCE))]).paint(view, background=(10, 20, 30))
    assert ground[0, 0].tolist() == [10, 20, 30, 255]


def test_wires_let_through_what_is_between(view: View) -> None:
    made = Mesh(
        np.array([[-1, -1, -4], [1, -1, -4], [0, 1, -4]], np.float32),
        np.array([[0, 1, 2]]),
        np.array([255, 255, 255], np.uint8),
    )
    full, wires = (Caster([made]).paint(view, wireframe=on)[..., 3] > 0 for on in (False, True))
    assert full[120, 160]
    assert not wires[120, 160]
    inner = np.zeros_like(full)
    inner[2:-2, 2:-2] = full[4:, 2:-2] & full[:-4, 2:-2] & full[2:-2, 4:] & full[2:-2, :-4]
    assert 0 < wires.sum() < 0.2 * full.sum()
    assert not (wires & inner).any(), "wires are where the outline is"


def test_a_picture_over_another() -> None:
    red = np.full((1, 1, 4), [255, 0, 0, 128], np.uint8)
    blue = np.full((1, 1, 4), [0, 0, 255, 255], np.uint8)
    assert over(red, blue)[0, 0].tolist() == [128, 0, 127, 255]
    assert over(red, np.zeros_like(red))[0, 0].tolist() == [255, 0, 0, 128]


def test_nothing_to_see(view: View) -> None:
    assert not Caster([]).silhouette(view).any()
    assert not Caster([]).paint(view).any()


def test_refusals() -> None:
    bad = sphere((0, 0, 0))
    bad.vertices[3, 1] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        Caster([bad])
    with pytest.raises(EngineError, match="no vertex"):
        Caster([Mesh(np.zeros((2, 3), np.float32), np.array([[0, 1, 2]]), np.zeros(3, np.uint8))])
    many = Mesh(np.zeros((3, 3), np.float32), np.broadcast_to([0, 1, 2], (10_000_001, 3)), bad.colours)
    with pytest.raises(EngineError, match="10,000,001 faces"):
        Caster([many])
