"""Arcs on the timeline: the ways of the selected identity between cameras, how long, why doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from PySide6.QtCore import QObject

from desktop.tracks.model import TracksModel
from desktop.widgets.timeline import Timeline
from desktop.widgets.timeline_arcs import Arc


class LinkArcs(QObject):
    """Keeps the arcs of a timeline up to date with a model's selection."""

    def __init__(self, model: TracksModel, timeline: Timeline, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model, self._timeline = model, timeline
        self._reasons: dict[tuple[int, int], list[str]] = {}
        self.arcs: list[Arc] = []
        for signal in (model.opened, model.changed, model.cameras_changed, model.selected):
            signal.connect(self._renew)

    def use_links(self, links: Sequence[Mapping[str, Any]]) -> None:
        """What linking said of ways: why some are unsure."""
        self._reasons = {
            (one, other): list(link["unsure"]) for link in links for one, other in (link["tracklets"],)
        }
        self._renew()

    def _renew(self) -> None:
        self.arcs = self._of_selected()
        self._timeline.set_arcs(self.arcs)

    def _of_selected(self) -> list[Arc]:
        identity, state, scene = self._model.identity, self._model.state, self._model.scene
        if identity is None or state is None or scene is None:
            return []
        times = []
        for name in state.members(identity):
            span = self._model.span(name)
            if span is not None:
                camera = scene.cameras[span.camera]
                begin = camera.offset + span.first / camera.fps
                times.append((begin, camera.offset + span.last / camera.fps, span))
        arcs = []
        for (_, end, one), (begin, _, other) in pairwise(sorted(times, key=lambda time: time[:2])):
            if one.camera != other.camera:
                why = self._reasons.get((one.tracklet, other.tracklet), [])
                text = "; ".join([f"{begin - end:.1f} s", *why])
                arcs.append(Arc(one.tracklet, other.tracklet, text, bool(why)))
        return arcs
