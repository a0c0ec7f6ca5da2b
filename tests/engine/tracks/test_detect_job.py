"""From videos to a scene with detections: the library's function, the job, and the command."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest

from engine.cli import main
from engine.errors import EngineError, ErrorCode, bad_file
from engine.headless import Outcome, run_to_folder
from engine.job import Event, JobSpec, Preview, Progress
from engine.tracks.boxes import FEATURES, Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.detect import crop, drawn, watch
from engine.tracks.detection.catalogue import load_detector
from engine.tracks.detection.found import Found
from engine.tracks.evaluate_detections import evaluate_detections
from engine.tracks.formats import TrackFile, write_tracks
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.synthetic_video import write_video
from engine.video import Frame
from tests.engine.tracks.appearance.test_onnx_embedding import model
from tests.engine.tracks.detection.onnx_files import yolov8
from tests.engine.tracks.detection.test_moving import film, write

LENGTH = 96
ZONES = (Zone("west", ((0, 0), (80, 0), (80, 120), (0, 120)), "c002"),)


def first(frame: int) -> tuple[int, int] | None:
    return (2 + frame, 40) if frame < 90 else None


def second(frame: int) -> tuple[int, int] | None:
    return (120 - frame, 70) if 20 <= frame < 90 else None


PLACES = (first, second)
TRUTH = Boxes.of(
    [frame for place in PLACES for frame in range(LENGTH) if place(frame)],
    [[*at, 30, 20] for place in PLACES for at in map(place, range(LENGTH)) if at],
    tracks=[camera for camera in (0, 1) for frame in range(LENGTH) if PLACES[camera](frame)],
    cameras=[camera for camera in (0, 1) for frame in range(LENGTH) if PLACES[camera](frame)],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of two cameras with their videos and other detections, and the truth beside it."""
    out = tmp_path_factory.mktemp("made")
    cameras = []
    for name, place in zip(("c001", "c002"), PLACES, strict=True):
        (out / "scene").mkdir(exist_ok=True)
        write(out / "scene" / f"{name}.mp4", film(LENGTH, place))
        cameras.append(Camera(name, 0.5, 10.0, 160, 120, LENGTH, f"{name}.mp4", ZONES))
    with Scene.create(out / "scene", cameras) as scene:
        scene.add_detections(TRUTH.select(slice(0, 3)), "somebody else")
    write_tracks(TrackFile(TRUTH, tuple(cameras)), out / "truth.txt", "aicity")
    return out


def run(spec: JobSpec, out: Path, events: list[Event] | None = None, stop_at: float = 2.0) -> Outcome:
    """The outcome of a job that is cancelled at a share of its progress."""
    reached = [0.0]

    def listen(event: Event) -> None:
        if events is not None:
            events.append(event)
        if isinstance(event, Progress):
            reached[0] = event.done / event.total

    return run_to_folder(spec, out, listen, lambda: reached[0] >= stop_at)


def spec(source: Path, to: Path, **params: object) -> JobSpec:
    return JobSpec("tracks.detect", {"out": str(to), **params}, {"scene": source}, device="cpu")


