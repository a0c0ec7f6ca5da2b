"""The results of a project as a list model: ids in memory, records and thumbnails on demand."""

from __future__ import annotations

import re
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import (
    QAbstractListModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTemporaryDir,
    QTimer,
    QUrl,
)

from desktop.widgets.picture_cache import PictureCache
from engine.errors import EngineError
from engine.job import ArtifactRef
from engine.project import ResultFilter, ResultRecord

RECORDS_KEPT = 4096
SMALL_CHANGE = 256
SYNC_DELAY_MS = 40
THUMBNAIL_EDGE = 192

IdRole = Qt.ItemDataRole.UserRole
RecordRole = Qt.ItemDataRole.UserRole + 1

Index = QModelIndex | QPersistentModelIndex


class Store(Protocol):
    """The part of the artifact store that is used here."""

    def path(self, artifact: ArtifactRef) -> Path:
        """Where an artifact lies."""
        ...


class Results(Protocol):
    """The part of :class:`engine.project.Project` that is used here."""

    @property
    def store(self) -> Store:
        """Where the files are."""
        ...

    def result_ids(self, filter: ResultFilter) -> list[int]:
        """Ids, newest first."""
        ...

    def result(self, result: int) -> ResultRecord:
        """One result."""
        ...


def export_name(record: ResultRecord) -> str:
    """A readable file name for a result: prompt, seed and id."""
    words = re.sub(r"[^\w]+", "-", record.prompt.lower()).strip("-")[:60].strip("-")
    suffix = "." + record.artifact.media_type.rpartition("/")[2]
    return f"{words or 'picture'}-seed{record.seed}-{record.id}{suffix}"


class GalleryModel(QAbstractListModel):
    """Results, newest first."""

    def __init__(self, results: Results, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._results = results
        self._filter = ResultFilter()
        self._ids: list[int] = []
        self._rows: dict[int, int] = {}
        self._records: OrderedDict[int, ResultRecord] = OrderedDict()
        self._drag_folder: QTemporaryDir | None = None
        self.thumbnails = PictureCache(THUMBNAIL_EDGE, parent=self)
        self.thumbnails.ready.connect(self._thumbnail_ready)
        self._sync_timer = QTimer(self, singleShot=True, interval=SYNC_DELAY_MS)
        self._sync_timer.timeout.connect(self.sync)

    # --- content ----------------------------------------------------------------------------------

    @property
    def ids(self) -> Sequence[int]:
        """Ids by row."""
        return self._ids

    @property
    def filter(self) -> ResultFilter:
        """What is shown."""
        return self._filter

    def set_filter(self, wanted: ResultFilter) -> None:
        """Show other results."""
        self._filter = wanted
        self.sync()

    def sync_soon(self) -> None:
        """Look again, once for many calls in a row."""
        if not self._sync_timer.isActive():
            self._sync_timer.start()

    def forget(self, ids: Iterable[int]) -> None:
        """Results changed (rated, removed, restored): read them again."""
        for result in ids:
            self._records.pop(result, None)
        if self._ids:
            # Costs a repaint of what is on screen, however many results were changed.
            self.dataChanged.emit(self.index(0), self.index(len(self._ids) - 1))
        self.sync()

    def sync(self) -> None:
        """Bring the rows in line with the project; few changes keep selection and scroll position."""
        fresh = self._results.result_ids(self._filter)
        if fresh == self._ids:
            return
        kept = set(fresh)
        before = set(self._ids)
        gone = [row for row, result in enumerate(self._ids) if result not in kept]
        new = [row for row, result in enumerate(fresh) if result not in before]
        if len(gone) + len(new) > SMALL_CHANGE:
            self.beginResetModel()
            self._ids = fresh
            self._rows.clear()
            self.endResetModel()
            return
        for row in reversed(gone):
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._ids[row]
            self._rows.clear()
            self.endRemoveRows()
        for row in new:
            self.beginInsertRows(QModelIndex(), row, row)
            self._ids.insert(row, fresh[row])
            self._rows.clear()
            self.endInsertRows()

    def row_of(self, result: int) -> int:
        """Row of an id; -1 when it is not shown."""
        if not self._rows and self._ids:
            self._rows = {value: row for row, value in enumerate(self._ids)}
        return self._rows.get(result, -1)

    def record(self, result: int) -> ResultRecord:
        """One result, from memory where possible."""
        found = self._records.get(result)
        if found is None:
            found = self._records[result] = self._results.result(result)
            if len(self._records) > RECORDS_KEPT:
                self._records.popitem(last=False)
        return found

    def of_job(self, job: str) -> list[int]:
        """Ids of a job's results, oldest first, whether the filter shows them or not."""
        return self._results.result_ids(ResultFilter(job=job))[::-1]

    def path(self, result: int) -> Path:
        """Where a result's file is."""
        return self._results.store.path(self.record(result).artifact)

    # --- Qt model ---------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        result = self._ids[index.row()]
        if role == IdRole:
            return result
        if role == RecordRole:
            return self.record(result)
        if role == Qt.ItemDataRole.DisplayRole:
            return self.record(result).prompt
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(result)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._spoken(self.record(result))
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        base = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return base | Qt.ItemFlag.ItemIsDragEnabled if index.isValid() else Qt.ItemFlag.NoItemFlags

    def _tip(self, result: int) -> str:
        record = self.record(result)
        if self.thumbnails.is_broken(record.artifact.sha256):
            return "The file of this result is missing or damaged; Run again makes it anew."
        return f"{record.prompt or 'No prompt'}\nSeed {record.seed} · {record.model}"

    @staticmethod
    def _spoken(record: ResultRecord) -> str:
        rating = {1: ", liked", -1: ", disliked"}.get(record.liked, "")
        star = ", starred" if record.starred else ""
        return f"{record.prompt or 'no prompt'}, seed {record.seed}{star}{rating}"

    def _thumbnail_ready(self, key: str) -> None:
        # Only results whose records were read can be on screen.
        for result, record in list(self._records.items()):
            if record.artifact.sha256 == key and (row := self.row_of(result)) >= 0:
                index = self.index(row)
                self.dataChanged.emit(index, index, [Qt.ItemDataRole.DecorationRole])

    # --- dragging out -----------------------------------------------------------------------------

    def supportedDragActions(self) -> Qt.DropAction:
        return Qt.DropAction.CopyAction

    def mimeTypes(self) -> list[str]:
        return ["text/uri-list"]

    def mimeData(self, indexes: Iterable[QModelIndex]) -> QMimeData:
        """Copies with readable names: another program never gets the store's own files."""
        self._drag_folder = QTemporaryDir()
        folder = Path(self._drag_folder.path())
        urls = []
        for result in (self._ids[index.row()] for index in indexes):
            target = folder / export_name(self.record(result))
            try:
                shutil.copyfile(self.path(result), target)
            except (OSError, EngineError):
                continue
            urls.append(QUrl.fromLocalFile(str(target)))
        data = QMimeData()
        data.setUrls(urls)
        data.setData("application/x-triptych-results", QByteArray(b"1"))
        return data
