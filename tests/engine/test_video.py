"""Videos: every frame by its number, whatever the format, and files that are broken."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine import video
from engine.errors import EngineError, ErrorCode
from engine.video import VideoFile

COUNT = 24
WIDTH, HEIGHT = 64, 48


def grey(index: int) -> int:
    return 10 + 10 * index


def write(
    path: Path,
    codec: str = "libx264",
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    noise: bool = False,
) -> Path:
    """A clip whose frames are told apart by their grey; a red corner at the top left."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=10, options=options or {"g": "7", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(COUNT):
            pixels = np.full((HEIGHT, WIDTH, 3), grey(index), np.uint8)
            if noise:
                pixels = rng.integers(0, 255, pixels.shape, np.uint8)
            pixels[:16, :16] = [255, 0, 0]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def number(frame: video.Frame) -> int:
    """The index that the pixels of a frame tell."""
    return round((float(frame.pixels[30:, 30:].mean()) - 10) / 10)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"g": "7", "bf": "2"}),
        ("open.mkv", "libx264", {"g": "7", "bf": "2", "x264-params": "open-gop=1"}),
        ("a.avi", "mpeg4", {"g": "7"}),
        ("a.ts", "libx264", {"g": "7", "bf": "2"}),
        ("raw.h264", "libx264", {"g": "7"}),  # no times, no seeking
    ],
)
def test_frames_are_exact_in_any_order(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], rng: np.random.Generator
) -> None:
    with VideoFile(write(tmp_path / name, codec, options=options)) as clip:
        assert clip.size == (WIDTH, HEIGHT)
        assert clip.frame_count in (COUNT, None)
        assert len(clip.times) == COUNT
        every = list(clip.frames())
        assert [frame.index for frame in every] == list(range(COUNT))
        assert [number(frame) for frame in every] == list(range(COUNT))
        np.testing.assert_allclose([frame.seconds for frame in every], clip.times, atol=1e-6)
        np.testing.assert_allclose(clip.times, np.arange(COUNT) / clip.rate, atol=1e-6)
        order = [*rng.permutation(COUNT).tolist(), 3, 4, 5, 5, 4, COUNT - 1, 0]
        for index in order:
            frame = clip.frame_at(index)
            assert (frame.index, number(frame)) == (index, index)
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
        for part in (slice(5, 20, 4), slice(0, 3), slice(17, None, 3), slice(9, 9), slice(99, None)):
            frames = list(clip.frames(part.start, part.stop, part.step or 1))
            assert [frame.index for frame in frames] == list(range(COUNT))[part]
            assert [number(frame) for frame in frames] == list(range(COUNT))[part]


def test_reading_on_and_looking_back_do_not_disturb_each_other(tmp_path: Path) -> None:
    with VideoFile(write(tmp_path / "a.mp4")) as clip:
        seen = [
            (number(frame), number(clip.frame_at(COUNT - 1 - frame.index))) for frame in clip.frames()
        ]
        assert seen == [(index, COUNT - 1 - index) for index in range(COUNT)]


def test_frames_of_a_varying_rate_keep_their_own_times(tmp_path: Path) -> None:
    times = [7 * index**2 + 10 * index for index in range(COUNT)]
    with VideoFile(write(tmp_path / "a.mp4", times=times)) as clip:
        expected = np.array(times) / 1000
        np.testing.assert_allclose(clip.times, expected, atol=1e-3)
        np.testing.assert_allclose([f.seconds for f in clip.frames()], expected, atol=1e-3)
        assert clip.frame_at(15).seconds == pytest.approx(expected[15], abs=1e-3)
        assert clip.duration == pytest.approx(expected[-1], abs=0.6)
        assert clip.rate == pytest.approx(COUNT / expected[-1], rel=0.2)


