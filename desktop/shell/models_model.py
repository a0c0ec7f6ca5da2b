"""The models of this computer as a table, the built-in one first."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from desktop.shell.model_facts import (
    STATE_LOOKS,
    InstalledModel,
    Memory,
    origin_text,
    size_text,
    state_of,
    used_by,
)
from desktop.theme import Theme

COLUMNS = ("Model", "What it is", "Size", "Licence and origin", "Used by", "State")
MODEL, KIND, SIZE, LICENCE, USED, STATE = range(6)
CONDITIONS = {"words": "knows words", "class": "knows classes", "text": "understands text"}

Index = QModelIndex | QPersistentModelIndex


class ModelsModel(QAbstractTableModel):
    """One row a model, two lines a cell.

    Parameters
    ----------
    theme
        Where the icons of the states come from.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._models: list[InstalledModel] = []
        self._memory: Memory | None = None
        self._checking: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names of the models, in order."""
        return [model.name for model in self._models]

    def set_models(self, models: Sequence[InstalledModel]) -> None:
        """Show other models. Rows that stay are changed in place, so that a selection stays."""
        if [model.name for model in models] == self.names:
            self._models = list(models)
            self._all_changed()
            return
        self.beginResetModel()
        self._models = list(models)
        self.endResetModel()

    def set_memory(self, memory: Memory | None) -> None:
        """Judge sizes by other memory."""
        self._memory = memory
        self._all_changed()

    def set_checking(self, names: frozenset[str]) -> None:
        """Say which models are being verified."""
        self._checking = names
        self._all_changed()

    def model(self, name: str) -> InstalledModel | None:
        """A model by its name."""
        return next((model for model in self._models if model.name == name), None)

    def at(self, row: int) -> InstalledModel:
        """The model in a row."""
        return self._models[row]

    def row_of(self, name: str) -> int | None:
        """Where a model is."""
        return self.names.index(name) if name in self.names else None

    def replace(self, model: InstalledModel) -> None:
        """Show what became of one model."""
        row = self.row_of(model.name)
        if row is not None:
            self._models[row] = model
            self._all_changed()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Installed models."""
        return 0 if parent.isValid() else len(self._models)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Six."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Two lines of text, the state's icon, and everything in the tool tip."""
        model, column = self._models[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return "\n".join(self._lines(model, column))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(filter(None, self._lines(model, column)))
        if role == Qt.ItemDataRole.DecorationRole and column == STATE:
            _, icon, ink = STATE_LOOKS[self._state(model)]
            return self._theme.icon(icon, ink)
        if role == Qt.ItemDataRole.ToolTipRole:
            if column == STATE and model.error is not None:
                return str(model.error)
            return "\n".join(filter(None, self._lines(model, column)))
        return None

    def _state(self, model: InstalledModel) -> str:
        return state_of(model, self._memory, model.name in self._checking)

    def _lines(self, model: InstalledModel, column: int) -> tuple[str, str]:
        info = model.info
        if column == MODEL:
            return model.title, "" if model.title == model.name else model.name
        if column == STATE:
            needs = f"needs {', '.join(info.needs)}" if info and info.needs else ""
            return STATE_LOOKS[self._state(model)][0], needs
        if column == USED:
            first, _, second = used_by(model).partition(", ")
            return first, second
        if column == LICENCE:
            if info is None:
                return origin_text(model), ""
            return info.licence or "Licence not known", origin_text(model)
        if info is None:
            return ("Not recognised", "") if column == KIND else ("", "")
        if column == KIND:
            return info.architecture, CONDITIONS.get(info.conditions, "")
        return size_text(info.size), f"{size_text(info.memory_bytes)} in use"

    def _all_changed(self) -> None:
        if self._models:
            last = self.index(len(self._models) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
