"""Quick copies of videos have the same frames as their originals, one for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine import video_proxy
from engine.errors import EngineError, ErrorCode
from engine.video import VideoFile
from engine.video_proxy import GROUP, ProxyCache, make_proxy, worth_a_proxy
from engine.video_writing import write_video

WIDTH, HEIGHT, COUNT = 640, 360, 60
BITS = 6


def picture(number: int) -> np.ndarray:
    """A frame with its number in it: black and white bars."""
    bars = [(number >> bit & 1) * 200 + 20 for bit in range(BITS)]
    return np.repeat(np.repeat(np.array([bars], np.uint8), HEIGHT, 0), WIDTH // BITS + 1, 1)[
        :, :WIDTH, None
    ].repeat(3, 2)


def number_in(pixels: np.ndarray) -> int:
    width = pixels.shape[1]
    step = (WIDTH // BITS + 1) * width / WIDTH
    bars = [pixels[:, int((bit + 0.5) * step)].mean() > 120 for bit in range(BITS)]
    return sum(bit << at for at, bit in enumerate(bars))


def film(path: Path) -> Path:
    write_video(
        path, (picture(n) for n in range(COUNT)), 25, {"crf": "20", "g": "250", "sc_threshold": "0"}
    )
    return path


def film_with_times(path: Path, times: list[int]) -> Path:
    """Milliseconds of each frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = time, stream.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["constant", "variable"])
def test_every_frame_is_the_same_one(tmp_path: Path, kind: str) -> None:
    times = np.cumsum(np.random.default_rng(3).integers(8, 300, COUNT)).tolist()
    source = (
        film(tmp_path / "a.mp4") if kind == "constant" else film_with_times(tmp_path / "a.mkv", times)
    )
    assert make_proxy(source, tmp_path / "small.mp4") == COUNT
    with VideoFile(source) as original, VideoFile(tmp_path / "small.mp4") as small:
        if kind == "variable":
            np.testing.assert_allclose(np.diff(original.times) * 1000, np.diff(times), atol=1.5)
        assert len(small.times) == len(original.times) == COUNT
        assert small.size == (480, 270)
        assert small.longest_group == GROUP < original.longest_group
        for index in np.random.default_rng(1).permutation(COUNT).tolist():
            assert number_in(small.frame_at(index).pixels) == index
            assert number_in(original.frame_at(index).pixels) == index


def test_small_pictures_stay_as_small(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", (np.full((50, 80, 3), n, np.uint8) for n in range(5)), 10)
    make_proxy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with VideoFile(tmp_path / "b.mp4") as small:
        assert small.size == (80, 50)


def test_a_cancelled_or_broken_one_leaves_nothing(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4")
    counts: Iterator[int] = iter(range(1000))

    class StopError(Exception):
        pass

    def check() -> None:
        if next(counts) == 20:
            raise StopError

    seen: list[tuple[int, int]] = []
    with pytest.raises(StopError):
        make_proxy(source, tmp_path / "b.mp4", check, lambda *done: seen.append(done))
    assert seen[-1] == (20, COUNT)
    broken = tmp_path / "cut.mp4"
    data = source.read_bytes()
    film_with_times(tmp_path / "c.mkv", list(range(0, COUNT * 40, 40)))
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(EngineError) as caught:
        make_proxy(broken, tmp_path / "b.mp4")
    assert caught.value.code is ErrorCode.BAD_FILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "c.mkv", "cut.mp4"]


def test_proxies_are_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = film(tmp_path / "a.mp4"), ProxyCache(tmp_path / "cache")
    with VideoFile(source) as video:
        assert worth_a_proxy(video)
    assert cache.find(source) is None
    made = cache.make(source)
    assert made is not None
    assert (made.width, made.height) == (WIDTH, HEIGHT)
    assert cache.find(source) == made
    monkeypatch.setattr(video_proxy, "make_proxy", None)  # not made again
    assert cache.make(source) == made
    monkeypatch.undo()

    os.utime(source, (1, 1))
    assert cache.find(source) is None, "it was exchanged"
    other = ProxyCache(tmp_path / "cache", most_bytes=1).make(source)
    assert other is not None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [other.path.name]

    write_video(tmp_path / "quick.mp4", (picture(n) for n in range(20)), 25, {"g": "1"})
    assert cache.make(tmp_path / "quick.mp4") is None, "every frame is quick to find"
    with pytest.raises(EngineError, match="not there"):
        cache.make(tmp_path / "gone.mp4")
