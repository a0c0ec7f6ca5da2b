"""The jobs of the Tracks page: how far they are, and when a scene has a new result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from engine.job import JobSpec

if TYPE_CHECKING:
    from desktop.bridge import Bridge
    from engine.project import Project

KIND = "tracks.track"


class TrackJobs(QObject):
    """See the module.

    Signals
    -------
    progressed(str)
        How far the tracker is.
    tracked(str, int, str)
        Folder of a scene, number of its new result, and what is to be told.
    """

    progressed = Signal(str)
    tracked = Signal(str, int, str)

    def __init__(self, project: Project, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project, self._bridge = project, bridge
        self._own: set[str] = set()
        bridge.progressed.connect(self._progressed)
        bridge.finished.connect(self._finished)
        for ended in (bridge.failed, bridge.cancelled):
            ended.connect(self._ended)

    def submit(self, scene: Path, params: Mapping[str, Any]) -> str:
        """Track a scene; raises what the project says when it cannot be written."""
        spec = JobSpec(KIND, params, {"scene": scene.resolve()}, device="cpu")
        job = self._bridge.submit(spec)
        self._own.add(job)
        return job

    def _progressed(self, job: str, done: float, total: float, stage: str) -> None:
        if job in self._own:
            share = f"{done / total:.0%}" if total > 0 else ""
            self.progressed.emit(f"Tracking · {share}" if stage else "Tracking")

    def _finished(self, job: str, _how: object) -> None:
        if job in self._own:
            self._own.discard(job)
            record = self._project.job(job)
            metrics = record.metrics or {}
            told = f"{metrics['tracklets']} tracklets of {metrics['boxes']:,} boxes."
            self.tracked.emit(str(record.spec.inputs["scene"]), int(metrics["result"]), told)

    def _ended(self, job: str, *_how: object) -> None:
        if job in self._own:
            self._own.discard(job)
            self.progressed.emit("")