def test_vehicles_are_found_and_described_from_pixels_only(folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    outcome = run(spec(folder / "scene", tmp_path / "found"), tmp_path / "files", events)
    assert outcome.error is None, outcome.error
    assert outcome.metrics["cameras"] == 2
    assert outcome.metrics["frames"] == 2 * LENGTH
    assert any(isinstance(event, Preview) for event in events)
    with Scene.open(tmp_path / "found") as scene:
        found = scene.detections
        assert len(found) == outcome.metrics["detections"] >= 0.95 * len(TRUTH)
        assert found.extra[FEATURES].shape == (len(found), outcome.metrics["dimension"])
        np.testing.assert_allclose(np.linalg.norm(found.extra[FEATURES], axis=1), 1, atol=1e-4)
        assert [camera.name for camera in scene.cameras] == ["c001", "c002"]
        assert scene.cameras[0].zones == ZONES
        assert scene.cameras[1].offset == 0.5
        assert scene.class_names == {0: "object"}
        assert Path(scene.cameras[0].video).is_file()
        assert (np.diff(found.cameras) >= 0).all()
    (told,) = [json.loads(file.read_text()) for file in outcome.files]
    assert told["by_camera"].keys() == {"c001", "c002"}


def test_a_cancelled_job_keeps_whole_cameras_and_goes_on(folder: Path, tmp_path: Path) -> None:
    job = spec(folder / "scene", tmp_path / "found", appearance=[])
    outcome = run(job, tmp_path / "a", stop_at=0.7)
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.CANCELLED
    with Scene.open(tmp_path / "found") as scene:
        first = len(scene.detections)
        assert set(scene.detections.cameras.tolist()) == {0}
        assert FEATURES not in scene.detections.extra
    events: list[Event] = []
    outcome = run(job, tmp_path / "b", events)
    assert outcome.error is None
    stages = {event.stage.split(":")[0] for event in events if isinstance(event, Progress)}
    assert stages == {"Loading the models", "c002"}
    with Scene.open(tmp_path / "found") as scene:
        assert (scene.detections.cameras == 0).sum() == first
        assert set(scene.detections.cameras.tolist()) == {0, 1}
    other = run(spec(folder / "scene", tmp_path / "found", least_score=0.5), tmp_path / "c")
    assert other.error is not None
    assert "detections of another origin (what moves [" in other.error.message


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"out": ""}, "has detections of another origin (somebody else)"),
        ({"detectors": ["none.onnx"]}, "model none.onnx is not there"),
        (
            {"detectors": ["moving"], "classes": "car"},
            "Only detectors from ONNX files tell classes apart",
        ),
        ({"weights": [1, 2]}, "1 detectors cannot be put together"),
        ({"appearance": ["colour"]}, "no appearance called 'colour'"),
        ({"least_score": 3}, "least_score"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(
    folder: Path, tmp_path: Path, params: dict[str, object], told: str
) -> None:
    outcome = run(spec(folder / "scene", tmp_path / "found", **params), tmp_path)
    assert outcome.error is not None
    assert told in str(outcome.error)
    assert not (tmp_path / "found").exists()


def test_scenes_without_videos_and_videos_of_one_name_are_refused(tmp_path: Path) -> None:
    with Scene.create(tmp_path / "s", [Camera("c001")]):
        pass
    outcome = run(spec(tmp_path / "s", tmp_path / "out"), tmp_path)
    assert "No camera of the scene" in str(outcome.error)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "v.mp4", film(4, first))
    inputs = {"1": tmp_path / "a" / "v.mp4", "2": tmp_path / "b" / "v.mp4"}
    outcome = run(JobSpec("tracks.detect", {"out": str(tmp_path / "o")}, inputs), tmp_path)
    assert "Two videos are called v" in str(outcome.error)
    (tmp_path / "empty.mp4").write_bytes(b"")
    outcome = run(
        JobSpec("tracks.detect", {"out": str(tmp_path / "o")}, {"1": tmp_path / "empty.mp4"}), tmp_path
    )
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.BAD_FILE


def test_boxes_of_a_file_get_features_and_are_fused(folder: Path, tmp_path: Path) -> None:
    videos = sorted((folder / "scene").glob("*.mp4"))
    out, truth = tmp_path / "scene", folder / "truth.txt"
    words = [
        "detect",
        *map(str, videos),
        "--detector",
        str(truth),
        "--out",
        str(out),
        "--least-score",
        "0",
    ]
    assert main([*words, "--truth", str(truth)]) == 0
    with Scene.open(out) as scene:
        assert len(scene.detections) == len(TRUTH)
        assert scene.cameras[0].fps == pytest.approx(10)
        one = scene.detections.extra[FEATURES]
    # Both find the same things, but where vehicles hide each other.
    fused = tmp_path / "fused"
    assert (
        main([*words[:-3], str(fused), "--detector", "moving", "--weight", "3", "--weight", "1"]) == 0
    )
    with Scene.open(fused) as scene:
        assert len(TRUTH) <= len(scene.detections) <= 1.1 * len(TRUTH)
        assert scene.detections.extra[FEATURES].shape[1] == one.shape[1]


