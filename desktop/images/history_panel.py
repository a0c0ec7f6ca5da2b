"""The inspector's second tab: the jobs of this page and what became of them."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.images.model import ImagesModel, PageJob
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.parts import button, label
from engine.job import JobState

Index = QModelIndex | QPersistentModelIndex
JobRole = Qt.ItemDataRole.UserRole
ROW_HEIGHT = 52
STATE_ICONS: dict[JobState, tuple[str, str]] = {
    JobState.QUEUED: ("clock", "muted"),
    JobState.RUNNING: ("spinner", "images"),
    JobState.CANCELLING: ("hourglass", "muted"),
    JobState.CANCELLED: ("prohibit", "muted"),
    JobState.SUCCEEDED: ("check-circle", "good"),
    JobState.FAILED: ("warning-circle", "bad"),
    JobState.INTERRUPTED: ("warning", "warn"),
}


def title_of(job: PageJob) -> str:
    """What a job makes, to read."""
    return f"Align: {job.title}" if job.aligns else job.title


class JobListModel(QAbstractListModel):
    """The page's jobs, newest first."""

    def __init__(self, model: ImagesModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._jobs = list(model.jobs)
        model.jobs_changed.connect(self._reload)
        model.job_updated.connect(self._updated)

    def _reload(self) -> None:
        jobs = list(self._model.jobs)
        if [job.id for job in jobs] == [job.id for job in self._jobs]:
            self._jobs = jobs
            self.dataChanged.emit(self.index(0), self.index(len(jobs) - 1))
            return
        self.beginResetModel()
        self._jobs = jobs
        self.endResetModel()

    def _updated(self, job: str) -> None:
        for row, known in enumerate(self._jobs):
            if known.id == job:
                self.dataChanged.emit(self.index(row), self.index(row))
                return

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._jobs)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        job = self._jobs[index.row()]
        if role == JobRole:
            return job
        if role == Qt.ItemDataRole.DisplayRole:
            return title_of(job)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{title_of(job)}, {job.state.value}. {job.status()}"
        if role == Qt.ItemDataRole.ToolTipRole:
            hint = f"\n{job.error.hint}" if job.error and job.error.hint else ""
            return f"{title_of(job)}\n{job.status()}{hint}"
        return None


class JobDelegate(QStyledItemDelegate):
    """State icon, prompt, and a line on how it went."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        job: PageJob = index.data(JobRole)
        tokens = self._theme.tokens
        rect: QRect = option.rect
        state = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, QColor(tokens.hover))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(tokens.raised))
        name, role = STATE_ICONS[job.state]
        icon_box = QRect(rect.left() + SPACE_M, rect.top() + 9, 18, 18)
        self._theme.icon(name, role).paint(painter, icon_box)
        left = icon_box.right() + SPACE_M
        made = time.strftime("%H:%M", time.localtime(job.created))
        metrics = painter.fontMetrics()
        time_width = metrics.horizontalAdvance(made)
        first = QRect(left, rect.top() + 7, rect.right() - left - SPACE_M, metrics.height())
        second = first.translated(0, metrics.height() + 3)
        painter.setPen(QColor(tokens.muted))
        painter.drawText(first, Qt.AlignmentFlag.AlignRight, made)
        painter.drawText(second, 0, _elided(painter, job.status(), second.width()))
        painter.setPen(QColor(tokens.text))
        title = title_of(job) if job.count == 1 else f"{job.count} × {job.title}"
        painter.drawText(first, 0, _elided(painter, title, first.width() - time_width - SPACE_S))
        if job.state is JobState.RUNNING:
            bar = QRect(rect.left(), rect.bottom() - 1, round(rect.width() * job.fraction), 2)
            painter.fillRect(bar, QColor(self._theme.accent("images")))
        painter.restore()


class HistoryPanel(QWidget):
    """The list with its buttons.

    Signals
    -------
    opened(str)
        Show the results of this job.
    cancel_requested(str), rerun_requested(str)
        What the buttons ask for.
    """

    opened = Signal(str)
    cancel_requested = Signal(str)
    rerun_requested = Signal(str)

    def __init__(self, model: ImagesModel, theme: Theme) -> None:
        super().__init__()
        self.list_model = JobListModel(model, self)
        self.view = QListView()
        self.view.setAccessibleName("Jobs of this page")
        self.view.setModel(self.list_model)
        self.view.setItemDelegate(JobDelegate(theme, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.activated.connect(lambda index: self.opened.emit(index.data(JobRole).id))
        self.view.clicked.connect(lambda index: self.opened.emit(index.data(JobRole).id))
        self.empty = label("Jobs appear here once you generate something.", "muted", wrap=True)
        self.empty.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        self.rerun = button("Run again", lambda: self._emit(self.rerun_requested))
        self.cancel = button("Cancel", lambda: self._emit(self.cancel_requested))
        row = QHBoxLayout()
        row.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        row.setSpacing(SPACE_S)
        row.addWidget(self.rerun, 1)
        row.addWidget(self.cancel, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.empty)
        layout.addWidget(self.view, 1)
        layout.addLayout(row)
        self.view.selectionModel().selectionChanged.connect(self._enable)
        for signal in (self.list_model.modelReset, self.list_model.dataChanged):
            signal.connect(self._enable)
        self._enable()

    def selected(self) -> PageJob | None:
        """The job that is marked."""
        indexes = self.view.selectionModel().selectedIndexes()
        job: PageJob | None = indexes[0].data(JobRole) if indexes else None
        return job

    def _emit(self, signal: Any) -> None:
        job = self.selected()
        if job is not None:
            signal.emit(job.id)

    def _enable(self) -> None:
        job = self.selected()
        self.rerun.setEnabled(job is not None)
        self.cancel.setEnabled(job is not None and job.active and job.state is not JobState.CANCELLING)
        self.empty.setVisible(self.list_model.rowCount() == 0)
        self.view.setVisible(self.list_model.rowCount() > 0)


def _elided(painter: QPainter, text: str, width: int) -> str:
    return painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width)
