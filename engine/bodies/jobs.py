"""The job ``bodies.recover``: from a photo or a video to the people in it, as posed bodies."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from engine.bodies.body_model import BodyModel
from engine.bodies.keypoints.detectors import KeypointDetector, load_detector
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.pictures import Picture, read_picture
from engine.bodies.keypoints.refusals import shows_trunk, with_bodies
from engine.bodies.params import RecoverParams
from engine.bodies.record import Camera, RecoveredPerson, Recovery, write_recoveries
from engine.bodies.recover import guess_camera, recover_person
from engine.bodies.smpl import load_body
from engine.context import RunContext
from engine.errors import invalid_input
from engine.registry import JOBS, JobKind
from engine.suffixes import VIDEO_SUFFIXES
from engine.video import VideoFile

RESULT = "bodies"
MEDIA_TYPE = "application/x-npz"
PHOTO_SIDE = 2048
PHOTO_QUALITY = 92


def recover(params: RecoverParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Recover everybody in the input ``picture``, a photo or a video.

    Saves one file of :mod:`engine.bodies.record` (with a picture for each frame of a video) and, with
    a photo, attaches it as it was looked at. Returns the metrics ``people``, ``frames``,
    ``error_px`` and ``error_share`` (means over people), ``seconds``.

    Raises
    ------
    EngineError
        ``bad_file`` for what cannot be read, ``invalid_input`` where nobody is to be seen.
    """
    path = Path(inputs.get("picture", ""))
    if "picture" not in inputs:
        raise invalid_input("No photo or video was given; nothing was started.")
    ctx.progress(0, 1, "Loading the models")
    body = load_body(params.body_model)
    detector = _detector(params)
    video = path.suffix.lower() in VIDEO_SUFFIXES
    run = _video if video else _photo
    recoveries, details = run(path, params, detector, body, ctx)
    people = [person for recovery in recoveries for person in recovery.people]
    if not people:
        raise invalid_input(
            f"Nobody was found in any frame of {path.name}; nothing was made of it.",
            "Small people are found with more levels.",
        )
    for note in dict.fromkeys(note for person in people for note in person.notes):
        ctx.warn(note)
    figures = {
        "people": len({p.person.identity for p in people}) if video else len(people),
        "frames": len(recoveries),
        "error_px": round(float(np.mean([person.error_px for person in people])), 3),
        "error_share": round(float(np.mean([person.error_share for person in people])), 5),
    }
    about = {
        "bodies": {**figures, "video": video, "source": path.name, **details},
        "prompt": path.stem,
        "width": recoveries[0].width,
        "height": recoveries[0].height,
    }
    ctx.save(RESULT, _file(recoveries), MEDIA_TYPE, about)
    rate = {"fps": details["fps"]} if video else {}
    return {**figures, **rate, "seconds": round(ctx.seconds, 3), "device": "cpu"}


def _detector(params: RecoverParams) -> KeypointDetector:
    if params.keypoints is not None:
        return load_detector("manual", path=params.keypoints)
    if params.detector == "blazepose":
        return load_detector("blazepose", levels=params.levels)
    return load_detector("onnx", path=params.detector)


def _photo(
    path: Path, params: RecoverParams, detector: KeypointDetector, body: BodyModel, ctx: RunContext
) -> tuple[list[Recovery], dict[str, Any]]:
    picture = read_picture(path)
    ctx.preview(_small(picture.pixels))
    ctx.progress(0.1, 1, "Looking for people")
    found = detector.detect(picture)
    people = with_bodies(found, path.name, picture.width, picture.height)
    if len(people) < len(found):
        ctx.warn(f"Of {len(found) - len(people)} more only the head is to be seen; left out.")
    camera = guess_camera(picture.width, picture.height, _exif(path), params.focal)
    bodies = []
    for index, person in enumerate(people):
        ctx.progress(0.2 + 0.7 * index / len(people), 1, f"Body {index + 1} of {len(people)}")
        bodies.append(_body(person, camera, body, params, ctx))
    recovery = Recovery(
        picture=str(path),
        width=picture.width,
        height=picture.height,
        camera=camera,
        body=body.name,
        people=tuple(bodies),
        seconds=ctx.seconds,
    )
    photo = ctx.attach(RESULT, "photo", _jpeg(picture), "image/jpeg")
    return [recovery], {"photo": photo.to_json()}


def _video(
    path: Path, params: RecoverParams, detector: KeypointDetector, body: BodyModel, ctx: RunContext
) -> tuple[list[Recovery], dict[str, Any]]:
    from engine.bodies.keypoints.tracking import Tracker

    if params.keypoints is not None:
        raise invalid_input(
            f"Keypoints set by hand are those of one picture, and {path.name} is a video; nothing was "
            "started.",
            "Leave the keypoints file out, or save frames as pictures.",
        )
    recoveries: list[Recovery] = []
    with VideoFile(path) as video:
        camera = guess_camera(video.width, video.height, None, params.focal)
        tracker = Tracker(detector, smooth=params.smooth)
        total = min(len(video.times[:: params.every]), params.frames or 10**9)
        shapes: dict[int | None, RecoveredPerson] = {}
        for done, (index, seconds, people, pixels) in enumerate(_frames(video, tracker, params)):
            if done >= total:
                break
            ctx.progress(done, total, f"Frame {index}")
            bodies = []
            for person in people:
                if shows_trunk(person, video.width, video.height):
                    before = shapes.get(person.identity)
                    made = _body(person, camera, body, params, ctx, before)
                    shapes.setdefault(person.identity, made)
                    bodies.append(made)
            recoveries.append(
                Recovery(
                    picture=str(path),
                    width=video.width,
                    height=video.height,
                    camera=camera,
                    body=body.name,
                    people=tuple(bodies),
                    frame=index,
                    seconds=seconds,
                )
            )
            if ctx.wants_preview():
                ctx.preview(_small(pixels))
        rate = video.rate / params.every
    return recoveries, {"fps": float(rate)}


def _frames(
    video: VideoFile, tracker: Any, params: RecoverParams
) -> Iterator[tuple[int, float, list[Person], NDArray[np.uint8]]]:
    from engine.bodies.keypoints.tracking import follow

    for frame, people in follow(video, tracker, step=params.every):
        yield frame.index, frame.seconds, people, frame.pixels


def _body(
    person: Person,
    camera: Camera,
    body: BodyModel,
    params: RecoverParams,
    ctx: RunContext,
    before: RecoveredPerson | None = None,
) -> RecoveredPerson:
    """One body; in a video with the shape that the person had in the first frame."""
    import torch

    shape = None if before is None else torch.from_numpy(before.shape.copy())[None]
    height = None if params.height is None else params.height / 100
    return recover_person(
        person, camera, body, method=params.method, height=height, shape=shape, check=ctx.check
    )


def _exif(path: Path) -> dict[str, Any]:
    """The EXIF data of a photo by name, of the picture and of how it was taken; empty without."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            values = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        # The photo itself was read already: only what it says of itself is damaged.
        return {}
    return {ExifTags.TAGS.get(key, str(key)): value for key, value in values.items()}


def _file(recoveries: Sequence[Recovery]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bodies.npz"
        write_recoveries(path, recoveries)
        return path.read_bytes()


def _jpeg(picture: Picture) -> bytes:
    image = Image.fromarray(picture.pixels)
    image.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=PHOTO_QUALITY)
    return file.getvalue()


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((640, 640))
    return np.asarray(image, np.uint8)


JOBS.add("bodies.recover", JobKind(RecoverParams, recover, "Recover bodies"))
