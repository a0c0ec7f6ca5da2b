"""A choice of what ships, or a model from a file of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from desktop.widgets.field_editors import QuietComboBox


class ModelChoice(QuietComboBox):
    """Entries by title, then files that were chosen, then the entry that asks for a file.

    Parameters
    ----------
    entries
        What ships: title by value.
    title
        Of the dialog.
    """

    def __init__(self, entries: Mapping[str, str], title: str) -> None:
        super().__init__()
        self._title = title
        self._last = 0
        for value, name in entries.items():
            self.addItem(name, value)
        self.addItem("An ONNX model…", "")
        self.activated.connect(self._chosen)

    @property
    def value(self) -> str:
        """The entry's value, or the path of a file."""
        return str(self.itemData(self._last))

    def use(self, value: str) -> None:
        """Choose an entry, or a file."""
        at = self.findData(value)
        if at < 0:
            at = self.count() - 1
            self.insertItem(at, Path(value).name, value)
            self.setItemData(at, value, Qt.ItemDataRole.ToolTipRole)
        self._last = at
        self.setCurrentIndex(at)

    def _chosen(self, index: int) -> None:
        if self.itemData(index):
            self._last = index
            return
        self.setCurrentIndex(self._last)
        path, _ = QFileDialog.getOpenFileName(
            self, self._title, "", "ONNX models (*.onnx);;All files (*)"
        )
        if path:
            self.use(path)