def test_networks_of_the_user_find_and_describe(folder: Path, tmp_path: Path) -> None:
    names = {"names": "['person', 'bus', 'car', 'truck']"}
    finder = yolov8(tmp_path / "finder.onnx", metadata=names, graph={"threshold": 0.6})
    embedding = model(tmp_path / "look.onnx", size=(8, 8))
    words = [
        "detect",
        str(folder / "scene" / "c002.mp4"),
        "--detector",
        str(finder),
        "--classes",
        "car",
    ]
    words += ["--appearance", "built-in", "--appearance", str(embedding), "--device", "cpu"]
    assert main([*words, "--frames", "50", "--out", str(tmp_path / "s")]) == 0
    with Scene.open(tmp_path / "s") as scene:
        found = scene.detections
        assert scene.class_names == {2: "car"}
        assert found.extra[FEATURES].shape == (30, 470 + 3)
        centres = found.xywh[:, :2] + found.xywh[:, 2:] / 2
        expected = [[120 - frame + 15, 70 + 10] for frame in range(20, 50)]
        np.testing.assert_allclose(centres, expected, atol=2)
        assert "finder.onnx (YOLOv8) with colours and edges + look.onnx" in scene.sources()[0]
    assert main([*words[:4], "--classes", "boat", "--out", str(tmp_path / "t")]) == 2


def test_the_command_compares_with_the_truth(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", str(folder / "scene"), "--out", str(tmp_path / "s"), "--appearance", "none"]
    assert main([*words, "--frames", "40", "--truth", str(folder / "truth.txt"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 80
    figures = told["evaluation"]
    assert told["dimension"] == 0
    assert figures["all"]["precision"] > 0.9
    assert figures["c001"]["recall"] == pytest.approx(40 / 90, abs=0.03)
    assert figures["c001"]["true"] + figures["c002"]["true"] == figures["all"]["true"] == len(TRUTH)
    assert main(["detect", str(folder / "scene" / "c001.mp4")]) == 2
    assert main(["detect", str(folder), "--out", str(tmp_path / "t")]) == 2
    assert main(["detect", str(tmp_path / "no.mp4"), "--out", str(tmp_path / "t")]) == 2
    assert "no.mp4 is not there" in capsys.readouterr().err


def test_a_video_that_is_cut_off_counts_up_to_there(folder: Path, tmp_path: Path) -> None:
    whole = folder / "scene" / "c001.mp4"
    path = tmp_path / "cut.ts"
    as_stream(whole, path, 0.6)
    boxes = watch(path, load_detector("moving"))
    assert 30 < boxes.frames.max() < watch(whole, load_detector("moving")).frames.max() - 20

    class Broken:
        """A detector that fails is not a video that is cut off."""

        name, class_names, batch = "broken", {0: "x"}, 3

        def begin(self, *_: object) -> None:
            pass

        def detect(self, frames: object) -> list[Found]:
            raise bad_file("The model is broken.")

    with pytest.raises(EngineError, match="The model is broken"):
        watch(whole, Broken())


def as_stream(source: Path, path: Path, share: float) -> None:
    """The same film as a transport stream, of which the end is missing."""
    with av.open(str(source)) as given, av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


@pytest.mark.slow
def test_vehicles_of_a_drawn_scene_are_found() -> None:
    """A scene whose seed was not used to choose anything."""
    made = make_scene("hard", 41, seconds=60, cameras=1)
    with tempfile.TemporaryDirectory() as folder:
        write_video(made, 0, Path(folder) / "v.mp4")
        found = watch(Path(folder) / "v.mp4", load_detector("moving"))
    assert evaluate_detections(made.truth, found)["AP"] > 0.75


def test_parts_of_frames() -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    np.testing.assert_array_equal(crop(pixels, np.array([2.4, 3.6, 9.5, 8.4])), pixels[4:8, 2:10])
    assert crop(pixels, np.array([29.9, 19.9, 40.0, 40.0])).shape == (1, 1, 3)
    assert crop(pixels, np.array([-5.0, -5.0, 0.2, 50.0])).shape == (20, 1, 3)
    picture = drawn(Frame(0, 0.0, pixels), Found.of([[2, 2, 20, 10]], [1.0]), longest=15)
    assert picture.shape == (10, 15, 3)
