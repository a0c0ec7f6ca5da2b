"""The job ``tracks.associate``: finds the same objects in several cameras of a scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.context import RunContext
from engine.errors import invalid_input
from engine.registry import JOBS, JobKind
from engine.tracks.association import AssociateOptions, Association, missing
from engine.tracks.boxes import Int64Array
from engine.tracks.obstacles import obstacles
from engine.tracks.reassociation import Reassociation
from engine.tracks.scene import ResultInfo, Scene
from engine.tracks.tracklets import ADDED, TrackState
from engine.tracks.visits import Visits

LINKS = "links"
UNSURE_MARGIN = 0.1
"""Links that look better than the next best by less are worth a look."""
RARE = 0.05
"""Links in the first or last share of their window are, too."""


class AssociateParams(BaseModel):
    """Associate over cameras"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    result: str = Field("", title="Result", description="Of a tracker in the scene; empty: the newest.")
    options: AssociateOptions = Field(default_factory=AssociateOptions, title="Settings")
    name: str = Field(
        "", title="Name", description="Of the new result; empty: the old one's, and more."
    )


def associate_scene(params: AssociateParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Associate a result of the scene in the folder ``inputs["scene"]``.

    Adds a result in which the tracklets have identities over all cameras; edits of the old one are in
    it. What a reviewer confirmed stays and is learnt from, what must or cannot be one is respected;
    zones, ways and travel times are those that the scene's cameras say. Saves the links as
    JSON, unsure ones marked, and what should be at another camera and is not. Returns the metrics
    ``result``, ``name``, ``tracklets``, ``identities``, ``in_several_cameras``, ``links``, ``unsure``,
    ``missing``, ``left_out``, ``seconds``. Warns of what keeps cameras apart
    (:mod:`engine.tracks.obstacles`).

    Raises
    ------
    EngineError
        What opening and :func:`~engine.tracks.association.associate` raise; ``invalid_input`` for a
        scene without the result.
    """
    if "scene" not in inputs:
        raise invalid_input("No scene was given; nothing was started.")
    with Scene.open(Path(inputs["scene"])) as scene:
        info = _chosen(scene, params.result)
        ctx.progress(0, 2, "Looking at tracklets")
        state = scene.state(info.id)
        rows, tracklets = _rows(state)
        network = Reassociation(scene.detections, scene.cameras, params.options)
        done = network.run(state, ctx.check)
        notes = obstacles(done.visits, scene.cameras, params.options.most_seconds)
        for note in notes:
            ctx.warn(note)
        visits, found, identities = done.visits, done.found, done.identities
        # Beyond the identities, so that the two can be told apart.
        offset = len(set(identities.values())) + 1
        about = {"associated": info.name, "options": params.options.model_dump(), "job": ctx.job}
        name = scene.free_name(params.name or f"{info.name} over cameras")
        made = scene.add_result(
            name, rows, tracklets + offset,
            {tracklet + offset: identity for tracklet, identity in identities.items()}, about,
        )  # fmt: skip
        names = [camera.name for camera in scene.cameras]
        links = _link_rows(visits, found, names, offset)
        own, first = np.unique(tracklets, return_index=True)
        at = dict(zip(own.tolist(), scene.detections.cameras[rows[first]].tolist(), strict=True))
        clocks = [scene.cameras[at[name]] for name in own.tolist()]
        frames = scene.detections.frames[rows[first]].tolist()
        begins = {
            name: camera.offset + frame / camera.fps
            for name, camera, frame in zip(own.tolist(), clocks, frames, strict=True)
        }
        left_out = [
            {
                "tracklets": [name + offset for name in parts],
                "camera": names[at[parts[0]]],
                "begins": round(begins[parts[0]], 3),
                "why": why,
            }
            for parts, why in done.left_out.items()
        ]
        lacking = [
            {
                "tracklet": visits.tracklets[lack.visit][0] + offset,
                "seen_at": names[visits.cameras[lack.visit]],
                "missing_at": names[lack.camera],
                "from": round(lack.start, 3),
                "until": round(lack.end, 3),
            }
            for lack in missing(visits, found, scene.cameras)
        ]
    cameras: dict[int, set[int]] = {}
    for tracklet, identity in identities.items():
        cameras.setdefault(identity, set()).add(at[tracklet])
    figures = {
        "result": made.id,
        "name": made.name,
        "tracklets": len(identities),
        "identities": len(cameras),
        "in_several_cameras": sum(len(seen) > 1 for seen in cameras.values()),
        "links": len(links),
        "unsure": sum(bool(link["unsure"]) for link in links),
        "missing": len(lacking),
        "left_out": len(left_out),
    }
    data = json.dumps({"links": links, "missing": lacking, "left_out": left_out}, indent=1).encode()
    ctx.save(LINKS, data, "application/json", {"tracks": figures, "prompt": made.name})
    return {**figures, "seconds": round(ctx.seconds, 3), "device": "cpu"}


def _chosen(scene: Scene, name: str) -> ResultInfo:
    results = {info.name: info for info in scene.results()}
    if not results:
        raise invalid_input(
            "The scene has no tracks that could be associated; nothing was started.",
            "Track it first (triptych track).",
        )
    if name and name not in results:
        raise invalid_input(
            f"The scene has no result {name!r}; nothing was started.", f"It has: {', '.join(results)}."
        )
    return results[name] if name else list(results.values())[-1]


def _rows(state: TrackState) -> tuple[Int64Array, Int64Array]:
    """Detections that belong to tracklets; boxes that edits added have no appearance."""
    rows = [(name, state.rows_of(name)) for name in state.tracklets]
    found = [(name, own[own < ADDED]) for name, own in rows]
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    names = np.repeat([name for name, _ in found], [len(own) for _, own in found])
    return np.concatenate([own for _, own in found]), names.astype(np.int64)


def _link_rows(
    visits: Visits, found: Association, names: list[str], offset: int
) -> list[dict[str, Any]]:
    links = found.links
    told = []
    for at in range(len(links)):
        one, other = int(links.first[at]), int(links.second[at])
        margin, place = float(links.margin[at]), float(links.place[at])
        unsure = []
        if margin < UNSURE_MARGIN:
            unsure.append("another one looks nearly as much like it")
        if not RARE <= place <= 1 - RARE:
            unsure.append("an unusual time")
        told.append(
            {
                "from": names[visits.cameras[one]],
                "to": names[visits.cameras[other]],
                "tracklets": [visits.tracklets[one][-1] + offset, visits.tracklets[other][0] + offset],
                "leaves": round(float(visits.t_out[one]), 3),
                "arrives": round(float(visits.t_in[other]), 3),
                "similarity": round(float(links.similarity[at]), 4),
                "margin": round(margin, 4) if np.isfinite(margin) else None,
                "unsure": unsure,
            }
        )
    return told


JOBS.add("tracks.associate", JobKind(AssociateParams, associate_scene, "Associate over cameras"))
