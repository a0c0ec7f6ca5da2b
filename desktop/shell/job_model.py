"""The project's jobs as a table: what is going on first, then what is over, newest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from desktop.shell.status_bar import duration
from desktop.theme import Theme
from engine.job import JobSpec, JobState

if TYPE_CHECKING:
    from engine.project import JobRecord, Project

ACTIVE_SHOWN = 1000
PAGE = 200

COLUMNS = ("State", "Job", "Progress", "Added", "Took")
STATE, JOB, PROGRESS, ADDED, TOOK = range(5)
FractionRole = Qt.ItemDataRole.UserRole + 1

ACTIVE = (JobState.INTERRUPTED, JobState.RUNNING, JobState.CANCELLING, JobState.QUEUED)
OVER = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

# Colour is never the only signal: every state has its own icon and its own word.
STATE_LOOKS = {
    JobState.QUEUED: ("Waiting", "hourglass", "muted"),
    JobState.RUNNING: ("Running", "play-circle", "images"),
    JobState.CANCELLING: ("Cancelling", "prohibit", "warn"),
    JobState.CANCELLED: ("Cancelled", "prohibit", "muted"),
    JobState.SUCCEEDED: ("Done", "check-circle", "good"),
    JobState.FAILED: ("Failed", "warning-circle", "bad"),
    JobState.INTERRUPTED: ("Interrupted", "pause-circle", "warn"),
}

Index = QModelIndex | QPersistentModelIndex


def job_title(spec: JobSpec) -> str:
    """What a job does, in a few words: its kind, and what it is about."""
    what = spec.kind.rpartition(".")[2].replace("_", " ").capitalize()
    # What is made of a picture is about what the picture is about.
    params = spec.params.get("picture") or spec.params
    names = (str(params.get(key) or "").strip() for key in ("prompt", "class_name"))
    about = next(filter(None, names), "")
    count = spec.params.get("count", 1)
    title = f"{what}: {about}" if about else what
    return f"{title} (×{count})" if isinstance(count, int) and count > 1 else title


def describe_job(record: JobRecord) -> str:
    """Everything the user may want to know of a job, as text."""
    spec = record.spec
    lines = [job_title(spec), "", f"Kind: {spec.kind}", f"Seed: {spec.seed}", f"Device: {spec.device}"]
    lines += [f"{name.replace('_', ' ').capitalize()}: {value}" for name, value in spec.params.items()]
    if record.metrics:
        lines.append("")
        lines += [f"{name.replace('_', ' ').capitalize()}: {v}" for name, v in record.metrics.items()]
    return "\n".join(lines)


class JobModel(QAbstractTableModel):
    """Rows are read from the project in pages; :meth:`reload` brings them up to date.

    Parameters
    ----------
    project
        Whose jobs.
    theme
        Where the icons of the states come from.
    """

    def __init__(self, project: Project, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project, self._theme = project, theme
        self._records: list[JobRecord] = []
        self._active = 0
        self._over_shown = PAGE
        self._over_total = 0
        self._progress: dict[str, tuple[float, str]] = {}
        self.hidden = 0
        """Waiting jobs that are not listed because there are too many."""

    def reload(self) -> None:
        """Read the jobs again. Rows that stay are changed in place, so that a selection stays."""
        counts = self._project.counts()
        active = self._project.jobs(ACTIVE, limit=ACTIVE_SHOWN)
        active.sort(key=lambda record: ACTIVE.index(record.state))
        self.hidden = sum(counts[state] for state in ACTIVE) - len(active)
        self._over_total = sum(counts[state] for state in OVER)
        over = self._over(max(0, self._over_total - self._over_shown), self._over_shown)
        records = active + over
        same = [r.id for r in records] == [r.id for r in self._records]
        self._active = len(active)
        if same:
            self._records = records
            if records:
                last = self.index(len(records) - 1, len(COLUMNS) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._records = records
        self.endResetModel()

    def record(self, row: int) -> JobRecord:
        """The job in a row."""
        return self._records[row]

    def row_of(self, job: str) -> int | None:
        """Where a job is."""
        return next((row for row, record in enumerate(self._records) if record.id == job), None)

    def set_progress(self, job: str, share: float, stage: str) -> None:
        """A running job went on."""
        self._progress = {job: (share, stage)}
        row = self.row_of(job)
        if row is not None:
            self.dataChanged.emit(self.index(row, PROGRESS), self.index(row, TOOK))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Jobs listed so far."""
        return 0 if parent.isValid() else len(self._records)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Five."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Text, icon, tool tip, and the share done for the bar."""
        record, column = self._records[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(record, column)
        if role == Qt.ItemDataRole.DecorationRole and column == STATE:
            _, icon, ink = STATE_LOOKS[record.state]
            return self._theme.icon(icon, ink)
        if role == Qt.ItemDataRole.ToolTipRole:
            if record.error is not None:
                return str(record.error)
            return self._text(record, column)
        if role == FractionRole and record.state in (JobState.RUNNING, JobState.CANCELLING):
            return self._progress.get(record.id, (0.0, ""))[0]
        return None

    def canFetchMore(self, parent: Index) -> bool:
        """Whether older jobs are not listed yet."""
        return not parent.isValid() and self._over_shown < self._over_total

    def fetchMore(self, parent: Index) -> None:
        """List the next 200 older jobs."""
        shown = len(self._records) - self._active
        start = max(0, self._over_total - shown - PAGE)
        older = self._over(start, self._over_total - shown - start)
        self._over_shown = shown + PAGE
        if older:
            first = len(self._records)
            self.beginInsertRows(QModelIndex(), first, first + len(older) - 1)
            self._records += older
            self.endInsertRows()

    def _over(self, start: int, limit: int) -> list[JobRecord]:
        return self._project.jobs(OVER, limit=limit, offset=start)[::-1] if limit else []

    def _text(self, record: JobRecord, column: int) -> str:
        if column == STATE:
            return STATE_LOOKS[record.state][0]
        if column == JOB:
            return job_title(record.spec)
        if column == PROGRESS:
            if record.error is not None:
                return record.error.message
            share, stage = self._progress.get(record.id, (0.0, ""))
            return stage if record.state in (JobState.RUNNING, JobState.CANCELLING) and share else ""
        if column == ADDED:
            same_day = time.localtime(record.created)[:3] == time.localtime()[:3]
            form = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M"
            return time.strftime(form, time.localtime(record.created))
        if record.started is None:
            return ""
        return duration((record.ended or time.time()) - record.started)
