"""The layout that all workspaces share: controls, stage over strip, inspector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from desktop.services import Services

CONTROLS_MIN, CONTROLS_MAX = 280, 360
INSPECTOR_MIN = 240


class PageFrame(QWidget):
    """Controls left, stage in the centre over an optional strip, an inspector right that collapses.

    Sizes are kept in the settings, one set a workspace.

    Parameters
    ----------
    services
        The application's parts.
    workspace
        Whose accent and whose sizes.
    controls
        Scrolls when it is taller than the window; its last rows stay reachable.
    stage, strip, inspector
        The other three regions; ``strip`` and ``inspector`` may be None.
    footer
        Shown below the controls and never scrolled away: the main button's place.
    """

    def __init__(
        self,
        services: Services,
        workspace: str,
        controls: QWidget,
        stage: QWidget,
        strip: QWidget | None = None,
        inspector: QWidget | None = None,
        footer: QWidget | None = None,
    ) -> None:
        super().__init__()
        self.setProperty("workspace", workspace)
        self._settings = services.settings
        self._key = f"frame.{workspace}"
        self._inspector = inspector

        self._centre = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self._centre.addWidget(stage)
        if strip is not None:
            self._centre.addWidget(strip)
            self._centre.setStretchFactor(0, 1)
            self._centre.setStretchFactor(1, 0)

        self._across = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        self._across.addWidget(_left_column(controls, footer))
        self._across.addWidget(self._centre)
        if inspector is not None:
            inspector.setMinimumWidth(max(INSPECTOR_MIN, inspector.minimumWidth()))
            self._across.addWidget(inspector)
        for index in range(self._across.count()):
            self._across.setStretchFactor(index, int(index == 1))
        for splitter in (self._across, self._centre):
            splitter.setHandleWidth(1)
            splitter.splitterMoved.connect(self._remember)

        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._across)
        self._restore()

    @property
    def inspector_visible(self) -> bool:
        """Whether there is an inspector and it is open."""
        return self._inspector is not None and not self._inspector.isHidden()

    def set_inspector_visible(self, visible: bool) -> None:
        """Open or collapse the inspector."""
        if self._inspector is None or visible == self.inspector_visible:
            return
        if not visible:
            self._remember()  # the sizes to come back to
        self._inspector.setVisible(visible)
        state = self._settings.state(self._key)
        self._settings.set_state(self._key, {**state, "inspector": visible})
        if visible:
            self._across.setSizes(state["across"])

    def toggle_inspector(self) -> None:
        """Open the inspector if it is collapsed, else collapse it."""
        self.set_inspector_visible(not self.inspector_visible)

    def _remember(self) -> None:
        # Without the inspector the sizes across say nothing of it: keep the last that did.
        saved = self._settings.state(self._key)
        keep = isinstance(saved, dict) and not self.inspector_visible and self._inspector is not None
        self._settings.set_state(
            self._key,
            {
                "across": saved["across"] if keep else self._across.sizes(),
                "centre": self._centre.sizes(),
                "inspector": self.inspector_visible,
            },
        )

    def _restore(self) -> None:
        saved = self._settings.state(self._key)
        if not isinstance(saved, dict):
            self._across.setSizes([320, 900, 280][: self._across.count()])
            self._centre.setSizes([640, 190][: self._centre.count()])
            return
        for splitter, key in ((self._across, "across"), (self._centre, "centre")):
            sizes = saved.get(key)
            if isinstance(sizes, list) and len(sizes) == splitter.count() and all(sizes):
                splitter.setSizes([int(size) for size in sizes])
        if self._inspector is not None:
            self._inspector.setVisible(bool(saved.get("inspector", True)))


def _left_column(controls: QWidget, footer: QWidget | None) -> QWidget:
    column = QFrame()
    column.setMinimumWidth(CONTROLS_MIN)
    column.setMaximumWidth(CONTROLS_MAX)
    controls.setProperty("role", "form")
    scroll = QScrollArea(widgetResizable=True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(controls)
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addWidget(scroll, 1)
    if footer is not None:
        layout.addWidget(footer)
    return column
