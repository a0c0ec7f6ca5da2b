"""What the window asks of the poser, in this process and through the pipe of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from engine import child
from engine.bodies.keypoints.person import Person
from engine.bodies.poser import Poser
from engine.bodies.poser_messages import pack, unpack
from engine.bodies.record import Camera, RecoveredPerson, Recovery, write_recoveries
from engine.errors import EngineError
from engine.pipe import read_frame, write_frame

VIEW = {"eye": [0, 0, 4], "target": [0, 0, 0], "fov": 30, "width": 160, "height": 200}


@pytest.fixture(scope="module")
def poser() -> Poser:
    return Poser()


def pose(key: int, x: float = 0.0) -> dict[str, Any]:
    return {
        "do": "pose",
        "key": key,
        "shape": np.zeros(8, np.float32),
        "rotations": np.tile(np.eye(3, dtype=np.float32), (24, 1, 1)),
        "translation": np.array([x, 0, 0], np.float32),
    }


def test_posed_cast_and_picked(poser: Poser) -> None:
    loaded = poser.answer({"do": "load"})
    posed = poser.answer(pose(1))
    assert posed["vertices"].shape == posed["normals"].shape == (loaded["parts"].size, 3)
    bodies = [{"key": 1, "colour": [200, 100, 50]}]
    picture = poser.answer({"do": "cast", **VIEW, "bodies": bodies})["pixels"]
    assert picture.shape == (200, 160, 4)
    assert 0.05 < (picture[..., 3] > 0).mean() < 0.5
    ghost = poser.answer({"do": "cast", **VIEW, "bodies": [{**bodies[0], "ghost": True}]})["pixels"]
    assert 0 < ghost[..., 3].max() < 100
    picked = poser.answer({"do": "pick", **VIEW, "keys": [1], "x": 80, "y": 90})
    assert picked["key"] == 1
    assert loaded["joint_names"][picked["joint"]] in ("pelvis", "spine1", "spine2", "spine3")
    assert poser.answer({"do": "pick", **VIEW, "keys": [1], "x": 1, "y": 1}) == {}


def test_distances_and_measures(poser: Poser) -> None:
    poser.answer(pose(1))
    poser.answer(pose(2, x=0.1))
    apart = {"do": "distance", "first": 1, "second": 2}
    assert poser.answer({**apart, "offset": [0, 0, 0]})["mm"] == pytest.approx(100, abs=0.1)
    assert poser.answer({**apart, "offset": [-0.1, 0, 0]})["mm"] == pytest.approx(0, abs=0.1)
    measured = poser.answer({"do": "measure", "shape": np.zeros(8, np.float32)})
    assert 1.4 < measured["height"] < 1.9
    assert measured["outline_waist"].shape[1] == 3


def test_films_and_files(poser: Poser, tmp_path: Path) -> None:
    from engine.video import VideoFile

    posed = poser.answer(pose(1))
    film = tmp_path / "turn.mp4"
    asked = {"bodies": [{"key": 1, "colour": [200, 90, 60]}], "background": [20, 20, 20], "frames": 4}
    poser.answer({"do": "turntable", **VIEW, **asked, "path": str(film)})
    with VideoFile(film) as video:
        assert (video.width, video.height, len(video.times)) == (160, 200, 4)
    given = pose(1)
    about = {
        "person": {"layout": "coco17", "box": [0, 0, 9, 9], "score": 1.0},
        "method": "ik",
        "error_px": 1.0,
        "error_share": 0.01,
        "notes": [],
        "doubt": [],
        "guessed": [],
    }
    camera = {"width": 90, "height": 90, "focal": 100.0, "centre": [45, 45], "source": "guess"}
    files = poser.answer(
        {
            "do": "export",
            "people": [about],
            **{f"p0_{name}": given[name] for name in ("shape", "rotations", "translation")},
            "p0_joints": posed["joints"],
            "p0_keypoints": np.ones((17, 3)),
            "camera": camera,
            "picture": "a.jpg",
            "folder": str(tmp_path / "out"),
            "stem": "a",
            "formats": ["obj", "glb", "npz", "bvh", "ply", "stl"],
        }
    )["files"]
    names = ["a-p1.obj", "a-p1.glb", "a.npz", "a-p1.bvh", "a-p1.ply", "a-p1.stl"]
    assert [Path(file).name for file in files] == names
    loaded = trimesh.load(files[0], process=False)
    assert loaded.bounds == pytest.approx(
        np.stack([posed["vertices"].min(0), posed["vertices"].max(0)]), abs=1e-5
    )


def test_all_frames_of_a_result(poser: Poser, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape, turns = np.zeros(poser.body.shape_size, np.float32), np.tile(np.eye(3), (24, 1, 1))
    camera = Camera(400, 400, 500.0, (200.0, 200.0), "user")
    far = np.array([0, -0.2, -4], np.float32)
    posed = poser.body.posed(*(torch.tensor(v, dtype=torch.float32)[None] for v in (shape, turns, far)))
    seen = camera.project(poser.body.coco_keypoints(posed.vertices)[0, :17].double().numpy())
    person = Person(
        keypoints=np.concatenate([seen, np.ones((17, 1))], 1),
        layout="coco17",
        box=np.array([0.0, 0, 400, 400]),
        score=1.0,
        identity=7,
    )
    made = RecoveredPerson(
        person=person, method="ik", shape=shape, rotations=turns.astype(np.float32), translation=far,
        joints=posed.joints[0].numpy(), error_px=0.0, error_share=0.0, notes=(),
    )  # fmt: skip
    frames = [
        Recovery(
            picture="walk.mp4", width=400, height=400, camera=camera, body=poser.body.name,
            people=(made,), frame=number, seconds=number / 10,
        )
        for number in (0, 5)
    ]  # fmt: skip
    write_recoveries(tmp_path / "bodies.npz", frames)
    corrected = person.keypoints.copy()
    corrected[9, 1] -= 60 + rng.uniform(0, 5)
    asked = {
        "do": "export_all",
        "path": str(tmp_path / "bodies.npz"),
        "edits": {"1:0": corrected.tolist()},
        "folder": str(tmp_path / "out"),
        "stem": "walk",
        "formats": ["obj", "bvh"],
        "fps": 10.0,
    }
    files = [Path(file) for file in poser.answer(asked)["files"]]
    assert [file.name for file in files] == [
        "walk-p7-f000000.obj", "walk-p7-f000005.obj", "walk-p7.bvh",
    ]  # fmt: skip
    first, second = (trimesh.load(file, process=False).vertices for file in files[:2])
    own = posed.vertices[0].numpy()
    bounds = np.stack([own.min(0), own.max(0)])
    assert np.stack([first.min(0), first.max(0)]) == pytest.approx(bounds, abs=1e-5), "as recovered"
    assert np.abs(first - second).max() > 0.05, "the corrected wrist is elsewhere"


def test_refusals(poser: Poser) -> None:
    with pytest.raises(EngineError, match="no request 'sing'"):
        poser.answer({"do": "sing"})
    film = {"do": "turntable", **VIEW, "frames": 1, "bodies": [{"key": 99, "colour": [1, 1, 1]}]}
    with pytest.raises(EngineError, match="no body 99"):
        poser.answer({**film, "path": "x.mp4"})


def test_through_the_pipe() -> None:
    process = subprocess.Popen(
        child.command("engine.bodies.poser_child"),
        env=child.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        answers = []
        for request in ({"do": "sing"}, pose(3)):
            write_frame(process.stdin, *pack(request))
            process.stdin.flush()
            frame = read_frame(process.stdout)
            assert frame is not None
            answers.append(unpack(*frame))
        assert not answers[0]["ok"]
        assert "sing" in answers[0]["error"]["message"]
        assert answers[1]["ok"]
        assert answers[1]["vertices"].dtype == np.float32
    finally:
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        process.stdout.close()
