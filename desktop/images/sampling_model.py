"""The rounds of parallel runs: those that run now, and those read from results. No widgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images.records import Records
from desktop.images.rounds import Rounds, Trace, read_trace
from desktop.images.routes import Routes, read_routes
from engine.errors import EngineError
from engine.job import ArtifactRef

if TYPE_CHECKING:
    from desktop.bridge import Bridge
    from engine.project import Project

SERIES = "parallel"
JOBS_KEPT = 4
PICTURES_KEPT = 64
TRACES_KEPT = 16


class SamplingModel(QObject):
    """Follows the series that the engine measures, and reads traces beside the window's thread.

    Signals
    -------
    measured(str, int)
        Picture ``int`` of a job had one more round.
    trace_ready(str)
        The trace with this digest was read, or is known to be unreadable.
    """

    measured = Signal(str, int)
    trace_ready = Signal(str)

    def __init__(
        self,
        project: Project,
        bridge: Bridge,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._project = project
        # The last pictures of the last jobs: what was finished longer ago is in files.
        self._running: OrderedDict[str, OrderedDict[int, Rounds]] = OrderedDict()
        self._traces: Records[Trace] = Records(background, self.trace_ready.emit, TRACES_KEPT)
        self._routes: Records[Routes] = Records(background, self.trace_ready.emit, TRACES_KEPT)
        bridge.measured.connect(self._measured)

    # --- running ----------------------------------------------------------------------------------

    def rounds(self, job: str, image: int) -> Rounds | None:
        """The rounds of a picture that is, or was just, being made."""
        return self._running.get(job, {}).get(image)

    def leading(self, job: str) -> int:
        """The first picture of a job that is being made: who watches all of them watches this."""
        pictures = self._running.get(job, {})
        return min((image for image, rounds in pictures.items() if not rounds.converged), default=0)

    def _measured(self, job: str, series: str, values: Mapping[str, Any]) -> None:
        if series != SERIES:
            return
        pictures = self._running.setdefault(job, OrderedDict())
        image = int(values["image"])
        known = pictures.get(image)
        if known is None or known.steps != int(values["steps"]):
            known = pictures[image] = Rounds(int(values["steps"]), float(values["tolerance"]))
        known.add(values)
        pictures.move_to_end(image)
        self._running.move_to_end(job)
        while len(pictures) > PICTURES_KEPT:
            pictures.popitem(last=False)
        while len(self._running) > JOBS_KEPT:
            self._running.popitem(last=False)
        self.measured.emit(job, image)

    # --- finished ---------------------------------------------------------------------------------

    def trace(self, about: Mapping[str, Any]) -> Trace | EngineError | None:
        """The trace of a result (its manifest's ``parallel``), or why there is none.

        ``None`` while it is read; ``trace_ready`` follows.
        """
        key = str(about["trace"]["sha256"])
        return self._traces.get(key, lambda: read_trace(self._project, about))

    def routes(self, about: Mapping[str, Any], picture: ArtifactRef) -> Routes | EngineError | None:
        """What was computed for a result (its manifest's ``compute``), or why that is not known.

        ``None`` while it is read; ``trace_ready`` follows.
        """
        key = f"{about['routes']['sha256']}/{picture.sha256}"
        return self._routes.get(key, lambda: read_routes(self._project, about, picture))
