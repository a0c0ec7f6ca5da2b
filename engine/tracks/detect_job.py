"""The job ``tracks.detect``: from videos, or a scene's videos, to a scene with detections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.context import RunContext
from engine.errors import invalid_input
from engine.registry import JOBS, JobKind
from engine.tracks.appearance.catalogue import Appearance, load_appearance
from engine.tracks.appearance.ensemble import Ensemble
from engine.tracks.cameras import Camera
from engine.tracks.detect import drawn, watch
from engine.tracks.detect_params import DetectParams
from engine.tracks.detection.catalogue import Detector, load_detector
from engine.tracks.detection.found import Found
from engine.tracks.detection.fusion import Fused
from engine.tracks.scene import DATABASE, Scene
from engine.video import Frame, VideoFile

RESULT = "detections"


def detect(params: DetectParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Find and describe things in the videos of a network of cameras.

    Inputs are ``scene``, a scene's folder of which all cameras with a video are looked at, or videos
    under any other names, each of which becomes a camera named after its file. Detections are stored
    camera by camera; the same job again goes on with the cameras that it had not finished. Saves a
    JSON object that names the scene and what was found in each camera. Returns the metrics
    ``detections``, ``cameras``, ``frames``, ``frames_a_second``, ``scene``, ``seconds``.

    Raises
    ------
    EngineError
        ``invalid_input`` without a video, without a place for the scene, or where the scene has other
        detections; what detectors, appearances and videos raise.
    """
    plan = _plan(params, inputs)
    ctx.progress(0, 1, "Loading the models")
    device = "cpu" if ctx.device == "cpu" else "auto"
    detector = _detector(params, device)
    appearance = _appearance(params.appearance, device)
    label = _label(params, detector, appearance)
    most = params.frames or max(camera.frames for camera in plan.cameras)
    frames = {name: min(plan.camera(name).frames, most) for name in plan.videos}
    counts: dict[str, int] = {}
    done = looked = 0
    with _opened(plan, label) as scene:
        names = [camera.name for camera in scene.cameras]
        before = np.bincount(scene.detections.cameras, minlength=len(names))
        for name, path in plan.videos.items():
            at = names.index(name)
            counts[name] = int(before[at])
            if not counts[name]:
                boxes = watch(
                    path,
                    detector,
                    appearance,
                    camera=name,
                    position=at,
                    frames=params.frames,
                    least_score=params.least_score,
                    listener=_listener(ctx, name, done, sum(frames.values())),
                    check=ctx.check,
                    warn=ctx.warn,
                )
                scene.add_detections(boxes, label)
                counts[name] = len(boxes)
                looked += frames[name]
            done += frames[name]
        scene.name_classes(detector.class_names)
        folder = scene.folder.resolve()
    figures = {
        "detections": sum(counts.values()),
        "cameras": len(counts),
        "frames": sum(frames.values()),
        "frames_a_second": round(looked / max(ctx.seconds, 1e-9), 1),
        "scene": str(folder),
        "detector": detector.name,
        "appearance": appearance.name if appearance else "none",
        "dimension": appearance.dimension if appearance else 0,
    }
    if not figures["detections"]:
        ctx.warn("Nothing was found in any frame.")
    told = json.dumps({**figures, "by_camera": counts, "source": label}, indent=1)
    ctx.save(RESULT, told.encode(), "application/json", {"prompt": f"detections {folder.name}"})
    return {**figures, "seconds": round(ctx.seconds, 3)}


@dataclass(frozen=True)
class _Plan:
    """What is looked at, and where it goes.

    Attributes
    ----------
    videos
        By the name of their camera.
    cameras
        All of the scene, also those without a video.
    folder
        Of the scene with the detections.
    """

    videos: dict[str, Path]
    cameras: tuple[Camera, ...]
    folder: Path

    def camera(self, name: str) -> Camera:
        """The camera of this name."""
        return next(camera for camera in self.cameras if camera.name == name)


