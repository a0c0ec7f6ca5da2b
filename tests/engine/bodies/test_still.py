"""Stills by a graphics driver where there is one, by rays where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bodies import poser as poser_module
from engine.bodies.body_model import load_builtin_body, vertex_normals
from engine.bodies.poser import Poser
from engine.bodies.recover import average_shape
from engine.bodies.render import Caster, Mesh, View
from engine.bodies.still import _halved, rendered_still

VIEW = {"eye": [0.8, 0.4, 3.0], "target": [0.0, 0.0, 0.0], "fov": 38.0, "width": 200, "height": 240}


def test_the_driver_shows_what_rays_show() -> None:
    body = load_builtin_body()
    rest = body.rest(average_shape(body))
    normals = vertex_normals(rest.vertices, body.faces)[0].numpy()
    colour = np.array([43, 191, 174], np.uint8)
    mesh = Mesh(rest.vertices[0].numpy(), body.faces.numpy(), colour, normals)
    view = View.look_at(VIEW["eye"], VIEW["target"], 38.0, 200, 240)  # type: ignore[arg-type]
    pixels = rendered_still([mesh], view)
    if pixels is None:
        pytest.skip("there is no Vulkan driver here")
    rays = Caster([mesh]).paint(view, samples=3)
    assert pixels.shape == rays.shape
    assert np.abs(pixels[..., 3].astype(int) - rays[..., 3]).mean() < 3
    red, green, blue = pixels[pixels[..., 3] == 255][:, :3].mean(0)
    assert red < blue < green, "the body's colour"


def test_without_a_driver_rays_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poser_module, "rendered_still", lambda meshes, view: None)
    body = load_builtin_body()
    poser = Poser(body)
    poser.answer(
        {
            "do": "pose", "key": 0, "shape": average_shape(body)[0].numpy(),
            "rotations": torch.eye(3).repeat(24, 1, 1).numpy(), "translation": np.zeros(3),
        }
    )  # fmt: skip
    told = poser.answer({"do": "still", **VIEW, "bodies": [{"key": 0, "colour": [43, 191, 174]}]})
    assert told["renderer"] == "rays"
    assert told["pixels"].shape == (240, 200, 4)
    assert 0 < (told["pixels"][..., 3] == 255).mean() < 0.5


def test_pixels_are_means_of_what_is_covered() -> None:
    colours = np.zeros((2, 4, 3))
    colours[:, :2] = 100
    colours[0, 0] = 200
    covered = np.array([[1.0, 0, 0, 0], [1, 0, 0, 0]])
    assert _halved(colours, covered).tolist() == [[[150, 150, 150, 128], [0, 0, 0, 0]]]


def test_a_driver_that_hangs_is_given_up() -> None:
    assert rendered_still([], View.look_at((0, 0, 3), (0, 0, 0), 40, 32, 32), time_limit=0.01) is None
