"""The job ``tracks.track``: links the detections of a scene and stores who is who as a result."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from engine.context import RunContext
from engine.errors import invalid_input
from engine.registry import JOBS, JobKind
from engine.tracks.boxes import FEATURES, NO_TRACK
from engine.tracks.formats import TrackFile, write_tracks
from engine.tracks.scene import Scene
from engine.tracks.trackers import track

RESULT = "tracks"


class TrackParams(BaseModel):
    """Track a scene"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tracker: str = Field(
        "jde",
        title="Tracker",
        description="jde: motion and appearance; bytetrack: overlap; aoa: appearance, any class.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, title="Settings", description="Of the tracker, by name."
    )
    name: str = Field("", title="Name", description="Of the result in the scene; empty: the tracker's.")


def track_scene(params: TrackParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Track the scene in the folder ``inputs["scene"]``.

    Adds a result to the scene, and saves its boxes as CSV. Returns the metrics ``result`` (its number
    in the scene), ``name``, ``boxes``, ``tracklets``, ``left_out``, ``seconds``.

    Raises
    ------
    EngineError
        What :meth:`Scene.open` and :func:`~engine.tracks.trackers.track` raise; ``invalid_input`` for a
        scene without detections.
    """
    if "scene" not in inputs:
        raise invalid_input("No scene was given; nothing was started.")
    with Scene.open(Path(inputs["scene"])) as scene:
        boxes = scene.detections
        # Boxes that a file brought with its own tracks are somebody's result, not detections.
        if not (boxes.tracks == NO_TRACK).any():
            raise invalid_input(
                "The scene has no detections that could be tracked; nothing was started.",
                "Detect in its videos (triptych detect), or import a file of detections.",
            )
        plain = (boxes.tracks == NO_TRACK).nonzero()[0]
        ctx.progress(0, 1, "Tracking")
        found = track(
            boxes.select(plain),
            params.tracker,
            params.options,
            lambda done, total: ctx.progress(done, max(1, total), f"Frame {done} of {total}"),
        )
        for reason, count in found.left_out.items():
            ctx.warn(f"{count} boxes {reason} were left out.")
        rows = plain[found.rows]
        about = {"tracker": params.tracker, "options": params.options, "job": ctx.job}
        name = scene.free_name(params.name or params.tracker)
        info = scene.add_result(name, rows, found.tracklets, about=about)
        own = scene.detections.select(rows).replace(tracks=found.tracklets)
        own = replace(own, extra={k: v for k, v in own.extra.items() if k != FEATURES})
        file = TrackFile(own, tuple(scene.cameras), scene.class_names)
    figures = {
        "result": info.id,
        "name": info.name,
        "boxes": len(rows),
        "tracklets": int(found.tracklets.max(initial=-1)) + 1,
        "left_out": dict(found.left_out),
    }
    ctx.save(RESULT, _csv(file), "text/csv", {"tracks": figures, "prompt": info.name})
    return {**figures, "seconds": round(ctx.seconds, 3), "device": "cpu"}


def _csv(file: TrackFile) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.csv"
        write_tracks(file, path, "csv")
        return path.read_bytes()


JOBS.add("tracks.track", JobKind(TrackParams, track_scene, "Track a scene"))
