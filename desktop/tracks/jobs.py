"""The jobs of the Tracks page: how far they are, and what they left in which scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from engine.job import JobSpec

if TYPE_CHECKING:
    from desktop.bridge import Bridge
    from engine.project import Project

DETECT, TRACK, ASSOCIATE = "tracks.detect", "tracks.track", "tracks.associate"
WORDS = {DETECT: "Detecting", TRACK: "Tracking", ASSOCIATE: "Linking"}


class TrackJobs(QObject):
    """See the module.

    Signals
    -------
    progressed(str)
        How far a job is.
    detected(str, str)
        Folder of a scene with new detections, and what is to be told.
    tracked(str, int, str)
        Folder of a scene, number of its new result (of tracking or linking), what is to be told.
    """

    progressed = Signal(str)
    detected = Signal(str, str)
    tracked = Signal(str, int, str)

    def __init__(self, project: Project, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project, self._bridge = project, bridge
        self._own: dict[str, str] = {}
        bridge.progressed.connect(self._progressed)
        bridge.finished.connect(self._finished)
        for ended in (bridge.failed, bridge.cancelled):
            ended.connect(self._ended)

    def submit(self, kind: str, scene: Path, params: Mapping[str, Any]) -> str:
        """Detect or track in a scene; raises what the project says when it cannot be written."""
        # To know what auto means, the engine loads torch: only networks need that.
        network = any(name.lower().endswith(".onnx") for name in params.get("detectors", ()))
        device = "auto" if network else "cpu"
        job = self._bridge.submit(JobSpec(kind, params, {"scene": scene.resolve()}, device=device))
        self._own[job] = kind
        return job

    def _progressed(self, job: str, done: float, total: float, stage: str) -> None:
        if job in self._own:
            share = f" · {done / total:.0%}" if total > 0 else ""
            self.progressed.emit(f"{WORDS[self._own[job]]}{share}")

    def _finished(self, job: str, _how: object) -> None:
        kind = self._own.pop(job, None)
        if kind is None:
            return
        record = self._project.job(job)
        metrics, scene = record.metrics or {}, str(record.spec.inputs["scene"])
        if kind == DETECT:
            self.detected.emit(scene, f"{metrics['detections']:,} boxes found.")
        elif kind == ASSOCIATE:
            told = (
                f"{metrics['identities']:,} identities, {metrics['in_several_cameras']:,} of them in "
                f"several cameras; {metrics['unsure']:,} of {metrics['links']:,} links are unsure."
            )
            self.tracked.emit(scene, int(metrics["result"]), told)
        else:
            told = f"{metrics['tracklets']:,} tracklets of {metrics['boxes']:,} boxes."
            self.tracked.emit(scene, int(metrics["result"]), told)

    def _ended(self, job: str, *_how: object) -> None:
        if self._own.pop(job, None) is not None:
            self.progressed.emit("")
