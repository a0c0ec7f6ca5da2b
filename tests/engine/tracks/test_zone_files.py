"""Outlines of zones, counts by zone, files of zones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.synthetic import make_scene
from engine.tracks.track_motion import flatten
from engine.tracks.tracklets import TrackState
from engine.tracks.visits import END
from engine.tracks.zone_counts import EndPoints, end_points, heat, zone_counts
from engine.tracks.zone_files import fitted_zones, read_zones, write_zones, zones_of_labels
from engine.tracks.zone_shapes import area, clipped, crossing_edges, moved, nearest_side, shape_problem
from engine.tracks.zone_suggestions import suggested_zones
from engine.tracks.zones import centres, end_zones

HEAD = b'{"format": "triptych-zones", "version": %d, "cameras": '
SQUARE = ((10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0))


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        (SQUARE, ""),
        (SQUARE[:2], "three corners"),
        (((0, 0), (50, 50), (50, 0), (0, 50)), "crosses itself: side 1 and side 3"),
        (((0, 0), (50, 0), (20, 0), (20, 40)), "crosses itself: side 1 and side 2"),  # folds back
        (((0, 0), (50, 0), (50, 50), (25, 0), (0, 50)), "crosses itself"),  # touches a side
        (((0, 0), (120, 0), (120, 50)), "2 corners are outside the picture (100 x 80"),
        (((0, 0), (10, -1), (10, 50)), "Corner 2 is outside"),
        (((0, 0), (2, 0), (0, 2)), "too small"),
        (((0, 0), (50, 0), (50, 50), (25, 10), (0, 50)), ""),  # not convex
    ],
)
def test_what_is_wrong_with_an_outline_is_said(polygon: tuple, words: str) -> None:
    found = shape_problem(polygon, 100, 80)
    assert (words in found) if words else not found


def test_only_one_order_of_corners_on_a_circle_does_not_cross(rng: np.random.Generator) -> None:
    angles = np.sort(rng.random(7)) * 6.28
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    whole = 0
    for _ in range(150):
        start, order = int(rng.integers(7)), rng.permutation(7)
        if rng.random() < 0.3:
            order = np.roll(np.arange(7)[:: int(rng.choice([-1, 1]))], start)
        round_it = np.unique(np.diff(np.r_[order, order[0]]) % 7).tolist() in ([1], [6])
        assert (crossing_edges(corners[order].tolist()) is None) == round_it
        whole += round_it
    assert 20 < whole < 100


def test_outlines_stay_in_the_picture() -> None:
    assert area(SQUARE) == 1600
    assert nearest_side(SQUARE, (47, 30)) == (1, (50, 30))
    assert nearest_side(SQUARE, (0, 60)) == (2, (10, 50))
    assert moved(SQUARE, -30, 100, 100, 80) == ((0, 40), (40, 40), (40, 80), (0, 80))
    assert clipped(((-5, 10), (120, 10), (120, 10.2), (50, 90)), 100, 80) == (
        (0, 10),
        (100, 10),
        (50, 80),
    )


def test_counts_follow_the_rule_of_the_association(rng: np.random.Generator) -> None:
    zones = (Zone("a", SQUARE), Zone("b", ((50, 0), (100, 0), (100, 100), (50, 100))))
    camera = Camera("c", width=100, height=100, zones=zones)
    parts = []
    for tracklet in range(60):
        count = int(rng.integers(1, 12))
        at = rng.random((count, 2)) * 100
        where = int(tracklet % 2)
        parts.append((np.arange(count), np.c_[at - 1, np.full((count, 2), 2)], tracklet, where))
    frames = np.concatenate([part[0] for part in parts])
    names = np.concatenate([np.full(len(p[0]), p[2]) for p in parts])
    cameras = np.concatenate([np.full(len(p[0]), p[3]) for p in parts])
    boxes = Boxes.of(frames, np.concatenate([p[1] for p in parts]), cameras=cameras)
    flat = flatten(TrackState(boxes, names, {}))
    ends = end_points(flat, 1)
    assert len(ends) == 30
    entered, left = np.zeros(3, int), np.zeros(3, int)
    for tracklet in range(1, 60, 2):
        own = boxes.select(names == tracklet)
        first, last = end_zones(camera.zone_of(centres(own)), END)
        entered[first] += 1
        left[last] += 1
    found = zone_counts(ends, camera)
    assert found[0].tolist() == entered.tolist()
    assert found[1].tolist() == left.tolist()
    assert min(*entered, *left) > 0
    nothing = zone_counts(end_points(flat, 5), camera)
    assert nothing[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", [3, 4])
def test_suggested_zones_are_the_arms(seed: int) -> None:
    """Of a synthetic crossing: where its four roads leave the picture, told from tracks alone."""
    made = make_scene("medium", seed, seconds=300.0, cameras=2)
    truth = made.truth
    _, names = np.unique(np.stack([truth.cameras, truth.tracks]), axis=1, return_inverse=True)
    flat = flatten(TrackState(truth, names.reshape(-1), {}))
    for at, camera in enumerate(made.cameras):
        ends = end_points(flat, at)
        found = camera.with_zones(suggested_zones(ends, camera.width, camera.height))
        assert 3 <= len(found.zones) <= 5
        assert ("left" if at else "right") in {zone.name for zone in found.zones}
        assert all(not shape_problem(z.polygon, camera.width, camera.height) for z in found.zones)
        points = np.concatenate([ends.first[:, 0], ends.last[:, 0]])
        there, wanted = found.zone_of(points), camera.zone_of(points)
        assert (there >= 0).mean() > 0.85
        # Each suggested zone is about one road.
        for number in range(len(found.zones)):
            assert np.bincount(wanted[there == number] + 1).max() > 0.9 * (there == number).sum()


def test_nothing_is_suggested_from_little() -> None:
    few = EndPoints(np.zeros((3, 5, 2)), np.zeros((3, 5, 2)))
    with pytest.raises(EngineError, match="3 tracklets are too few"):
        suggested_zones(few, 100, 100)
    inside = EndPoints(np.full((40, 5, 2), 50.0), np.full((40, 5, 2), 52.0))
    with pytest.raises(EngineError, match="near the picture's border"):
        suggested_zones(inside, 100, 100)


def test_heat_is_where_boxes_are() -> None:
    found = heat(np.array([[95.0, 5.0]] * 9 + [[5.0, 45.0]]), 100, 50)
    assert found.shape == (24, 48)
    assert found.max() == found[2, 45] == 1
    assert 0 < found[21, 2] < 1
    assert (found > 0).sum() == 2
    assert heat(np.zeros((0, 2)), 100, 50).max() == 0


def test_zones_go_round_through_a_file(tmp_path: Path) -> None:
    zones = (Zone("west", SQUARE, "d", "east"), Zone("screen", SQUARE[:3], ignored=True))
    cameras = [Camera("c", width=100, height=80, zones=zones), Camera("d", width=100, height=80)]
    write_zones(cameras, tmp_path / "zones.json")
    found, notes = fitted_zones(read_zones(tmp_path / "zones.json"), cameras, 1, (0, 0))
    assert found == {0: zones, 1: ()}
    assert notes == []

    # To pictures of another size, of a scene without the other camera.
    alone = [Camera("c", width=200, height=80)]
    found, notes = fitted_zones(read_zones(tmp_path / "zones.json"), alone, 0, (0, 0))
    assert found[0][0] == Zone("west", ((20, 10), (100, 10), (100, 50), (20, 50)))
    assert notes == ["The scene has no camera d."]
    with pytest.raises(EngineError, match="None of the file's zones"):
        fitted_zones(read_zones(tmp_path / "zones.json"), [Camera("x")], 0, (0, 0))

    # A file about one camera is about the one that is shown; what does not fit is said.
    bow = Zone("bow", ((0, 0), (50, 50), (50, 0), (0, 50)))
    wide = Zone("wide", ((50, 0), (180, 0), (180, 50)))
    write_zones([Camera("old", width=100, height=80, zones=(bow, wide))], tmp_path / "one.json")
    found, notes = fitted_zones(read_zones(tmp_path / "one.json"), cameras, 1, (0, 0))
    assert found == {1: (Zone("wide", ((50, 0), (100, 0), (100, 50))),)}
    assert len(notes) == 2
    assert "left out. Its outline crosses itself" in notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"), ("a.json", b'{"format": "x", "version": 1, "cameras": []}'), ("a.png", b"no"),
        ("a.json", HEAD % 9 + b"[]}"),
        ("a.json", HEAD % 1 + b'[{"name": "c", "zones": [3]}]}'),
        ("a.json", b"[]"), ("a.json", b"\xff\xfe"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match="nothing was changed"):
        read_zones(tmp_path / name)
    with pytest.raises(EngineError, match="cannot be read"):
        read_zones(tmp_path / "not there.json")


def test_label_images_become_zones(tmp_path: Path) -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    image[:, :150] = 255
    image[250:, 200:400] = (255, 0, 0)
    image[:200, 450:] = (0, 255, 0)
    image[230:, 450:] = (0, 255, 0)
    image[:100, 200:400] = (0, 0, 255)
    image[150, 300] = (255, 0, 0)  # a speck
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    cv2.imwrite(str(tmp_path / "c.png"), smooth[:, :, ::-1])
    file = read_zones(tmp_path / "c.png")
    assert file.sizes == {"": (600, 400)}
    zones = file.zones[""]
    assert [zone.name for zone in zones] == ["white", "red", "green", "green 2", "blue"]
    camera = Camera("c", width=600, height=400, zones=zones)
    ys, xs = np.mgrid[2:400:7, 2:600:7]
    there = camera.zone_of(np.stack([xs.ravel(), ys.ravel()], axis=1))
    codes = np.array([1, 2, 3, 3, 4, 0])[there]
    lit = smooth[ys.ravel(), xs.ravel()] > 50
    truth = np.select([lit.all(axis=1), lit[:, 0], lit[:, 1], lit[:, 2]], [1, 2, 3, 4], 0)
    assert (codes == truth).mean() > 0.98
    with pytest.raises(EngineError, match="no zones"):
        zones_of_labels(np.zeros((40, 60, 3), np.uint8))


def test_the_published_label_images(golden: Path) -> None:
    """Zones of the challenge's cameras cover what the images say, within their smoothed borders."""
    for path in sorted((golden.parent / "data" / "tracks" / "aic_zones").glob("*.png")):
        zones = read_zones(path).zones[""]
        assert len(zones) == 4, path.name
        image = cv2.imread(str(path))
        assert image is not None
        ys, xs = np.mgrid[0 : image.shape[0] : 9, 0 : image.shape[1] : 9]
        points = np.stack([xs.ravel(), ys.ravel()], axis=1)
        on = image[ys.ravel(), xs.ravel(), ::-1] > 50
        truth = np.select([on.all(axis=1), on[:, 0], on[:, 1], on[:, 2]], [1, 2, 3, 4], 0)
        codes = np.array([1, 2, 3, 4, 0])[Camera("c", zones=zones).zone_of(points)]
        assert (codes == truth).mean() > 0.985, path.name


def test_a_files_version_is_ours(tmp_path: Path) -> None:
    write_zones([replace(Camera("c"), zones=(Zone("z", SQUARE),))], tmp_path / "z.json")
    assert json.loads((tmp_path / "z.json").read_text())["version"] == 1
