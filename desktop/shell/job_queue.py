"""The Queue page: all jobs of the project, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from desktop.services import Page, Services
from desktop.shell.banners import Banners
from desktop.shell.job_model import (
    ADDED,
    JOB,
    PROGRESS,
    STATE,
    TOOK,
    FractionRole,
    JobModel,
    describe_job,
)
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme, tabular
from desktop.widgets.parts import EmptyState, button, icon_button, label, line
from engine.errors import EngineError
from engine.job import JobState
from engine.project import JobRecord

RELOAD_MS = 150

_RUNNING = (JobState.RUNNING, JobState.CANCELLING)
_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

# id, title, key, icon, states of a job it applies to
_ACTIONS: tuple[tuple[str, str, str, str, tuple[JobState, ...]], ...] = (
    ("queue.cancel", "Cancel", "Del", "x-circle", (JobState.QUEUED, JobState.RUNNING)),
    ("queue.up", "Move up", "Alt+Up", "arrow-up", (JobState.QUEUED,)),
    ("queue.down", "Move down", "Alt+Down", "arrow-down", (JobState.QUEUED,)),
    ("queue.again", "Run again", "Ctrl+D", "repeat", tuple(JobState)),
    ("queue.resume", "Resume", "", "play", (JobState.INTERRUPTED,)),
    ("queue.discard", "Discard", "", "trash", (JobState.INTERRUPTED,)),
)


class _ProgressDelegate(QStyledItemDelegate):
    """A thin bar under the stage of the running job."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        super().paint(painter, option, index)
        share = index.data(FractionRole)
        if share is None:
            return
        area = option.rect.adjusted(SPACE_S, 0, -SPACE_S, 0)
        groove = QRect(area.left(), area.bottom() - 5, area.width(), 3)
        painter.fillRect(groove, QColor(self._theme.tokens.border))
        groove.setWidth(round(groove.width() * float(share)))
        painter.fillRect(groove, QColor(self._theme.accent("images")))


