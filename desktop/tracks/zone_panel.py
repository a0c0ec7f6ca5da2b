"""The inspector while zones are edited: their list, names, where they lead, files of zones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_M, SPACE_S
from desktop.tracks.lanes import zone_colour
from desktop.tracks.zone_editing import NOTHING, ZoneEditing
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.parts import button, icon_button, label

if TYPE_CHECKING:
    from desktop.theme import Theme

EXIT, IGNORED = "", None
ANYWHERE = "Anywhere"
EARLIER = "Try it before the zone above: where two overlap the first counts"
ANOTHER = "Another corner after the selected one (Ins; or double-click a side)"


class ZonePanel(QWidget):
    """See the module.

    Attributes
    ----------
    import_wanted, export_wanted
        The buttons.
    suggest_wanted
        Zones from tracks, for all cameras or the one that is shown.
    """

    import_wanted = Signal()
    export_wanted = Signal()
    suggest_wanted = Signal(bool)

    def __init__(self, theme: Theme, editing: ZoneEditing) -> None:
        super().__init__()
        self._editing = editing
        self.head = label("", "heading", wrap=True)
        self.list = QListWidget()
        self.list.setAccessibleName("Zones of the camera")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.currentRowChanged.connect(self._row)
        self.outside = label("", "muted", wrap=True)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the zone")
        self.name.editingFinished.connect(lambda: editing.rename(self.name.text()))
        self.to = QuietComboBox()
        self.to.setAccessibleName("Where the zone leads")
        self.to.activated.connect(self._lead)
        self.into = QuietComboBox()
        self.into.setAccessibleName("Zone of the other camera in which they arrive")
        self.into.setToolTip("Needed where roads are one-way, or two cameras lead into one zone.")
        self.into.activated.connect(self._lead_into)
        form = QFormLayout()
        form.setSpacing(SPACE_S)
        form.addRow("Name", self.name)
        form.addRow("Leads to", self.to)
        form.addRow("Arrives in", self.into)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        for icon, name, do in (
            ("caret-up", EARLIER, lambda: editing.reorder(-1)),
            ("caret-down", "Try it after the zone below", lambda: editing.reorder(1)),
            ("plus", ANOTHER, editing.split_side),
            ("trash", "Delete the selected corner, or else the zone (Del)", editing.delete),
        ):  # fmt: skip
            row.addWidget(icon_button(theme.icon(icon), name, do))
        row.addStretch(1)
        self.copy = button("Copy to…", lambda: None, "", theme.icon("copy"))
        self.copy.setToolTip("Give another camera these zones, instead of its own")
        self.menu = QMenu(self.copy)
        self.copy.setMenu(self.menu)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.suggest = button("Suggest zones", lambda: None, "", theme.icon("magic-wand"))
        self.suggest.setToolTip("Around places where many tracklets begin and end")
        choices = QMenu(self.suggest)
        choices.addAction("For this camera").triggered.connect(lambda: self.suggest_wanted.emit(False))
        choices.addAction("For all cameras").triggered.connect(lambda: self.suggest_wanted.emit(True))
        self.suggest.setMenu(choices)
        self.load = button("Import…", self.import_wanted.emit, "", theme.icon("download-simple"))
        self.load.setToolTip("JSON, or a label image of the AI City Challenge (PNG)")
        self.save = button("Export…", self.export_wanted.emit, "", theme.icon("export"))
        files = QHBoxLayout()
        files.setSpacing(SPACE_S)
        files.addWidget(self.load, 1)
        files.addWidget(self.save, 1)
        self.keys = label(
            "Shift+N draws a zone: click its corners, Return or a double click closes it, Esc stops. "
            "Drag corners and zones, or move them with the arrow keys; Ctrl and an arrow go from "
            "corner to corner.",
            "muted",
            wrap=True,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.head)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.outside)
        layout.addLayout(row)
        layout.addLayout(form)
        layout.addWidget(self.suggest)
        layout.addWidget(self.copy)
        layout.addLayout(files)
        layout.addWidget(self.keys)
        self._own = (self.name, self.to, self.into)
        self._buttons = [row.itemAt(at).widget() for at in range(4)]
        self.counts: Sequence[tuple[int, int]] | None = None
        self.refresh()

    def show_counts(self, counts: Sequence[tuple[int, int]] | None) -> None:
        """Tracklets that begin and end by zone, the last for none; ``None``: nobody knows."""
        self.counts = counts
        self.refresh()

    def refresh(self) -> None:
        """What the zones are now."""
        editing, camera = self._editing, self._editing.shown_camera
        self.head.setText("" if camera is None else f"Zones of {camera.name}")
        zones = () if camera is None else camera.zones
        self.list.blockSignals(True)
        while self.list.count() > len(zones):
            self.list.takeItem(self.list.count() - 1)
        for number, zone in enumerate(zones):
            if number >= self.list.count():
                self.list.addItem(QListWidgetItem())
            to = "ignored" if zone.ignored else f"to {zone.leads_to}" if zone.leads_to else "an exit"
            into = f", {zone.leads_into}" if zone.leads_into else ""
            text = f"{number + 1}  {zone.name} · {to}{into}"
            if self.counts is not None and number < len(self.counts) - 1:
                text += "\n{} come in, {} go out".format(*self.counts[number])
            spot = QPixmap(10, 10)
            spot.fill(zone_colour(number))
            item = self.list.item(number)
            if item.text() != text:
                item.setText(text)
            item.setIcon(spot)
        self.list.setCurrentRow(editing.zone)
        self.list.blockSignals(False)
        self.outside.setText(self._outside())
        self._fill_form()

    def _outside(self) -> str:
        camera = self._editing.shown_camera
        if camera is None or self.counts is None:
            return "Track the scene to see how many come in and go out by each zone."
        come, go = self.counts[-1]
        if not camera.zones:
            return f"{come:,} tracklets; without zones nobody knows where they come from and go to."
        return f"Outside of all zones {come} begin and {go} end: nobody knows where from, where to."

    def _fill_form(self) -> None:
        editing, zone = self._editing, self._editing.selected
        for widget in (*self._own, *self._buttons):
            widget.setEnabled(zone is not None)
        if not self.name.hasFocus() or zone is None or self.name.text() != zone.name:
            self.name.setText("" if zone is None else zone.name)
        self.to.clear()
        self.to.addItem("Nowhere: an exit", EXIT)
        for at, camera in enumerate(editing.cameras):
            if at != editing.camera:
                self.to.addItem(camera.name, camera.name)
        self.to.addItem("Ignored: boxes in it say nothing", IGNORED)
        chosen = EXIT if zone is None else IGNORED if zone.ignored else zone.leads_to
        at = next((n for n in range(self.to.count()) if self.to.itemData(n) == chosen), -1)
        if at < 0:
            self.to.insertItem(1, f"{chosen} (no such camera)", chosen)
            at = 1
        self.to.setCurrentIndex(at)
        self.into.clear()
        self.into.addItem(ANYWHERE, "")
        for camera in editing.cameras:
            if zone is not None and camera.name == zone.leads_to:
                for other in camera.zones:
                    if not other.ignored:
                        self.into.addItem(other.name, other.name)
                self.into.setCurrentIndex(max(0, self.into.findData(zone.leads_into)))
        self.into.setEnabled(zone is not None and bool(zone.leads_to))
        self.copy.setEnabled(bool(editing.cameras) and len(editing.cameras) > 1)
        self.save.setEnabled(any(camera.zones for camera in editing.cameras))
        self.load.setEnabled(bool(editing.cameras))
        self.suggest.setEnabled(self.counts is not None)

    def _row(self, row: int) -> None:
        self._editing.select(row if row >= 0 else NOTHING)

    def _lead(self, at: int) -> None:
        chosen = self.to.itemData(at)
        if chosen is IGNORED:
            self._editing.ignore()
        else:
            self._editing.lead(chosen)

    def _lead_into(self, at: int) -> None:
        zone = self._editing.selected
        if zone is not None:
            self._editing.lead(zone.leads_to, self.into.itemData(at))

    def _fill_menu(self) -> None:
        self.menu.clear()
        for at, camera in enumerate(self._editing.cameras):
            if at != self._editing.camera:
                has = f" (instead of its {len(camera.zones)})" if camera.zones else ""
                action = self.menu.addAction(f"{camera.name}{has}")
                action.triggered.connect(lambda _checked=False, at=at: self._editing.copy_to(at))
