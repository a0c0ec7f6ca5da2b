"""Links between cameras, the unsure ones first: look, accept, reject."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.parts import button, label
from engine.errors import EngineError, bad_file
from engine.tracks.scene import ResultInfo

if TYPE_CHECKING:
    from engine.project import Project

Link = Mapping[str, Any]


def read_links(project: Project, result: ResultInfo) -> list[Link]:
    """The links that ``tracks.associate`` made for a result, unsure ones first; none of other results.

    Raises
    ------
    EngineError
        ``bad_file`` when their file is damaged.
    """
    return sorted(
        _read(project, result, "links"), key=lambda link: (not link["unsure"], link["leaves"])
    )


def read_left_out(project: Project, result: ResultInfo) -> list[Link]:
    """Tracklets that took no part in making the links, and why; by time."""
    return sorted(_read(project, result, "left_out"), key=lambda one: one["begins"])


def _read(project: Project, result: ResultInfo, what: str) -> list[Link]:
    job = result.about.get("job")
    if "associated" not in result.about or not isinstance(job, str):
        return []
    try:
        path: Path = project.store.path(project.result_of(job, "links").artifact)
    except EngineError:
        return []  # made on the command line, or removed: there is nothing to review
    try:
        found: list[Link] = json.loads(path.read_text()).get(what, [])
        return [{**one, "unsure": one.get("unsure", [])} for one in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad_file(
            "The links between the cameras cannot be read; the tracks are not affected.",
            "Link across cameras again.",
            str(error),
        ) from error


def words(link: Link) -> str:
    """One line, and why it is unsure."""
    later = float(link["arrives"]) - float(link["leaves"])
    text = f"{link['from']} → {link['to']}, {later:.1f} s later, looks {link['similarity']:.2f}"
    return "\n".join([text, *(f"Unsure: {why}" for why in link["unsure"])])


class LinksPanel(QWidget):
    """See the module.

    Attributes
    ----------
    chosen
        ``(first tracklet, second tracklet, seconds)``: a link, and when it is left.
    judged
        ``(first, second, right)``.
    shown
        ``(tracklets, seconds)`` that were left out, and when they begin.
    """

    chosen = Signal(int, int, float)
    judged = Signal(int, int, bool)
    shown = Signal(object, float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.text = label("", "muted", wrap=True)
        self.list = QListWidget()
        self.list.setAccessibleName("Links between cameras")
        self.list.setWordWrap(True)
        self.list.currentItemChanged.connect(self._chosen)
        self.right = button("Right", lambda: self.judge(True), "", theme.icon("check"))
        self.wrong = button("Wrong", lambda: self.judge(False), "", theme.icon("x"))
        self.right.setToolTip("They are the same object (Shift+Return)")
        self.wrong.setToolTip("They are two (Shift+X)")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.right)
        row.addWidget(self.wrong)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.text)
        layout.addWidget(self.list, 1)
        layout.addLayout(row)
        self.show_links([])

    def show_links(self, links: Sequence[Link]) -> None:
        """Other links."""
        self.list.blockSignals(True)
        self.list.clear()
        for link in links:
            item = QListWidgetItem(words(link))
            item.setData(Qt.ItemDataRole.UserRole, link)
            self.list.addItem(item)
        self.list.blockSignals(False)
        unsure = sum(bool(link["unsure"]) for link in links)
        self.text.setText(
            f"{len(links):,} links, {unsure:,} of them unsure{': they come first' if unsure else ''}."
            if links
            else "Link across cameras finds the same objects elsewhere; its links are listed here."
        )
        for item in (self.right, self.wrong):
            item.setEnabled(bool(links))

    def show_left_out(self, tracklets: Sequence[Link]) -> None:
        """Those that took no part, below the links that are shown."""
        for one in tracklets:
            names = ", ".join(map(str, one["tracklets"]))
            item = QListWidgetItem(f"Left out: tracklet {names} of {one['camera']}\n{one['why']}")
            item.setData(Qt.ItemDataRole.UserRole, one)
            self.list.addItem(item)
        if tracklets:
            many = f"{len(tracklets):,} objects" if len(tracklets) > 1 else "one object"
            self.text.setText(
                f"{self.text.text()} Left out: {many} that no other camera can have seen; below."
            )

    def judge(self, right: bool) -> None:
        """Say that the selected link is right or wrong."""
        item = self.list.currentItem()
        link = None if item is None else item.data(Qt.ItemDataRole.UserRole)
        if link is not None and "leaves" in link:
            self.judged.emit(*link["tracklets"], right)

    def mark(self, right: bool) -> None:
        """That was recorded: go on to the next link."""
        item = self.list.currentItem()
        item.setText(f"{'✓' if right else '✗'} {words(item.data(Qt.ItemDataRole.UserRole))}")
        self.list.setCurrentRow(min(self.list.currentRow() + 1, self.list.count() - 1))

    def _chosen(self, item: QListWidgetItem | None, _before: QListWidgetItem | None) -> None:
        if item is not None:
            link = item.data(Qt.ItemDataRole.UserRole)
            if "leaves" in link:
                self.chosen.emit(*link["tracklets"], float(link["leaves"]))
            else:
                self.shown.emit(link["tracklets"], float(link["begins"]))
