"""Detectors from files: recognised, given pictures as they expect them, and read rightly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, ErrorCode
from engine.tracks.detection.catalogue import load_detector
from engine.tracks.detection.onnx_detector import OnnxDetector, tile_boxes
from engine.tracks.detection.onnx_layouts import recognise
from tests.engine.tracks.detection.onnx_files import (
    HEIGHT,
    HIGH,
    KIND,
    SCORE,
    WIDE,
    WIDTH,
    DetectorGraph,
    chosen,
    detr,
    labelled,
    rtdetr,
    yolov5,
    yolov8,
    yolox,
)

SPOT = (230.0, 140.0)


def spot(
    at: tuple[float, float] = SPOT, size: tuple[int, int] = (400, 300), width: float = 16.0
) -> np.ndarray:
    """A black picture with a bright spot: a smooth one, so that its centre survives scaling."""
    columns, rows = np.arange(size[0]) + 0.5 - at[0], np.arange(size[1])[:, None] + 0.5 - at[1]
    light = 255 * np.exp(-(columns**2 + rows**2) / 2 / width**2)
    return np.repeat(light.round().astype(np.uint8)[..., None], 3, axis=2)


def load(path: Path, **options: Any) -> OnnxDetector:
    detector = load_detector(str(path), **options)
    assert isinstance(detector, OnnxDetector)
    return detector


def around(at: tuple[float, float], scale: tuple[float, float]) -> np.ndarray:
    half = np.array([WIDE * scale[0], HIGH * scale[1]]) / 2
    return np.concatenate([np.array(at) - half, np.array(at) + half])


FILES: dict[str, tuple[str, bool, Callable[[Path], Path]]] = {
    "v8": ("yolov8", False, yolov8),
    "v8 transposed": (
        "yolov8",
        False,
        lambda p: yolov8(p, transposed=True, metadata={"names": "[0,1,2,3]"}),
    ),
    "v8 with keypoints": (
        "yolov8",
        False,
        lambda p: yolov8(p, extra=51, metadata={"names": "[0,1,2,3]"}),
    ),
    "v5": ("yolov5", False, yolov5),
    "x": ("yolox", False, lambda p: yolox(p, raw=False)),
    "x raw": ("yolox", False, lambda p: yolox(p, raw=True)),
    "chosen": ("chosen", False, chosen),
    "rtdetr": ("rtdetr", True, rtdetr),
    "rtdetr logits": ("detr", True, lambda p: detr(p, softmax=False)),
    "detr": ("detr", True, lambda p: detr(p, softmax=True, mask=True)),
    "rtdetr original": ("labelled", True, lambda p: labelled(p, kind="rtdetr")),
    "mmdeploy": ("labelled", False, lambda p: labelled(p, kind="mmdeploy")),
}


@pytest.mark.parametrize("kind", list(FILES))
def test_layouts_are_recognised_and_read(tmp_path: Path, kind: str) -> None:
    family, stretched, write = FILES[kind]
    detector = load(write(tmp_path / "model.onnx"))
    assert detector.layout.family == family
    tall = spot((60, 300), (120, 500))
    for found, at, size in zip(
        detector.look([spot(), tall]), (SPOT, (60, 300)), ((400, 300), (120, 500)), strict=True
    ):
        ratios = (size[0] / WIDTH, size[1] / HEIGHT)
        scale = ratios if stretched else (max(ratios), max(ratios))
        assert len(found) == 1
        assert found.classes.tolist() == [KIND]
        assert found.scores[0] == pytest.approx(SCORE, abs=1e-3)
        expected = np.clip(around(at, scale), 0, np.tile(size, 2))
        np.testing.assert_allclose(found.boxes[0], expected, atol=0.7)


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_any_batch_gives_the_same(tmp_path: Path, batch: Any) -> None:
    pictures = [spot((100 + 40 * n, 90 + 20 * n)) for n in range(5)]
    detector = load(yolov8(tmp_path / "m.onnx", batch=batch), batch=4)
    together = detector.look(pictures)
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector.look([picture])
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-4)
        assert len(found) == 1
    assert detector.look([]) == []


def test_a_model_of_any_size_gets_what_is_said(tmp_path: Path) -> None:
    square = {"width": 96, "height": 96}
    detector = load(yolov8(tmp_path / "m.onnx", dynamic=True, graph=square), size=96)
    (found,) = detector.look([spot()])
    np.testing.assert_allclose(found.boxes, [around(SPOT, (400 / 96, 400 / 96))], atol=0.7)
    assert "size of the input: 96 x 96" in detector.assumptions
    with pytest.raises(EngineError, match="fails on a picture of 640 x 640 pixels"):
        load(tmp_path / "m.onnx")


def test_small_things_in_large_pictures_are_found_in_tiles(tmp_path: Path) -> None:
    path = yolov8(tmp_path / "m.onnx", graph={"threshold": 0.8})
    picture = spot((1000, 450), (1600, 1200), width=6.0)  # dark when all of it is shrunk
    (whole,) = load(path).look([picture])
    (tiled,) = load(path, tiles=4).look([picture])
    (by_size,) = load(path, tiles=0).look([picture])
    # Nothing is bright enough: the model's spot is at (0, 0) of its input, where there is no picture.
    assert len(whole) == 0
    for found in (tiled, by_size):
        centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        assert np.abs(centre - [1000, 450]).max(axis=1).min() < 2


def test_tiles_cover_a_picture_and_overlap() -> None:
    whole, *tiles = tile_boxes(1000, 700, 3)
    assert whole.tolist() == [0, 0, 1000, 700]
    assert len(tiles) == 9
    covered = np.zeros((700, 1000), int)
    for left, top, right, bottom in tiles:
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    assert tiles[0][2] - tiles[1][0] == pytest.approx(0.2 * (tiles[0][2] - tiles[0][0]), abs=2)
    assert [box.tolist() for box in tile_boxes(10, 10, 1)] == [[0, 0, 10, 10]]


def test_things_cut_by_a_tile_are_left_to_its_neighbour(tmp_path: Path) -> None:
    graph = DetectorGraph()
    numbers = [graph.number(v) for v in (0.0, 50.0, 96.0, 90.0, SCORE, KIND)]
    path = graph.write(tmp_path / "m.onnx", {"out": graph.rows(graph.column(numbers, "o", 300, 0))})
    (found,) = load(path, tiles=2, overlap=1.0).look([np.zeros((256, 192, 3), np.uint8)])
    # As wide as each part: only that of the whole picture ends at no inner border.
    np.testing.assert_allclose(found.boxes, [[0, 100, 192, 180]], atol=1e-6)


def test_classes_are_chosen_by_name_and_number(tmp_path: Path) -> None:
    names = {"names": "{0: 'person', 1: 'bus', 2: 'car', 3: 'truck'}"}
    path = yolov8(tmp_path / "m.onnx", metadata=names)
    assert load(path).class_names == {0: "person", 1: "bus", 2: "car", 3: "truck"}
    assert len(load(path, classes="Car, 0").look([spot()])[0]) == 1
    assert load(path, classes="bus").look([spot()])[0].boxes.shape == (0, 4)
    one = load(path, classes="car,bus", one_class=True)
    assert one.class_names == {0: "object"}
    assert one.look([spot()])[0].classes.tolist() == [0]
    with pytest.raises(EngineError, match="no class 'cars' among its 4") as caught:
        load(path, classes="cars")
    assert "Did you mean: car" in caught.value.hint
    with pytest.raises(EngineError, match="no class 'zebra'") as caught:
        load(path, classes="zebra")
    assert "It has: person, bus, car, truck" in caught.value.hint
    assert load(path, least_score=0.95).look([spot()])[0].boxes.shape == (0, 4)


def test_colours_are_what_the_user_says(tmp_path: Path) -> None:
    blue = spot()
    blue[..., :2] = 0
    path = yolov8(tmp_path / "m.onnx", graph={"channel": 2})
    assert load(path).look([blue])[0].boxes[0, 0] > 50
    assert len(load(path, order="bgr").look([blue])[0]) == 0  # no spot in what is red now
    assert "BGR, 0 to 255" in load(path, order="bgr", colours="byte").assumptions[0]


def test_what_overlaps_better_boxes_is_left_out(tmp_path: Path) -> None:
    rows = [[10, 10, 50, 50, 0.9, 0], [12, 10, 52, 50, 0.8, 1], [60, 60, 90, 90, 0.7, 1]]
    graph = DetectorGraph()
    zeros = graph.column([graph.number(0.0) for _ in range(6)], "z", 300, 0)
    table = np.zeros((1, 300, 6))
    table[0, :3] = rows
    out = graph.add("Add", [graph.rows(zeros), graph.constant(table, "table")], "sum")
    path = graph.write(tmp_path / "m.onnx", {"out": out})
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert load(path).look([picture])[0].scores == pytest.approx([0.9, 0.7])
    assert load(path, per_class=True).look([picture])[0].scores == pytest.approx([0.9, 0.8, 0.7])
    assert load(path, overlap=1.0).look([picture])[0].scores == pytest.approx([0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"logits": (1, 1000)}, r"logits \[1, 1000\]"),
        ({"heat": (1, 17, 32, 24)}, r"heat \[1, 17, 32, 24\]"),
        ({"rows": (1, 300, 4)}, r"rows \[1, 300, 4\]"),
        ({"rows": (300, 6)}, r"rows \[300, 6\]"),
    ],
)
def test_other_outputs_are_refused_with_what_was_found(
    outputs: dict[str, tuple[int, ...]], found: str
) -> None:
    with pytest.raises(EngineError, match=found) as caught:
        recognise(outputs, (WIDTH, HEIGHT), 0, "auto", "model.onnx")
    assert caught.value.code == ErrorCode.BAD_FILE
    assert "YOLOX" in caught.value.hint


def test_a_layout_can_be_insisted_on(tmp_path: Path) -> None:
    shapes = {"out": (1, 300, 6)}
    assert recognise(shapes, (640, 640), 0, "auto", "m").family == "chosen"
    assert recognise(shapes, (640, 640), 0, "rtdetr", "m").classes == 2
    assert recognise(shapes, (640, 640), 2, "auto", "m").family == "rtdetr"
    with pytest.raises(EngineError, match="not those of the layout yolox"):
        recognise(shapes, (640, 640), 0, "yolox", "m")
    with pytest.raises(EngineError, match="no layout of detectors called 'ssd'"):
        recognise(shapes, (640, 640), 0, "ssd", "m")


@pytest.mark.parametrize(
    ("shapes", "size", "told", "family", "classes"),
    [
        ({"output": (1, 25200, 85)}, 640, 0, "yolov5", 80),
        ({"output": (1, 8400, 85)}, 640, 0, "yolox", 80),
        ({"output0": (1, 84, 8400)}, 640, 0, "yolov8", 80),
        ({"output0": (1, 116, 8400), "protos": (1, 32, 160, 160)}, 640, 0, "yolov8", 80),
        ({"output0": (1, 5, 33600)}, 1280, 0, "yolov8", 1),
        ({"output0": (1, 56, 8400)}, 640, 1, "yolov8", 1),
        ({"output0": (1, 102000, 85)}, 1280, 0, "yolov5", 80),  # with a fourth stride
        ({"output": (1, 3549, 85)}, 416, 0, "yolox", 80),
        ({"output0": (1, 300, 6)}, 640, 80, "chosen", 0),
        ({"output0": (1, 300, 84)}, 640, 0, "rtdetr", 80),
        ({"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)}, 800, 0, "detr", 91),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, 560, 0, "detr", 91),
        ({"dets": (1, 100, 5), "labels": (1, 100)}, 640, 0, "labelled", 0),
    ],
)
def test_shapes_of_well_known_exports(
    shapes: dict[str, tuple[int, ...]], size: int, told: int, family: str, classes: int
) -> None:
    layout = recognise(shapes, (size, size), told, "auto", "m")
    assert (layout.family, layout.classes) == (family, classes)


def test_files_that_are_no_detectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not there"):
        load(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EngineError, match="cannot be loaded as an ONNX model"):
        load(tmp_path / "text.onnx")
    with pytest.raises(EngineError, match="settings of the detector onnx are wrong: least_score"):
        load(tmp_path / "text.onnx", least_score=2)
    with pytest.raises(EngineError, match="no track detector called 'mooving'") as caught:
        load_detector("mooving")
    assert "moving" in caught.value.hint
