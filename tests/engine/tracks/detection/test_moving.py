"""What moves before a fixed camera: found where it is, without shadows, in changing light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import EngineError, cancelled
from engine.tracks.detection.background import exposure, learn_background
from engine.tracks.detection.blobs import blobs
from engine.tracks.detection.catalogue import MovingOptions
from engine.tracks.detection.found import Found
from engine.tracks.detection.moving import MovingDetector
from engine.video import VideoFile

WIDTH, HEIGHT = 160, 120


def ground() -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.clip(rng.normal([110, 100, 90], 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


def film(
    count: int,
    place: Callable[[int], tuple[int, int] | None],
    *,
    colour: tuple[int, int, int] = (200, 40, 40),
    gain: Callable[[int], float] = lambda frame: 1.0,
    shadow: bool = False,
) -> np.ndarray:
    """Frames with a thing of 30 x 20 pixels, its left upper corner at a place."""
    rng, still = np.random.default_rng(5), ground()
    frames = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for frame in range(count):
        picture = still.astype(float)
        at = place(frame)
        if at is not None:
            x, y = at
            if shadow:
                picture[y + 10 : y + 20, x + 30 : x + 50] *= 0.65
            picture[y : y + 20, x : x + 30] = colour
        noisy = picture * gain(frame) + rng.normal(0, 2, picture.shape)
        frames[frame] = np.clip(noisy, 0, 255)
    return frames


def found(frames: np.ndarray, frame: int) -> Found:
    step = max(1, len(frames) // 48)
    mask, difference = learn_background(frames[::step]).foreground(frames[frame])
    return blobs(mask, difference, 60.0)


def box(at: tuple[int, int] | None) -> list[float]:
    assert at is not None
    return [at[0], at[1], at[0] + 30, at[1] + 20]


def drive(frame: int) -> tuple[int, int]:
    return 2 + frame, 40


def write(path: Path, frames: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "15", "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("shadow", [False, True])
def test_a_thing_is_found_where_it_is_without_its_shadow(shadow: bool) -> None:
    frames = film(96, drive, shadow=shadow)
    for frame in (0, 30, 60, 95):
        one = found(frames, frame)
        np.testing.assert_allclose(one.boxes, [box(drive(frame))], atol=1.5)
        assert one.scores[0] > 0.5


def test_what_stands_for_most_of_the_time_is_found_while_it_stands() -> None:
    def stand(frame: int) -> tuple[int, int] | None:
        return (60, 50) if 12 <= frame < 84 else None

    frames = film(96, stand)
    np.testing.assert_allclose(found(frames, 50).boxes, [box((60, 50))], atol=1.5)
    assert len(found(frames, 2)) == len(found(frames, 90)) == 0


def test_a_camera_may_change_its_exposure() -> None:
    def gain(frame: int) -> float:
        return 1.0 if frame < 40 else 0.6

    frames = film(96, lambda frame: drive(frame) if frame > 50 else None, gain=gain)
    assert exposure(frames[80], frames[0]) == pytest.approx([0.6] * 3, abs=0.02)
    for frame in (0, 39, 40, 48):
        assert len(found(frames, frame)) == 0
    np.testing.assert_allclose(found(frames, 80).boxes, [box(drive(80))], atol=1.5)


def test_parts_behind_a_post_are_one_thing_and_specks_none() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:60, 20:35] = mask[40:60, 38:50] = 255  # a post of three pixels
    mask[80:82, 100] = 255
    one = blobs(mask, mask, 60.0)
    np.testing.assert_allclose(one.boxes, [[20, 40, 50, 60]], atol=1)
    mask[40:60, 60:100] = 255  # too far for one thing
    assert len(blobs(mask, mask, 60.0)) == 2
    assert len(blobs(np.zeros_like(mask), mask, 60.0)) == 0


def test_a_band_like_the_ground_does_not_cut_a_vehicle() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:50, 20:80] = mask[60:75, 18:82] = 255
    np.testing.assert_allclose(blobs(mask, mask, 60.0).boxes, [[18, 40, 82, 75]], atol=1)
    mask[60:75] = 0
    mask[60:105, 18:82] = 255  # too high for one vehicle: two
    assert len(blobs(mask, mask, 60.0)) == 2


def test_vehicles_that_touch_are_taken_apart_and_people_are_not() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:50, 10:60] = mask[40:80, 58:120] = 255
    found = blobs(mask, mask, 60.0)
    boxes = found.boxes[np.argsort(found.boxes[:, 1])]
    np.testing.assert_allclose(boxes, [[10, 20, 60, 50], [58, 40, 120, 80]], atol=6)
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[10:25, 55:67] = person[25:60, 40:82] = person[60:110, 50:60] = person[60:110, 63:73] = 255
    assert len(blobs(person, person, 60.0)) == 1


def test_it_reads_videos_and_learns_each_stretch_anew(tmp_path: Path) -> None:
    def place(frame: int) -> tuple[int, int]:
        return 2 + frame % 120, 40

    frames = film(240, place)
    frames[120:] = 255 - frames[120:]  # another picture altogether: another background
    checks = []
    detector = MovingDetector(MovingOptions(minutes=0.2))
    with VideoFile(write(tmp_path / "v.mp4", frames)) as video:
        detector.begin(video, "c", lambda: checks.append(1))
        for frame in video.frames(0, None, 40):
            (one,) = detector.detect([frame])
            np.testing.assert_allclose(one.boxes, [box(place(frame.index))], atol=2)
    assert len(checks) >= 96

    def stop() -> None:
        raise cancelled()

    with VideoFile(tmp_path / "v.mp4") as video:
        detector.begin(video, "c", stop)
        with pytest.raises(EngineError, match="cancelled"):
            detector.detect([video.frame_at(0)])


def test_boxes_are_in_pixels_of_the_frame_whatever_it_looks_at(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", film(96, drive).repeat(2, axis=1).repeat(2, axis=2))
    detector = MovingDetector(MovingOptions(side=160, least_size=0.05))
    with VideoFile(path) as video:
        detector.begin(video, "c", lambda: None)
        (one,) = detector.detect([video.frame_at(20)])
    np.testing.assert_allclose(one.boxes, [[44, 80, 104, 120]], atol=3)


def test_a_camera_that_shakes_sees_no_things_at_edges() -> None:
    frames = film(60, lambda frame: None)
    frames[:, :, 70:] = 230
    frames[10, :, 2:] = frames[10, :, :-2].copy()
    frames[20, 30:60, 40:60] = 20  # but a thing
    assert len(found(frames, 10)) == 0
    np.testing.assert_allclose(found(frames, 20).boxes, [[40, 30, 60, 60]], atol=2)


def test_a_video_without_movement_to_see_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mp4", film(2, drive))
    with VideoFile(path) as video, pytest.raises(EngineError, match="2 frame"):
        MovingDetector().begin(video, "c", lambda: None)