class JobQueuePage(Page):
    """A table of jobs, buttons for the chosen ones, and what there is to know about one.

    Parameters
    ----------
    services
        The application's parts.
    banners
        Where "Cancel all" asks.
    """

    workspace = "queue"
    title = "Queue"
    icon = "stack"

    def __init__(self, services: Services, banners: Banners) -> None:
        super().__init__()
        self._services, self._banners = services, banners
        self.model = JobModel(services.project, services.theme, self)
        self._dirty = True
        self._reload_timer = QTimer(self, singleShot=True, interval=RELOAD_MS)
        self._reload_timer.timeout.connect(self._reload)
        self._build()
        self._define_actions()
        bridge = services.bridge
        bridge.job_added.connect(self._changed)
        bridge.job_changed.connect(self._changed)
        bridge.progressed.connect(self._on_progress)
        bridge.paused_changed.connect(self._show_paused)
        self._show_paused(bridge.paused)

    # --- Page -------------------------------------------------------------------------------------

    def activate(self) -> None:
        """The table takes the keyboard."""
        self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def run_main_action(self) -> None:
        """Run the chosen jobs again."""
        self._run_again()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while another page was shown."""
        super().showEvent(event)
        if self._dirty:
            self._reload()

    # --- layout -----------------------------------------------------------------------------------

    def _build(self) -> None:
        theme = self._services.theme
        self._summary = label("", "muted")
        pause = self._services.actions.action("queue.pause")
        self._pause = button("Pause queue", pause.trigger, icon=theme.icon("pause"))
        head = QHBoxLayout()
        head.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        head.setSpacing(SPACE_S)
        head.addWidget(label("Queue", "title"))
        head.addSpacing(SPACE_S)
        head.addWidget(self._summary, 1)
        self._tools = head

        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Jobs")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(34)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for stretched in (JOB, PROGRESS):
            header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        for column, width in ((STATE, 124), (ADDED, 136), (TOOK, 104)):
            header.resizeSection(column, width)
        self.table.setFont(tabular(self.table.font()))
        self.table.setItemDelegateForColumn(PROGRESS, _ProgressDelegate(theme, self.table))
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._menu)
        self.table.selectionModel().selectionChanged.connect(self._selection_changed)

        self._details = label("", wrap=True, selectable=True)
        self._details.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._error = label("", "bad", wrap=True, selectable=True)
        inner = QWidget()
        inner.setProperty("role", "form")
        texts = QVBoxLayout(inner)
        texts.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        texts.setSpacing(SPACE_M)
        texts.addWidget(self._error)
        texts.addWidget(self._details, 1)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setMinimumWidth(240)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)

        splitter = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        splitter.setHandleWidth(1)
        splitter.addWidget(self.table)
        splitter.addWidget(scroll)
        splitter.setStretchFactor(0, 1)
        splitter.setSizes([900, 300])
        self._stack = QStackedWidget()
        self._stack.addWidget(splitter)
        self._stack.addWidget(
            EmptyState(
                theme,
                "stack",
                "No jobs yet",
                "Whatever you ask the engine to do is listed here, and stays after a restart.",
            )
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(line())
        layout.addWidget(self._stack, 1)

    def _define_actions(self) -> None:
        actions, theme = self._services.actions, self._services.theme
        handlers: dict[str, Callable[[], object]] = {
            "queue.cancel": lambda: self._each(self._services.bridge.cancel),
            "queue.up": lambda: self._move(-1),
            "queue.down": lambda: self._move(1),
            "queue.again": self._run_again,
            "queue.resume": lambda: self._each(self._services.bridge.requeue),
            "queue.discard": lambda: self._each(self._services.bridge.discard),
        }
        buttons: list[QToolButton] = []
        for id, title, key, icon, _states in _ACTIONS:
            action = actions.define(id, title, key, icon, "queue", f"{title} the chosen jobs")
            actions.connect(id, handlers[id])
            item = icon_button(theme.icon(icon), title)
            item.setDefaultAction(action)
            item.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            buttons.append(item)
        actions.connect("job.cancel_all", self.ask_cancel_all)
        for item in buttons:
            self._tools.addWidget(item)
        self._tools.addWidget(line(vertical=True))
        self._tools.addWidget(self._pause)
        self._tools.addWidget(button("Cancel all", self.ask_cancel_all))
        self._selection_changed()

    # --- what is chosen ---------------------------------------------------------------------------

    def selected(self) -> list[JobRecord]:
        """The chosen jobs, in the order shown."""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return [self.model.record(row) for row in rows]

    def select(self, jobs: list[str]) -> None:
        """Choose jobs by id; those not listed are left out."""
        selection = self.table.selectionModel()
        selection.clearSelection()
        flags = selection.SelectionFlag.Select | selection.SelectionFlag.Rows
        for job in jobs:
            row = self.model.row_of(job)
            if row is not None:
                selection.select(self.model.index(row, 0), flags)

    def _selection_changed(self) -> None:
        chosen = self.selected()
        states = {record.state for record in chosen}
        for id, _title, _key, _icon, applies in _ACTIONS:
            enabled = bool(states & set(applies))
            self._services.actions.action(id).setEnabled(enabled)
        first = chosen[0] if chosen else None
        self._details.setText(describe_job(first) if first else "Choose a job to see what it does.")
        self._details.setProperty("role", "" if first else "muted")
        self._details.style().unpolish(self._details)
        self._details.style().polish(self._details)
        error = first.error if first else None
        self._error.setText(f"{error.message}\n\n{error.hint}".strip() if error else "")
        self._error.setVisible(error is not None)

    # --- doing ------------------------------------------------------------------------------------

    def _each(self, command: Callable[[str], object]) -> None:
        for record in self.selected():
            if record.state not in _ENDED:
                command(record.id)

    def _move(self, by: int) -> None:
        """Move the chosen waiting jobs one place; the neighbour that is jumped over must wait too."""
        waiting = [
            self.model.record(row)
            for row in range(self.model.rowCount())
            if self.model.record(row).state is JobState.QUEUED
        ]
        order = [record.id for record in waiting]
        chosen = [r.id for r in self.selected() if r.state is JobState.QUEUED]
        for job in chosen if by < 0 else reversed(chosen):
            place = order.index(job)
            target = place + by
            if not 0 <= target < len(order) or order[target] in chosen:
                continue
            order.insert(target, order.pop(place))
            after = order[target + 1] if target + 1 < len(order) else None
            self._services.bridge.move(job, after)

    def _run_again(self) -> None:
        specs = [record.spec for record in self.selected()]
        if not specs:
            return
        try:
            self._services.bridge.submit_many(specs)
        except EngineError as error:
            self._services.notifications.tell(error)

    def ask_cancel_all(self) -> None:
        """Cancel everything that runs or waits, after asking once."""
        counts = self._services.project.counts()
        total = counts[JobState.QUEUED] + counts[JobState.RUNNING]
        if not total:
            self._services.notifications.post("info", "There is no job to cancel.")
            return
        what = "the running job" if total == 1 and counts[JobState.RUNNING] else f"{total} jobs"
        self._banners.ask(
            "cancel-all",
            "warning",
            f"Cancel {what}? Results that are finished stay.",
            [("Cancel them" if total > 1 else "Cancel it", self._cancel_all), ("Keep", lambda: None)],
        )

    def _cancel_all(self) -> None:
        # The waiting ones first, or each would start as the one before it ends.
        for state in (JobState.QUEUED, JobState.RUNNING):
            for record in self._services.project.jobs([state]):
                self._services.bridge.cancel(record.id)

    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for id, *_ in _ACTIONS:
            action = self._services.actions.action(id)
            if action.isEnabled():
                menu.addAction(action)
        menu.popup(self.table.viewport().mapToGlobal(place))

    # --- keeping up -------------------------------------------------------------------------------

    def _changed(self, _job: str) -> None:
        self._dirty = True
        if self.isVisible() and not self._reload_timer.isActive():
            self._reload_timer.start()

    def _reload(self) -> None:
        self._dirty = False
        chosen = [record.id for record in self.selected()]
        self.model.reload()
        self.select(chosen)
        self._selection_changed()
        self._stack.setCurrentIndex(0 if self.model.rowCount() else 1)
        self._summarise()

    def _summarise(self) -> None:
        counts = self._services.project.counts()
        parts = [
            f"{counts[state]:,} {word}"
            for state, word in (
                (JobState.RUNNING, "running"),
                (JobState.QUEUED, "waiting"),
                (JobState.INTERRUPTED, "interrupted"),
                (JobState.SUCCEEDED, "done"),
                (JobState.FAILED, "failed"),
            )
            if counts[state]
        ]
        if self.model.hidden:
            parts.append(f"the last {self.model.hidden:,} waiting are not listed")
        self._summary.setText(" · ".join(parts))

    def _on_progress(self, job: str, done: float, total: float, stage: str) -> None:
        if self.isVisible():
            self.model.set_progress(job, done / total if total > 0 else 0.0, stage)

    def _show_paused(self, paused: bool) -> None:
        self._pause.setText("Resume queue" if paused else "Pause queue")
        self._pause.setIcon(self._services.theme.icon("play" if paused else "pause"))
