"""How long going to a frame takes, in a video as cameras write it and in its proxy.

    python tests/benchmarks/bench_video_seek.py [--seconds 60] [VIDEO ...]

Without videos one is made: 1920 x 1080, 25 frames a second, a key frame every 250.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.video import VideoFile
from engine.video_proxy import make_proxy
from engine.video_writing import write_video

JUMPS = 60


def scene(seconds: int) -> Iterator[np.ndarray]:
    """A textured ground with forty moving squares and camera noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 140, (270, 480, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    noise = rng.integers(0, 6, (8, 1080, 1920, 3), np.uint8)
    place, speed = rng.uniform(0, 1, (40, 2)) * (1000, 1800), rng.uniform(-6, 6, (40, 2))
    for number in range(25 * seconds):
        picture = ground + noise[number % 8]
        for (top, left), colour in zip(
            ((place + speed * number) % (1000, 1800)).astype(int), range(40), strict=True
        ):
            picture[top : top + 70, left : left + 90] = (colour * 6, 255 - colour * 6, 40)
        yield picture


def jumps(path: Path) -> list[float]:
    """Milliseconds of random jumps."""
    with VideoFile(path) as video:
        count = len(video.times)
        video.frame_at(0)
        taken = []
        for index in np.random.default_rng(1).integers(0, count, JUMPS).tolist():
            start = time.perf_counter()
            video.frame_at(index)
            taken.append(1000 * (time.perf_counter() - start))
    return taken


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = list(options.videos)
        if not videos:
            videos = [Path(folder) / "made.mp4"]
            write_video(videos[0], scene(options.seconds), 25, {"g": "250", "preset": "veryfast"})
        print("| video | frames | seek ms, median (p95) | proxy ms, median (p95) | made in s | size |")
        print("|---|---|---|---|---|---|")
        for path in videos:
            small = Path(folder) / f"{path.stem}-proxy.mp4"
            start = time.perf_counter()
            count = make_proxy(path, small)
            seconds = time.perf_counter() - start
            before, after = jumps(path), jumps(small)
            told = [f"{np.median(ms):.0f} ({np.quantile(ms, 0.95):.0f})" for ms in (before, after)]
            share = small.stat().st_size / path.stat().st_size
            print(f"| {path.name} | {count} | {told[0]} | {told[1]} | {seconds:.1f} | {share:.0%} |")


if __name__ == "__main__":
    main()
