"""The line at the bottom: engine, memory, running job, queue, messages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QToolButton

from desktop.actions import Actions
from desktop.shell.notifications import Notifications
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme, tabular
from desktop.widgets.parts import ICON_BESIDE_TEXT, icon_button, label, line, percent

if TYPE_CHECKING:
    from desktop.services import Services
    from engine.job import JobSpec

MEMORY_MS = 2000
GIB = 1024**3


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``8 s``, ``1 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class StatusBar(QFrame):
    """Always there; its parts fill when a project is attached."""

    def __init__(self, theme: Theme, actions: Actions, notifications: Notifications) -> None:
        super().__init__()
        self.setProperty("role", "status")
        self.setAccessibleName("Status")
        self.setFixedHeight(36)
        self._theme, self._actions = theme, actions
        self._services: Services | None = None
        self._pid: int | None = None
        self._memory_total = 0
        self._began = 0.0
        self._foretells = True
        self._stage_text = ""

        self._lamp = QLabel()
        self._engine = label("Opening the project…", "muted")
        self._memory = QProgressBar(maximum=1000, textVisible=False)
        self._memory.setFixedWidth(56)
        self._memory.setAccessibleName("Memory used by the engine")
        self._memory_text = label("", "muted")
        self._stage = label("")
        self._stage.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._stage.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._bar = QProgressBar(maximum=1000, textVisible=False)
        self._bar.setFixedWidth(150)
        self._bar.setAccessibleName("Progress of the running job")
        self._left = label("")
        for text in (self._memory_text, self._left):
            text.setFont(tabular(text.font()))
        self._left.setMinimumWidth(
            QFontMetrics(self._left.font()).horizontalAdvance("100 % · 59 min 59 s left")
        )
        self._cancel = icon_button(theme.icon("x-circle"), "Cancel the running job (Esc)")
        self._cancel.clicked.connect(actions.action("job.cancel").trigger)
        self._queue = self._link("stack", "Queue", "page.queue")
        self._messages = self._link("bell", "Messages", "view.messages")

        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_M, 0, SPACE_S, 0)
        row.setSpacing(SPACE_S)
        for part in (self._lamp, self._engine, self._memory, self._memory_text):
            row.addWidget(part)
        row.addSpacing(SPACE_L)
        row.addWidget(self._stage, 1)
        row.addWidget(self._bar)
        row.addWidget(self._left)
        row.addWidget(self._cancel)
        row.addWidget(line(vertical=True))
        row.addWidget(self._queue)
        row.addWidget(self._messages)

        self._timer = QTimer(self, interval=MEMORY_MS)
        self._timer.timeout.connect(self._measure)
        notifications.unread_changed.connect(self._show_unread)
        theme.changed.connect(self._repaint_lamp)
        self._lamp_role = "muted"
        self._set_lamp("muted")
        self._show_memory(None)
        self._show_job(False)

    @property
    def engine_text(self) -> str:
        """What is said of the engine."""
        return self._engine.text()

    @property
    def job_text(self) -> str:
        """What is said of the running job; empty when there is none."""
        return f"{self._stage_text} {self._left.text()}".strip() if self._bar.isVisibleTo(self) else ""

    @property
    def queue_text(self) -> str:
        """What is said of the queue."""
        return self._queue.text()

    def attach(self, services: Services) -> None:
        """Follow a project's engine and jobs."""
        self._services = services
        bridge = services.bridge
        bridge.engine_ready.connect(self._on_ready)
        bridge.engine_died.connect(self._on_died)
        bridge.progressed.connect(self._on_progress)
        bridge.job_changed.connect(self._on_job)
        bridge.job_added.connect(self._on_job)
        bridge.paused_changed.connect(self._count)
        self._say_engine("Engine starting…", "warn")
        self._counter = QTimer(self, singleShot=True, interval=100)
        self._counter.timeout.connect(self._count)
        self._count()

    def detach(self) -> None:
        """The project closes."""
        self._timer.stop()
        self._services = None
        self._pid = None
        self._show_job(False)
        self._show_memory(None)
        self._say_engine("No project is open", "muted")
        self._queue.setText("Queue")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the stage to what fits."""
        super().resizeEvent(event)
        self._elide()

    # --- engine -----------------------------------------------------------------------------------

    def _on_ready(self, info: dict[str, Any]) -> None:
        self._pid = info.get("pid")
        self._memory_total = int(info.get("memory_bytes") or 0)
        name = str(info.get("device_name") or info.get("device") or "").strip()
        device = str(info.get("device") or "").upper()
        self._say_engine(f"Engine ready · {device}" if device else "Engine ready", "good")
        self._engine.setToolTip("\n".join(filter(None, (name, f"torch {info.get('torch', '')}"))))
        self._timer.start()
        self._measure()

    def _on_died(self, reason: str) -> None:
        self._pid = None
        self._timer.stop()
        self._show_memory(None)
        self._show_job(False)
        self._say_engine("Engine ended, starting again…", "bad")
        self._engine.setToolTip(reason)

    def _say_engine(self, text: str, role: str) -> None:
        self._engine.setText(text)
        self._engine.setToolTip("")
        self._set_lamp(role)

    def _set_lamp(self, role: str) -> None:
        self._lamp_role = role
        self._repaint_lamp()

    def _repaint_lamp(self) -> None:
        icon = self._theme.icon("circle-fill", self._lamp_role)
        self._lamp.setPixmap(icon.pixmap(QSize(10, 10), self.devicePixelRatioF()))

    def _measure(self) -> None:
        if self._pid is None:
            return
        import psutil

        try:
            used = psutil.Process(self._pid).memory_info().rss
        except psutil.Error:
            self._show_memory(None)
            return
        self._show_memory(used)

    def _show_memory(self, used: int | None) -> None:
        shown = used is not None and self._memory_total > 0
        self._memory.setVisible(shown)
        self._memory_text.setVisible(shown)
        if used is not None and shown:
            total = self._memory_total
            self._memory.setValue(round(1000 * min(1.0, used / total)))
            self._memory_text.setText(f"{used / GIB:.1f} / {total / GIB:.0f} GiB")
            self._memory_text.setToolTip("Memory of the engine's process, of what the device has")

    # --- job and queue ----------------------------------------------------------------------------

    def _on_job(self, job: str) -> None:
        services = self._services
        if services is None:
            return
        self._counter.start()
        running = services.bridge.running
        if running is None:
            self._show_job(False)
        elif running == job and not self._bar.isVisibleTo(self):
            self._began = time.monotonic()
            self._foretells = _foretells(services.project.job(job).spec)
            self._say_stage("Starting")
            self._bar.setValue(0)
            self._left.setText("")
            self._show_job(True)

    def _on_progress(self, job: str, done: float, total: float, stage: str) -> None:
        if self._services is None or self._services.bridge.running != job:
            return
        share = done / total if total > 0 else 0.0
        self._bar.setValue(round(1000 * share))
        self._say_stage(stage or "Working")
        passed = time.monotonic() - self._began
        text = percent(share)
        if share > 0.02 and passed > 1 and self._foretells:
            text += f" · {duration(passed * (1 - share) / share)} left"
        self._left.setText(text)
        self._show_job(True)

    def _say_stage(self, text: str) -> None:
        self._stage_text = text
        self._elide()

    def _elide(self) -> None:
        metrics = self._stage.fontMetrics()
        width = max(0, self._stage.width() - 2)
        self._stage.setText(metrics.elidedText(self._stage_text, Qt.TextElideMode.ElideRight, width))
        self._stage.setToolTip(self._stage_text)

    def _show_job(self, shown: bool) -> None:
        for part in (self._bar, self._left, self._cancel):
            part.setVisible(shown)
        if not shown:
            self._say_stage("")

    def _count(self) -> None:
        if self._services is None:
            return
        from engine.job import JobState

        counts = self._services.project.counts()
        waiting = counts[JobState.QUEUED] + counts[JobState.RUNNING] + counts[JobState.CANCELLING]
        title = "Queue paused" if self._services.bridge.paused else "Queue"
        self._queue.setText(f"{title} {waiting}" if waiting else title)

    def _show_unread(self, unread: int) -> None:
        self._messages.setText(str(unread) if unread else "")
        self._messages.setAccessibleName(f"Messages, {unread} unread")
        self._messages.setIcon(self._theme.icon("bell-fill" if unread else "bell"))

    def _link(self, icon: str, name: str, action: str) -> QToolButton:
        result = icon_button(self._theme.icon(icon), name)
        result.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        result.setIconSize(ICON_BESIDE_TEXT)
        result.setText(name if name == "Queue" else "")
        result.setToolTip(self._actions.action(action).toolTip())
        result.clicked.connect(self._actions.action(action).trigger)
        return result


def _foretells(spec: JobSpec) -> bool:
    """Whether the progress of a job tells how long it will take.

    Not that of parallel sampling: its steps converge in leaps.
    """
    sampler = spec.params.get("sampler")
    return not (isinstance(sampler, Mapping) and sampler.get("name") == "parataa")
