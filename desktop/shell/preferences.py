"""The Settings page: look, engine, project, keys, evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QKeySequence
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

import engine
from desktop.actions import Definition
from desktop.services import Page, Services
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL, SPACE_XS
from desktop.widgets.parts import button, icon_button, label

PREVIEW_RATES = (("20 a second", 20), ("10 a second", 10), ("5 a second", 5), ("2 a second", 2))
CANCEL_LIMITS = (("always", 0), ("1 minute", 60), ("10 minutes", 600), ("1 hour", 3600))
FORM_WIDTH = 720


class PreferencesPage(Page):
    """Every change works at once and is kept; there is nothing to confirm.

    Parameters
    ----------
    services
        The application's parts.
    log_folder
        Where logs and crash evidence lie.
    """

    workspace = "settings"
    title = "Settings"
    icon = "gear-six"

    def __init__(self, services: Services, log_folder: Path) -> None:
        super().__init__()
        self._services, self._log_folder = services, log_folder
        content = QWidget()
        content.setProperty("role", "form")
        content.setMaximumWidth(FORM_WIDTH)
        column = QVBoxLayout(content)
        column.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_XL)
        column.setSpacing(SPACE_S)
        column.addWidget(label("Settings", "title"))
        for heading, part in (
            ("Look", self._look()),
            ("Engine", self._engine()),
            ("Project", self._project()),
            ("Keys", self._keys()),
            ("About", self._about()),
        ):
            column.addSpacing(SPACE_M)
            column.addWidget(label(heading, "heading"))
            column.addWidget(part)
        column.addStretch()
        self._scroll = QScrollArea(widgetResizable=True)
        outer = QWidget()
        outer.setProperty("role", "form")
        row = QHBoxLayout(outer)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(content, 10)
        row.addStretch(1)
        self._scroll.setWidget(outer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._scroll)
        services.bridge.engine_ready.connect(self._list_devices)
        services.settings.changed.connect(self._on_setting)
        services.actions.changed.connect(self._show_keys_of)
        if services.bridge.engine:
            self._list_devices(services.bridge.engine)

    def activate(self) -> None:
        """The first choice takes the keyboard."""
        self._themes.buttons()[0].setFocus(Qt.FocusReason.OtherFocusReason)

    # --- sections ---------------------------------------------------------------------------------

    def _look(self) -> QWidget:
        row = QWidget()
        inner = QHBoxLayout(row)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACE_XS)
        self._themes = QButtonGroup(self)
        for title, mode in (("As the system", "system"), ("Light", "light"), ("Dark", "dark")):
            item = QPushButton(title)
            item.setCheckable(True)
            item.setProperty("mode", mode)
            item.setChecked(self._services.settings.get("theme") == mode)
            item.clicked.connect(lambda _checked=False, m=mode: self._services.settings.set("theme", m))
            self._themes.addButton(item)
            inner.addWidget(item)
        inner.addStretch()
        self._rate = self._choice("preview_hz", PREVIEW_RATES, "Most previews shown")
        return _form(("Theme", row), ("Live preview", self._rate))

    def _engine(self) -> QWidget:
        self._device = self._choice("device", (("Automatic", "auto"),), "Device for new jobs")
        current = self._services.settings.get("device")
        if current != "auto":
            self._device.addItem(str(current), current)
            self._device.setCurrentIndex(1)
        limit = self._choice("confirm_cancel_seconds", CANCEL_LIMITS, "Ask before cancelling")
        return _form(("Device", self._device), ("Ask before cancelling after", limit))

    def _project(self) -> QWidget:
        actions = self._services.actions
        folder = label(str(self._services.project.folder), wrap=True, selectable=True)
        row = QWidget()
        inner = QHBoxLayout(row)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACE_S)
        inner.addWidget(button("Open another…", actions.action("project.open").trigger))
        inner.addWidget(button("Show folder", actions.action("project.reveal").trigger))
        inner.addStretch()
        return _form(("Folder", folder), ("", row))

    def _keys(self) -> QWidget:
        box = QWidget()
        self._grid = QGridLayout(box)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACE_M)
        self._grid.setVerticalSpacing(SPACE_XS)
        self._grid.setColumnStretch(0, 1)
        self._keys_said = label("", "warn", wrap=True)
        self._keys_said.hide()
        self._grid.addWidget(self._keys_said, 0, 0, 1, 3)
        self._editors: dict[str, QKeySequenceEdit] = {}
        for row in self._services.actions.all():
            self._add_key_row(row)
        self._services.actions.defined.connect(self._on_defined)
        return box

    def _about(self) -> QWidget:
        said = label(
            f"Triptych {engine.__version__}. Settings: {self._services.settings.path}",
            "muted",
            wrap=True,
            selectable=True,
        )
        folder = QUrl.fromLocalFile(str(self._log_folder))
        return _form(
            ("Version", said),
            ("", button("Show the logs' folder", lambda: QDesktopServices.openUrl(folder))),
        )

    # --- parts ------------------------------------------------------------------------------------

    def _choice(self, name: str, values: tuple[tuple[str, object], ...], accessible: str) -> QComboBox:
        box = QComboBox()
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        box.setAccessibleName(accessible)
        for title, value in values:
            box.addItem(title, value)
        box.setCurrentIndex(max(0, box.findData(self._services.settings.get(name))))
        box.activated.connect(lambda _index: self._services.settings.set(name, box.currentData()))
        return box

    def _list_devices(self, info: dict[str, Any]) -> None:
        current = self._services.settings.get("device")
        self._device.clear()
        best = info.get("device_name") or info.get("device") or ""
        self._device.addItem(f"Automatic ({best})" if best else "Automatic", "auto")
        for item in info.get("devices", ()):
            self._device.addItem(f"{item['device']}: {item['name']}", item["device"])
        if self._device.findData(current) < 0:
            self._device.addItem(f"{current} (not on this machine)", current)
        self._device.setCurrentIndex(self._device.findData(current))

    def _on_setting(self, name: str) -> None:
        if name == "theme":
            for item in self._themes.buttons():
                item.setChecked(item.property("mode") == self._services.settings.get("theme"))

    def _on_defined(self, id: str) -> None:
        self._add_key_row(next(row for row in self._services.actions.all() if row.id == id))

    def _add_key_row(self, row: Definition) -> None:
        at = self._grid.rowCount()
        where = row.workspace.capitalize() if row.workspace else ""
        title = f"{where}: {row.title}" if where else row.title
        editor = QKeySequenceEdit(QKeySequence(self._services.actions.shortcut(row.id)))
        editor.setMaximumSequenceLength(1)
        editor.setClearButtonEnabled(True)
        editor.setAccessibleName(f"Keys for {title}")
        editor.setFixedWidth(180)
        editor.editingFinished.connect(lambda: self._use_keys(row.id))
        reset = icon_button(
            self._services.theme.icon("arrow-counter-clockwise", "muted"),
            f"Default keys for {title}",
            lambda: self._services.actions.set_shortcut(row.id, row.shortcut),
        )
        name = QLabel(title)
        name.setBuddy(editor)
        self._grid.addWidget(name, at, 0)
        self._grid.addWidget(editor, at, 1)
        self._grid.addWidget(reset, at, 2)
        self._editors[row.id] = editor

    def _use_keys(self, id: str) -> None:
        actions = self._services.actions
        wanted = self._editors[id].keySequence().toString()
        if wanted == QKeySequence(actions.shortcut(id)).toString():
            return
        taken = actions.conflict(id, wanted)
        if taken is not None:
            self._keys_said.setText(f"{wanted} belongs to “{taken.title}” already; change that first.")
            self._keys_said.show()
            self._show_keys_of(id)
            return
        self._keys_said.hide()
        actions.set_shortcut(id, wanted)

    def _show_keys_of(self, id: str) -> None:
        editor = self._editors.get(id)
        if editor is not None:
            editor.setKeySequence(QKeySequence(self._services.actions.shortcut(id)))


def _form(*rows: tuple[str, QWidget]) -> QWidget:
    card = QFrame()
    form = QFormLayout(card)
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(SPACE_L)
    form.setVerticalSpacing(SPACE_S)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
    for title, widget in rows:
        name = label(title, "muted")
        name.setMinimumWidth(180)
        name.setMinimumHeight(widget.sizeHint().height())
        form.addRow(name, widget)
    return card
