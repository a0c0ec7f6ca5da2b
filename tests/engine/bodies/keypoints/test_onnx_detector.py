"""Models from files: recognised, given the picture as they expect it, and read rightly."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from engine import onnx_runtime
from engine.bodies.keypoints.detectors import load_detector
from engine.bodies.keypoints.onnx_detector import OnnxDetector, RecognisedModel
from engine.bodies.keypoints.pictures import Picture, as_picture
from engine.errors import EngineError, ErrorCode
from tests.engine.bodies.keypoints.onnx_models import (
    Graph,
    heat_model,
    rtmo_model,
    simcc_model,
    yolo_model,
)

SPOT = (230.0, 140.0)


def spot(
    at: tuple[float, float] = SPOT, size: tuple[int, int] = (400, 300), colour: Any = (255, 255, 255)
) -> Picture:
    """A black picture with a spot: a smooth one, so that its centre survives scaling."""
    columns, rows = np.arange(size[0]) + 0.5 - at[0], np.arange(size[1])[:, None] + 0.5 - at[1]
    light = np.exp(-(columns**2 + rows**2) / 2 / 16.0**2)[..., None] * np.array(colour)
    return as_picture(light.round().astype(np.uint8))


def load(path: Path, **options: Any) -> OnnxDetector:
    detector = load_detector("onnx", path=str(path), **options)
    assert isinstance(detector, OnnxDetector)
    return detector


def assert_found(
    detector: OnnxDetector, picture: Picture, at: tuple[float, float], within: float
) -> None:
    (person,) = detector.detect(picture)
    assert person.layout == detector.layout
    np.testing.assert_allclose(person.points, np.tile(at, (len(person.points), 1)), atol=within)


@pytest.mark.parametrize("kind", ["new", "transposed", "old", "chosen"])
def test_yolo_pose_is_read_in_all_its_orders(tmp_path: Path, kind: str) -> None:
    detector = load(yolo_model(tmp_path / "yolo.onnx", kind))
    assert detector.layout == "coco17"
    assert detector.kind.family == "yolo"
    for picture, at in ((spot(), SPOT), (spot((50, 290), (100, 500)), (50, 290))):
        (person,) = detector.detect(picture)  # of three on one place the surest
        assert person.score == pytest.approx(0.9)
        np.testing.assert_allclose(person.points, np.tile(at, (17, 1)), atol=0.3)
        np.testing.assert_allclose(person.confidence, 0.8, atol=1e-6)
        # 20 x 40 pixels of the input, which is 96 x 128.
        scale = max(picture.width / 96, picture.height / 128)
        half = np.array([10, 20]) * scale
        np.testing.assert_allclose(person.box, np.concatenate([at - half, at + half]), atol=0.5)


def test_yolo_without_confidences_and_with_other_counts(tmp_path: Path) -> None:
    detector = load(yolo_model(tmp_path / "two.onnx", numbers=2))
    (person,) = detector.detect(spot())
    np.testing.assert_allclose(person.confidence, 0.9, atol=1e-6)
    whole = load(yolo_model(tmp_path / "whole.onnx", count=133))
    assert whole.detect(spot())[0].keypoints.shape == (17, 3)
    assert any("first 17" in told for told in whole.assumptions)
    blaze = load(yolo_model(tmp_path / "blaze.onnx", count=33))
    assert blaze.detect(spot())[0].layout == blaze.layout == "blazepose33"
    halpe = {"kpt_shape": "[26, 3]", "license": "AGPL-3.0"}
    told = load(yolo_model(tmp_path / "halpe.onnx", count=26, metadata=halpe))
    assert told.detect(spot())[0].keypoints.shape == (17, 3)
    assert told.licence == "AGPL-3.0"


def test_scores_below_the_least_are_left_out(tmp_path: Path) -> None:
    path = yolo_model(tmp_path / "yolo.onnx")
    assert load(path, least_score=0.95).detect(spot()) == []
    assert len(load(path, least_score=0.05).detect(spot())) == 1


def test_a_model_of_any_size_gets_what_is_usual(tmp_path: Path) -> None:
    path = heat_model(tmp_path / "heat.onnx", dynamic=True, width=192, height=256)
    detector = load(path, boxes="picture")
    assert "size of the input: 192 x 256" in detector.assumptions
    assert_found(detector, spot(), SPOT, 0.5)


@pytest.mark.parametrize("stride", [2, 4])
def test_heat_maps_are_read_between_cells(tmp_path: Path, stride: int) -> None:
    detector = load(heat_model(tmp_path / "heat.onnx", stride=stride), boxes="picture")
    assert detector.name == "heat.onnx (heat maps, 17 keypoints)"
    for shift in (0.0, 1.3, 5.1):
        at = (SPOT[0] + shift, SPOT[1] - shift)
        assert_found(detector, spot(at), at, 0.5)  # the input is about a fifth of the picture


@pytest.mark.parametrize("swapped", [False, True])
def test_simcc_is_read_in_both_orders(tmp_path: Path, swapped: bool) -> None:
    detector = load(simcc_model(tmp_path / "simcc.onnx", swapped=swapped), boxes="picture")
    assert detector.kind.outputs == ("simcc_x", "simcc_y")
    scale = 400 / 96 * 1.25
    assert_found(detector, spot(), SPOT, scale / 4 + 0.1)  # to half a pixel of the input
    whole = load(simcc_model(tmp_path / "whole.onnx", count=133), boxes="picture")
    assert whole.detect(spot())[0].layout == "coco17"


def test_a_model_of_one_person_looks_where_another_finds_people(tmp_path: Path) -> None:
    boxes = yolo_model(tmp_path / "boxes.onnx", "new", count=0, metadata={})
    pose = simcc_model(tmp_path / "simcc.onnx")
    detector = load(pose, boxes=str(boxes))
    (person,) = detector.detect(spot())
    # The box is 20 x 40 of the finder's 96 x 128 pixels, so much finer than the whole picture.
    np.testing.assert_allclose(person.points, np.tile(SPOT, (17, 1)), atol=0.6)
    assert person.score == pytest.approx(0.9 * float(person.confidence.mean()), rel=1e-6)
    assert load(pose, boxes=str(boxes), least_score=0.95).detect(spot()) == []


def test_blazepose_tells_where_people_are(tmp_path: Path, photos: Path) -> None:
    from engine.bodies.keypoints.pictures import read_picture

    picture = read_picture(photos / "couple_with_dog.jpg")
    detector = load(simcc_model(tmp_path / "simcc.onnx"), boxes="blazepose", least_score=0.0)
    people = sorted(detector.detect(picture), key=lambda person: person.points[0, 0])
    assert len(people) == 2
    assert 130 < people[0].points[0, 0] < 240 < people[1].points[0, 0] < 340


def test_rtmo_takes_bytes_in_the_order_of_opencv(tmp_path: Path) -> None:
    detector = load(rtmo_model(tmp_path / "rtmo.onnx"))
    (person,) = detector.detect(spot(colour=(255, 0, 0)))  # red is the third of BGR
    np.testing.assert_allclose(person.points, np.tile(SPOT, (17, 1)), atol=0.3)
    assert person.score == pytest.approx(0.75)
    assert detector.assumptions[0] == "colours: BGR, 0 to 255"
    other = load(rtmo_model(tmp_path / "rgb.onnx"), order="rgb").detect(spot(colour=(255, 0, 0)))
    assert np.abs(other[0].points - SPOT).max() > 50


def test_colours_are_scaled_as_models_expect(tmp_path: Path) -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    for colours, expected in (("unit", 1.0), ("byte", 255.0), ("imagenet", (255 - 123.675) / 58.395)):
        graph = Graph()
        graph.spot(0.0)
        shape = graph.constant([1, 17, 128, 96], "shape", np.int64)
        graph.add("Expand", ["one", shape], "heat")
        model = RecognisedModel(graph.save(tmp_path / f"{colours}.onnx", ["heat"]), colours)
        (values,) = model(as_picture(white), np.array([[0.1, 0, 10], [0, 0.1, 10]]))
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_channels_may_be_last_and_numbers_bytes(tmp_path: Path) -> None:
    graph = Graph(channels_last=True)
    bright, *_ = graph.spot(100.0)
    shape = graph.constant([1, 17, 128, 96], "shape", np.int64)
    graph.add("Expand", [bright, shape], "map")
    graph.add("Div", ["map", graph.constant(155.0, "most")], "heat")
    path = graph.save(tmp_path / "bytes.onnx", ["heat"], dtype=TensorProto.UINT8)
    detector = load(path, boxes="picture", least_score=0.1)
    assert "0 to 255" in detector.assumptions[0]
    assert_found(detector, spot(), SPOT, 3.0)  # without smoothing: to half a pixel of the input


def test_large_pictures_return_positions_of_the_original(tmp_path: Path) -> None:
    detector = load(yolo_model(tmp_path / "yolo.onnx", threshold=0.5))
    pixels = spot().pixels
    (person,) = detector.detect(Picture(pixels, 8 * pixels.shape[1], 8 * pixels.shape[0]))
    np.testing.assert_allclose(person.points / 8, np.tile(SPOT, (17, 1)), atol=0.3)


def constant_model(path: Path, **outputs: tuple[int, ...]) -> Path:
    graph = Graph()
    for name, shape in outputs.items():
        graph.constant(np.zeros(shape), f"zeros_{name}")
        graph.add("Identity", [f"zeros_{name}"], name)
    return graph.save(path, list(outputs))


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"logits": (1, 1000)}, r"logits \[1, 1000\]"),
        ({"heat": (1, 19, 32, 24)}, r"heat \[1, 19, 32, 24\]"),  # 19 keypoints: whose?
        ({"heat": (1, 17, 32, 25)}, r"heat \[1, 17, 32, 25\]"),  # another shape than the input
        ({"x": (1, 17, 192), "y": (1, 17, 200)}, r"x \[1, 17, 192\], y \[1, 17, 200\]"),
        ({"a": (1, 57, 5000)}, r"a \[1, 57, 5000\]"),
    ],
)
def test_other_outputs_are_refused_with_what_was_found(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]], found: str
) -> None:
    with pytest.raises(EngineError, match=found) as caught:
        load(constant_model(tmp_path / "other.onnx", **outputs))
    assert caught.value.code == ErrorCode.BAD_FILE
    assert "RTMPose" in caught.value.hint
    assert "133 (COCO whole-body)" in caught.value.hint


def test_files_that_are_no_such_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not there"):
        load(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EngineError, match="cannot be loaded as an ONNX model"):
        load(tmp_path / "text.onnx")
    grey = Graph()
    grey.add("Cast", ["picture"], "same", to=TensorProto.FLOAT)
    path = grey.save(tmp_path / "grey.onnx", ["same"], dtype=TensorProto.INT64)
    with pytest.raises(EngineError, match="does not take one picture"):
        load(path)
    with pytest.raises(EngineError, match="finds people, but no keypoints"):
        load(yolo_model(tmp_path / "boxes.onnx", count=0))
    pose = simcc_model(tmp_path / "simcc.onnx")
    with pytest.raises(EngineError, match="sees one person at a time"):
        load(pose, boxes=str(pose))
    with pytest.raises(EngineError, match="nothing that finds people"):
        load(pose, boxes="yolo")
    nan = Graph()
    nan.constant(np.full((1, 17, 32, 24), np.nan), "nan")
    nan.add("Identity", ["nan"], "heat")
    with pytest.raises(EngineError, match="not finite, in heat"):
        load(nan.save(tmp_path / "nan.onnx", ["heat"]))


def test_a_provider_that_fails_is_logged_and_the_next_one_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import onnxruntime

    real = onnxruntime.InferenceSession
    tried = []

    def session(path: str, settings: Any, providers: list[str]) -> Any:
        tried.append(providers[0])
        if providers[0] == "CUDAExecutionProvider":
            raise RuntimeError("no driver")
        return real(path, settings, providers=providers)

    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with caplog.at_level(logging.WARNING, "triptych.onnx"):
        model = onnx_runtime.PictureModel(simcc_model(tmp_path / "a.onnx"))
    assert tried == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert model.provider == "CPUExecutionProvider"
    assert "no driver" in caplog.text
