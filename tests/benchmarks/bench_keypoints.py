"""People detection: who is found in photos, how exactly on rendered bodies, and how long it takes.

python tests/benchmarks/bench_keypoints.py --photos ../shared/data/photos [--draw FOLDER]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from engine.bodies.keypoints.blazepose import CROP, BlazePose, tiles
from engine.bodies.keypoints.layouts import COCO17, find_layout
from engine.bodies.keypoints.person import SEEN, Person
from engine.bodies.keypoints.pictures import Picture, as_picture, read_picture
from engine.bodies.keypoints.regions import Region
from engine.bodies.keypoints.tracking import Tracker, follow
from engine.bodies.synthetic import known_picture
from engine.video import VideoFile

PEOPLE = {
    "couple_snow": 2, "couple_with_dog": 2, "crossing": 4, "hall_person_1": 1, "lot_car_bicycle": 1,
    "lunge_barbell": 1, "parking_car": 1, "sitting_street": 1, "skier": 1, "store_aisle": 3,
    "worker_zone": 1,
}  # fmt: skip
"""How many a person sees in the development photos."""

COLOURS = ((60, 60, 255), (80, 220, 60), (255, 120, 40), (0, 220, 255), (255, 80, 255))


def milliseconds(function: Callable[[], object], repeats: int = 15) -> float:
    """Median time of a call, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return round(median(times), 1)


def drawn(picture: Picture, people: list[Person]) -> np.ndarray:
    """The photo with masks, keypoints and scores, as OpenCV writes it."""
    image = np.ascontiguousarray(picture.pixels[..., ::-1])
    zoom = max(1, round(900 / max(image.shape[:2])))
    image = cv2.resize(image, None, fx=zoom, fy=zoom)
    for number, person in enumerate(people):
        colour = COLOURS[number % len(COLOURS)]
        if person.mask is not None:
            covered = person.mask.in_image(picture.height, picture.width)
            covered = cv2.resize(covered, image.shape[1::-1])[..., None] / 255 * 0.3
            image = (image * (1 - covered) + covered * np.array(colour)).astype(np.uint8)
        layout = find_layout(person.layout)
        places = (person.points / picture.scale * zoom).astype(int)
        for ends in layout.edges:
            a, b = (layout.index(name) for name in ends)
            if min(person.confidence[a], person.confidence[b]) >= SEEN:
                cv2.line(image, places[a].tolist(), places[b].tolist(), colour, 2)
        for place, sure in zip(places, person.confidence, strict=True):
            cv2.circle(image, place.tolist(), 3, colour if sure >= SEEN else (0, 0, 0), -1)
        corner = (person.box[:2] / picture.scale * zoom).astype(int).tolist()
        cv2.putText(image, f"{person.score:.2f}", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1)
    return image


def photos(detector: BlazePose, folder: Path, out: Path | None) -> dict[str, object]:
    """People to be seen and found in each photo."""
    table = {}
    for name, there in PEOPLE.items():
        picture = read_picture(folder / f"{name}.jpg")
        start = time.perf_counter()
        people = detector.detect(picture)
        seconds = time.perf_counter() - start
        table[name] = {
            "size": f"{picture.width} x {picture.height}",
            "there": there,
            "found": len(people),
            "confidence": [round(float(person.confidence.mean()), 2) for person in people],
            "seconds": round(seconds, 2),
        }
        if out is not None:
            cv2.imwrite(str(out / f"{name}.png"), drawn(picture, people))
    return table


def rendered(detector: BlazePose, count: int) -> dict[str, object]:
    """Rendered people of whom keypoints are known: found, and how far off, over their height."""
    right, errors, visible = 0, [], []
    for index in range(count):
        number = 1 + index % 3
        rng = np.random.default_rng(index)
        picture = known_picture(rng, number, 480 + 240 * number, 800)
        found = [p.to_coco17().points for p in detector.detect(as_picture(picture.pixels))]
        right += len(found) == number
        for person in picture.people:
            truth = person.image_keypoints[:17]
            apart = [np.linalg.norm(points - truth, axis=1) for points in found]
            if apart and min(map(np.mean, apart)) < 0.25 * np.ptp(truth[:, 1]):
                errors.append(min(apart, key=np.mean) / np.ptp(truth[:, 1]))
                visible.append(person.visible[:17])
    percent = 100 * np.array(errors)
    seen = np.array(visible)
    return {
        "pictures": count,
        "with the right count": right,
        "people found": len(errors),
        "mean error of visible keypoints, % of height": round(float(percent[seen].mean()), 2),
        "of hidden ones": round(float(percent[~seen].mean()), 2),
        "worst person": round(float(percent.mean(axis=1).max()), 2),
        "each": {
            name: round(float(percent[:, i][seen[:, i]].mean()), 2)
            for i, name in enumerate(COCO17.names)
        },
    }


def clip(detector: BlazePose, path: Path) -> dict[str, object]:
    """A video followed: identities, jitter with and without smoothing, time a frame."""
    result: dict[str, object] = {}
    for smooth in (False, True):
        with VideoFile(path) as video:
            start = time.perf_counter()
            frames = list(follow(video, Tracker(detector, smooth=smooth)))
            seconds = time.perf_counter() - start
        points = [people[0].points if people else None for _, people in frames]
        jumps = [
            float(np.abs(a - 2 * b + c).mean())
            for a, b, c in zip(points, points[1:], points[2:], strict=False)
            if a is not None and b is not None and c is not None
        ]
        result["smoothed" if smooth else "raw"] = {
            "frames": len(frames),
            "with somebody": sum(bool(people) for _, people in frames),
            "identities": len({person.identity for _, people in frames for person in people}),
            "second difference, pixels": round(float(np.mean(jumps)), 2),
            "milliseconds a frame": round(1000 * seconds / len(frames), 1),
        }
    return result


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--rendered", type=int, default=60, help="rendered pictures")
    options = parser.parse_args()
    if options.draw is not None:
        options.draw.mkdir(parents=True, exist_ok=True)
    detector = BlazePose()
    picture = read_picture(options.photos / "skier.jpg")
    region = Region(420, 214, 439, -0.36)
    window = tiles(*picture.pixels.shape[1::-1], 1)
    figures = {
        "milliseconds": {
            "detector, one tile": milliseconds(lambda: detector._regions(picture.pixels, window)),
            f"landmarks, one person ({CROP} px)": milliseconds(lambda: detector.look(picture, region)),
        },
        "photos": photos(detector, options.photos, options.draw),
        "rendered": rendered(detector, options.rendered),
        "clip": clip(detector, options.photos / "clips" / "hall_person.mp4"),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