def _plan(params: DetectParams, inputs: dict[str, Any]) -> _Plan:
    if "scene" in inputs:
        return _plan_of_scene(params, Path(inputs["scene"]))
    if not params.out:
        raise invalid_input("There is no folder for the scene; nothing was started.", "Name one.")
    if not inputs:
        raise invalid_input("No video was given; nothing was started.")
    videos: dict[str, Path] = {}
    for path in map(Path, inputs.values()):
        if path.stem in videos:
            raise invalid_input(
                f"Two videos are called {path.stem}, and cameras are named after them; nothing was "
                "started.",
                "Rename one of them.",
            )
        videos[path.stem] = path
    cameras = tuple(_measured(Camera(name), path) for name, path in videos.items())
    return _Plan(videos, cameras, Path(params.out))


def _plan_of_scene(params: DetectParams, folder: Path) -> _Plan:
    with Scene.open(folder) as scene:
        known = scene.cameras
    videos = {camera.name: folder / camera.video for camera in known if camera.video}
    if not videos:
        raise invalid_input(
            f"No camera of the scene {folder} has a video; nothing was started.",
            "Make the scene from videos, or draw it with triptych scene make --video.",
        )
    cameras = tuple(
        _measured(camera, videos[camera.name]) if camera.video else camera for camera in known
    )
    return _Plan(videos, cameras, Path(params.out) if params.out else folder)


def _measured(camera: Camera, path: Path) -> Camera:
    """A camera with what its video says of itself; a clock that it had stays."""
    with VideoFile(path) as video:
        return replace(
            camera,
            fps=camera.fps if camera.frames else video.rate,
            width=video.width,
            height=video.height,
            frames=len(video.times),
            video=str(path.resolve()),
        )


def _detector(params: DetectParams, device: str) -> Detector:
    parts = []
    for name in params.detectors:
        suffix = Path(name).suffix.lower()
        options: dict[str, Any] = {}
        if suffix == ".onnx":
            options = {
                "layout": params.layout, "classes": params.classes, "one_class": params.one_class,
                "least_score": params.least_score, "overlap": params.overlap, "size": params.size,
                "tiles": params.tiles, "device": device,
            }  # fmt: skip
        elif name == "moving":
            options = {"least_size": params.least_size}
        parts.append(load_detector(name, **options))
    if params.classes and not any(Path(name).suffix.lower() == ".onnx" for name in params.detectors):
        raise invalid_input(
            f"Only detectors from ONNX files tell classes apart, not {', '.join(params.detectors)}; "
            "nothing was started.",
            "Leave the classes out.",
        )
    if len(parts) == 1 and not params.weights:
        return parts[0]
    return Fused(parts, params.weights or None)


def _appearance(names: tuple[str, ...], device: str) -> Appearance | None:
    parts = []
    for name in names:
        onnx = Path(name).suffix.lower() == ".onnx"
        parts.append(load_appearance(name, **({"device": device} if onnx else {})))
    return None if not parts else parts[0] if len(parts) == 1 else Ensemble(parts)


def _label(params: DetectParams, detector: Detector, appearance: Appearance | None) -> str:
    """What the scene remembers of where its boxes come from; other settings, another label."""
    said = params.model_dump_json(exclude={"out"}) + (appearance.identity if appearance else "")
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    described = f" with {appearance.name}" if appearance else ""
    return f"{detector.name}{described} [{digest}]"


def _opened(plan: _Plan, label: str) -> Scene:
    """The scene: a new one, or one without other detections, which an earlier run may have begun."""
    if not (plan.folder / DATABASE).exists():
        return Scene.create(plan.folder, plan.cameras)
    scene = Scene.open(plan.folder)
    others = sorted(set(scene.sources()) - {label})
    missing = sorted(plan.videos.keys() - {camera.name for camera in scene.cameras})
    if not others and not missing:
        return scene
    scene.close()
    has = f"detections of another origin ({', '.join(others)})" if others else "other cameras"
    raise invalid_input(
        f"The scene {plan.folder} has {has}; nothing was started.",
        "Choose another folder for the scene.",
    )


def _listener(ctx: RunContext, name: str, before: int, total: int) -> Callable[[Frame, Found], None]:
    def listen(frame: Frame, found: Found) -> None:
        ctx.progress(before + frame.index + 1, total, f"{name}: frame {frame.index}")
        if ctx.wants_preview():
            ctx.preview(drawn(frame, found))

    return listen


JOBS.add("tracks.detect", JobKind(DetectParams, detect, "Find things in videos"))
