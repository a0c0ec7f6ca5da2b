"""The editor of ways: cameras and the ways between them, how long these take, clocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.graph_editing import GraphEditing
from desktop.tracks.graph_panel import GraphPanel
from desktop.tracks.graph_view import GraphView
from desktop.tracks.links import Link
from desktop.tracks.model import TracksModel
from desktop.whole_file import write_whole
from desktop.widgets.elided_label import ElidedLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from desktop.background import Background
    from engine.errors import EngineError

SURE_MARGIN = 0.15
"""By how much a link looks better than the next one to be sure, as the association has it."""


class GraphEditor(QWidget):
    """See the module; parameters as of :class:`~desktop.tracks.zone_editor.ZoneEditor`."""

    def __init__(
        self,
        theme: Theme,
        model: TracksModel,
        background: Background,
        tell: Callable[[EngineError], object],
        say: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._background, self._tell, self._say = background, tell, say
        self.editing = GraphEditing(model, background, tell, self)
        self.view = GraphView(theme, self.editing)
        self.panel = GraphPanel(theme, self.editing)
        self.panel.export_requested.connect(self._ask_export)
        self.both = QCheckBox("Ways back as well")
        self.both.setToolTip(
            "A way that is drawn leads back too, where its other end leads nowhere yet"
        )
        self.both.setChecked(True)
        self.both.toggled.connect(self._set_both)
        self.message = ElidedLabel("muted")
        bar = QHBoxLayout()
        bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        bar.setSpacing(SPACE_M)
        bar.addWidget(self.both)
        bar.addWidget(self.message, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        self.editing.known_changed.connect(self._look)

    @property
    def busy(self) -> bool:
        """Whether times are being looked for."""
        return self.editing.busy

    def say(self, text: str) -> None:
        """One line: what was done."""
        self.message.setText(text)

    def activate(self) -> None:
        """It is in sight: take the keys, look how long ways take."""
        self.view.setFocus()
        self.editing.look()

    def use_links(self, links: Sequence[Link]) -> None:
        """Links of the association; those that it was sure of count like confirmed ones."""
        self.editing.use_links(
            [
                (int(link["tracklets"][0]), int(link["tracklets"][1]))
                for link in links
                if link["margin"] is None or link["margin"] > SURE_MARGIN
            ]
        )

    def _set_both(self, on: bool) -> None:
        self.editing.both = on

    def _look(self) -> None:
        if self.isVisible():
            self.editing.look()

    def _ask_export(self, suffix: str) -> None:
        from desktop.widgets.plot_export import FORMATS

        title, name = "Save the travel times", f"travel-times.{suffix}"
        chosen, _ = QFileDialog.getSaveFileName(self, title, name, FORMATS[suffix])
        if chosen:
            self.export_to(suffix, Path(chosen))

    def export_to(self, suffix: str, path: Path) -> None:
        """Save the histogram that is shown."""
        if self.panel.plot is None:
            return
        data = self.panel.plot.exported(suffix)
        self._background.run(
            partial(write_whole, path, data), lambda _: self._say(f"Saved {path.name}."), self._tell
        )
