"""The steps of alignments: those that run now, and those read from results. No widgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images.align_record import read_record
from desktop.images.align_steps import AlignRecord, AlignSteps
from desktop.images.records import Records
from desktop.images.specs import picture_params, speed_key
from engine.errors import EngineError
from engine.job import JobSpec

if TYPE_CHECKING:
    from desktop.bridge import Bridge
    from engine.project import Project

SERIES = "align"
JOBS_KEPT = 64
RECORDS_KEPT = 8


class AlignModel(QObject):
    """Follows the series that the engine measures, and reads records beside the window's thread.

    Signals
    -------
    measured(str)
        A job had one more step.
    record_ready(str)
        The record with this digest was read, or is known to be unreadable.
    """

    measured = Signal(str)
    record_ready = Signal(str)

    def __init__(
        self,
        project: Project,
        bridge: Bridge,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._project = project
        self._running: OrderedDict[str, AlignSteps] = OrderedDict()
        self._records: Records[AlignRecord] = Records(background, self.record_ready.emit, RECORDS_KEPT)
        self._speeds: dict[tuple[str, bool], float] = {}
        bridge.measured.connect(self._measured)

    # --- running ----------------------------------------------------------------------------------

    def steps(self, job: str) -> AlignSteps | None:
        """The steps of a job that runs, or ran while this window was open."""
        return self._running.get(job)

    def _measured(self, job: str, series: str, values: Mapping[str, Any]) -> None:
        if series != SERIES:
            return
        known = self._running.setdefault(job, AlignSteps(int(values["steps"])))
        known.add(values)
        self._running.move_to_end(job)
        while len(self._running) > JOBS_KEPT:
            self._running.popitem(last=False)
        self._learn_speed(job, known)
        self.measured.emit(job)

    # --- estimates --------------------------------------------------------------------------------

    def seconds_a_step(self, params: Mapping[str, Any]) -> float | None:
        """Seconds an optimisation step of a picture takes here; ``None`` before one was seen."""
        speed = self._speeds.get(_step_key(params))
        return None if speed is None else speed * int(params["steps"])

    def _learn_speed(self, job: str, steps: AlignSteps) -> None:
        try:
            spec: JobSpec = self._project.job(job).spec
        except EngineError:
            return
        params = picture_params(spec)
        each = steps.seconds_each
        if each and spec.params.get("mode") in ("auto", "gradient") and "steps" in params:
            self._speeds[_step_key(params)] = each / int(params["steps"])

    # --- finished ---------------------------------------------------------------------------------

    def record(self, about: Mapping[str, Any]) -> AlignRecord | EngineError | None:
        """The record of a result (its manifest's ``align``), or why there is none.

        ``None`` while it is read; ``record_ready`` follows.
        """
        key = str(about["curve"]["sha256"])
        return self._records.get(key, lambda: read_record(self._project, about))


def _step_key(params: Mapping[str, Any]) -> tuple[str, bool]:
    """What decides how long one sampling step takes, there and back."""
    return speed_key(params), float(params.get("guidance", 1.0)) not in (0.0, 1.0)
