"""What the user hears about jobs: results, failures, interruptions; and the cancel that asks once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from desktop.services import Services
from desktop.shell.banners import Banners
from desktop.shell.job_model import job_title
from desktop.shell.rail import WORKSPACES
from desktop.shell.status_bar import duration
from engine.errors import EngineError, ErrorCode
from engine.job import JobState

if TYPE_CHECKING:
    from collections.abc import Callable


class JobEvents(QObject):
    """Turns the bridge's signals into messages and questions.

    Parameters
    ----------
    services
        The application's parts.
    banners
        Where questions are asked.
    current_page
        Name of the page the user looks at: what it shows itself needs no message.
    """

    def __init__(
        self,
        services: Services,
        banners: Banners,
        current_page: Callable[[], str],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._banners, self._current_page = services, banners, current_page
        self._engine_gone = False
        bridge = services.bridge
        bridge.failed.connect(self._on_failed)
        bridge.finished.connect(self._on_finished)
        bridge.warned.connect(self._on_warned)
        bridge.engine_died.connect(self._on_engine_died)
        bridge.engine_ready.connect(self._on_engine_ready)
        bridge.refused.connect(self._on_refused)

    def offer_interrupted(self) -> None:
        """Ask what to do with jobs that an unexpected end or a closed window interrupted."""
        jobs = [record.id for record in self._services.project.jobs([JobState.INTERRUPTED])]
        if not jobs:
            return
        bridge = self._services.bridge
        what = "1 job was" if len(jobs) == 1 else f"{len(jobs)} jobs were"
        self._banners.ask(
            "interrupted",
            "warning",
            f"{what} interrupted when Triptych ended. What was finished is kept.",
            [
                ("Resume", lambda: _for_each(bridge.requeue, jobs)),
                ("Discard", lambda: _for_each(bridge.discard, jobs)),
            ],
        )

    def cancel_running(self) -> None:
        """Cancel the running job; ask first when more work than the user's limit would be lost."""
        bridge = self._services.bridge
        job = bridge.running
        if job is None:
            return
        worked = self._worked(job)
        if worked <= self._services.settings.get("confirm_cancel_seconds"):
            bridge.cancel(job)
            return
        self._banners.ask(
            "cancel",
            "warning",
            f"This job has been running for {duration(worked)}. Cancel it? Finished results stay.",
            [("Cancel the job", lambda: bridge.cancel(job)), ("Keep running", lambda: None)],
        )

    def may_close(self, close: Callable[[], object]) -> bool:
        """Whether the window may close now; if much work would be lost, ask, and close on "yes"."""
        bridge = self._services.bridge
        job = bridge.running
        if job is None or self._worked(job) <= self._services.settings.get("confirm_cancel_seconds"):
            return True
        self._banners.ask(
            "close",
            "warning",
            f"A job has been running for {duration(self._worked(job))}. If you close Triptych it is "
            "interrupted; finished results stay, and the next start offers to run it again.",
            [("Close", close), ("Stay", lambda: None)],
        )
        return False

    def _worked(self, job: str) -> float:
        started = self._services.project.job(job).started
        return time.time() - started if started else 0.0

    def _on_failed(self, job: str, error: EngineError) -> None:
        self._banners.withdraw("cancel")
        if error.code is ErrorCode.CANCELLED:
            return
        record = self._services.project.job(job)
        self._services.notifications.post(
            "error",
            f"{job_title(record.spec)} failed. {error.message}",
            error.detail,
            error.hint,
            [("Run again", lambda: self._run_again(job))],
        )

    def _on_finished(self, job: str, _metrics: dict[str, Any]) -> None:
        self._banners.withdraw("cancel")
        record = self._services.project.job(job)
        workspace = record.spec.kind.partition(".")[0]
        if workspace == self._current_page():
            return
        page = workspace if workspace in WORKSPACES else "queue"
        show = self._services.actions.action(f"page.{page}").trigger
        took = duration((record.ended or 0) - (record.started or 0))
        self._services.notifications.post(
            "success", f"{job_title(record.spec)} is done after {took}.", actions=[("Show", show)]
        )

    def _on_warned(self, _job: str, message: str) -> None:
        self._services.notifications.post("warning", message)

    def _on_engine_died(self, reason: str) -> None:
        # With a job running, its failure says the same; and one message for a row of failed starts.
        if self._services.bridge.running is None and not self._engine_gone:
            self._services.notifications.post(
                "warning",
                f"The engine process ended: {reason}. No job was running; nothing was lost.",
                hint="It starts again by itself.",
            )
        self._engine_gone = True

    def _on_engine_ready(self, _info: dict[str, Any]) -> None:
        self._engine_gone = False

    def _on_refused(self, error: EngineError) -> None:
        self._services.notifications.tell(error)

    def _run_again(self, job: str) -> None:
        try:
            self._services.bridge.submit(self._services.project.job(job).spec)
        except EngineError as error:
            self._on_refused(error)


def _for_each(command: Callable[[str], None], jobs: list[str]) -> None:
    for job in jobs:
        command(job)