@pytest.mark.parametrize(
    ("matrix", "rotation", "corner"),
    [
        ((1, 0, 0, 1), 0, (0, 0)),
        ((0, 1, -1, 0), 270, (0, -1)),  # as phones write it when held upright: a quarter clockwise
        ((-1, 0, 0, -1), 180, (-1, -1)),
        ((0, -1, 1, 0), 90, (-1, 0)),
    ],
)
def test_frames_are_turned_as_the_file_says(
    tmp_path: Path, matrix: tuple[int, ...], rotation: int, corner: tuple[int, int]
) -> None:
    data = bytearray(write(tmp_path / "a.mp4").read_bytes())
    place = data.index(b"tkhd") + 44  # version, flags, times, layer, volume come before the matrix
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    with VideoFile(tmp_path / "a.mp4") as clip:
        turned = rotation in (90, 270)
        assert clip.rotation == rotation
        assert clip.size == ((HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT))
        for frame in (next(clip.frames()), clip.frame_at(0)):
            assert frame.pixels.shape[1::-1] == clip.size
            red = frame.pixels[corner].astype(int)
            assert red[0] > 200
            assert red[1:].max() < 60
            assert frame.pixels.flags["C_CONTIGUOUS"]


def test_a_damaged_video_says_where_and_keeps_what_was_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mpeg4", options={"g": "1"}, noise=True)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (data.index(b"moov") - start) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    with VideoFile(path) as clip:
        read = []
        with pytest.raises(EngineError, match=r"damaged at frame \d+ .*the \d+ before it") as caught:
            read.extend(frame.index for frame in clip.frames())
        assert caught.value.code == ErrorCode.BAD_FILE
        assert read == list(range(len(read)))
        assert f"at frame {len(read)} " in str(caught.value)
        assert clip.frame_at(COUNT - 1).index == COUNT - 1  # what is behind the damage


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.mkv", "libx264")])
def test_a_video_that_was_cut_off_is_not_taken_for_a_whole_one(
    tmp_path: Path, name: str, codec: str
) -> None:
    container = {"movflags": "faststart"} if name.endswith("mp4") else None
    path = write(tmp_path / name, codec, container=container, noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with VideoFile(path) as clip:
        for start in (0, 2):
            read = []
            with pytest.raises(EngineError, match="cut off at frame"):
                read.extend(frame.index for frame in clip.frames(start))
            assert read == list(range(start, start + len(read)))
            assert 3 < len(read) < COUNT - 3


def test_what_is_no_video_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    with pytest.raises(EngineError, match="not there"):
        VideoFile(tmp_path / "none.mp4")
    with pytest.raises(EngineError, match="not there"):
        VideoFile(tmp_path)
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "text.txt").write_text("no video " * 100)  # FFmpeg would draw it
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n#EXT-X-ENDLIST\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    for name in ("text.mp4", "text.txt", "empty.mp4", "list.m3u8", "photo.jpg", "photo.png"):
        with pytest.raises(EngineError, match="not a video") as caught:
            VideoFile(tmp_path / name)
        assert caught.value.code == ErrorCode.BAD_FILE
    with av.open(str(tmp_path / "sound.wav"), "w") as file:
        stream: Any = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    with pytest.raises(EngineError, match="no video in it"):
        VideoFile(tmp_path / "sound.wav")
    with av.open(str(tmp_path / "none.avi"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        file.start_encoding()
    with pytest.raises(EngineError, match="no frames"):
        VideoFile(tmp_path / "none.avi")
    whole = write(tmp_path / "a.mp4")
    monkeypatch.setattr(video, "MOST_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(EngineError, match="megapixels"):
        VideoFile(whole)


def test_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with VideoFile(write(tmp_path / "a.mp4")) as clip:
        for index in (-1, COUNT):
            with pytest.raises(EngineError, match=f"no frame {index}: it has {COUNT}"):
                clip.frame_at(index)
        for numbers in ((-1, None, 1), (0, -1, 1), (0, None, 0)):
            with pytest.raises(EngineError, match="cannot be read"):
                clip.frames(*numbers)


def test_an_animated_picture_is_a_video(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.new("L", (WIDTH, HEIGHT), grey(index)) for index in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    with VideoFile(tmp_path / "a.gif") as clip:
        assert [number(frame) for frame in clip.frames()] == [0, 1, 2, 3, 4]
        np.testing.assert_allclose(clip.times, np.arange(5) / 5)
