"""The inspector's tab about sampling: how a picture came out of noise, and what can be made of it."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop.background import Background
from desktop.images import files
from desktop.images.parameters_panel import ActionButton
from desktop.images.replay_bar import ReplayBar
from desktop.images.rounds import Rounds
from desktop.images.route_view import RouteView
from desktop.images.run_figures import RunFigures
from desktop.images.vary_form import VaryForm
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme, tabular
from desktop.widgets.parts import icon_button, label, line
from engine.errors import EngineError

if TYPE_CHECKING:
    from desktop.widgets.residual_map import ResidualMap

MAP_HEIGHT = 300
READ_OUT = "Point at the map, or use the arrow keys, to read it."


class SamplingPanel(QWidget):
    """Shows what it is told; :class:`desktop.images.sampling_tab.SamplingTab` decides.

    Parameters
    ----------
    theme
        Colours.
    background
        Where the plotting library is imported, when a map is shown first.
    compare, sample_parallel, solve_rest, compute_all
        The actions behind the buttons.

    Signals
    -------
    shown
        The tab came to sight: what it shows may be old.
    place_chosen(int)
        Another of the pictures on the stage is meant.
    keep_changed(bool)
        Whether further runs keep their trajectories.
    saved(str), problem(EngineError)
        The map was saved under this name, or why it was not.
    """

    shown = Signal()
    place_chosen = Signal(int)
    keep_changed = Signal(bool)
    saved = Signal(str)
    problem = Signal(object)

    def __init__(
        self,
        theme: Theme,
        background: Background,
        compare: QAction,
        sample_parallel: QAction,
        solve_rest: QAction,
        compute_all: QAction,
    ) -> None:
        super().__init__()
        self._theme, self._background = theme, background
        self._place = (0, 0)
        self._rounds: Rounds | None = None
        self._asked_for_map = False
        self.map: ResidualMap | None = None
        self.message = label("", "muted", wrap=True)
        self.figures = RunFigures()
        self.replay = ReplayBar(theme)
        self.vary = VaryForm()
        self.compare = ActionButton(compare)
        self.compare_note = label("", "muted", wrap=True)
        self.parallel = ActionButton(sample_parallel)
        self.solve_rest = ActionButton(solve_rest)
        self.routes = RouteView(theme, ActionButton(compute_all))
        self.routes.hide()
        self._make_chooser()
        self._make_map_section()
        self._make_trajectory_section()
        self._vary_section = _section("Vary from a step", self.vary)
        self._layout_sections()
        self._order_tabs()

    def _make_chooser(self) -> None:
        theme = self._theme
        self.chooser = QWidget()
        self.place = label("", "heading")
        self._back = icon_button(theme.icon("caret-left"), "Picture before", lambda: self._step(-1))
        self._on = icon_button(theme.icon("caret-right"), "Next picture", lambda: self._step(1))
        row = QHBoxLayout(self.chooser)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.place, 1)
        row.addWidget(self._back)
        row.addWidget(self._on)

    def _make_map_section(self) -> None:
        self.read_out = label(READ_OUT, "muted", wrap=True)
        self.read_out.setFont(tabular(self.read_out.font()))
        self._map_place = QVBoxLayout()
        self._map_wait = label("The map is being prepared…", "muted", wrap=True)
        self._map_wait.setFixedHeight(MAP_HEIGHT)
        self._map_wait.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._map_place.addWidget(self._map_wait)
        self._map_section = QWidget()
        layout = QVBoxLayout(self._map_section)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addLayout(self._map_place)
        layout.addWidget(self.read_out)

    def _make_trajectory_section(self) -> None:
        self.trajectory = label("", "muted", wrap=True)
        self.keep = QCheckBox("Keep those of new runs")
        self.keep.setToolTip("New parallel runs store all their steps, to be varied at once")
        self.keep.toggled.connect(self.keep_changed)
        self._trajectory_section = _section("Trajectory", self.trajectory, self.keep)

    def _layout_sections(self) -> None:
        content = QWidget()
        content.setProperty("role", "form")
        column = QVBoxLayout(content)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_L)
        column.setSpacing(SPACE_M)
        for widget in (
            self.chooser,
            self.message,
            self.figures,
            self.solve_rest,
            self._map_section,
            self.replay,
            self.compare,
            self.compare_note,
            self.parallel,
            self.routes,
            self._vary_section,
            self._trajectory_section,
        ):
            column.addWidget(widget)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self._scroll = scroll

    def _order_tabs(self) -> None:
        """The Tab key goes down the panel; by itself it follows the order things were made in."""
        replay, vary = self.replay, self.vary
        order = (
            *(self._back, self._on, self.solve_rest, replay.play_button, replay.slider),
            *(self.compare, self.parallel, self.routes.slider, self.routes.block.box),
            self.routes.complete,
            *(vary.prompt, vary.negative, vary.guidance.box, vary.slider, vary.run, self.keep),
        )
        for widget, following in pairwise(order):
            QWidget.setTabOrder(widget, following)

    # --- what is shown ----------------------------------------------------------------------------

    def show_parts(
        self,
        message: str = "",
        *,
        figures: bool = False,
        replay: bool = False,
        compare: bool = False,
        parallel: bool = False,
        rest: bool = False,
        vary: bool = False,
    ) -> None:
        """Show these sections and no others; the map follows :meth:`show_rounds`."""
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self.figures.setVisible(figures)
        self.replay.setVisible(replay)
        self.compare.setVisible(compare)
        self.compare_note.setVisible(compare and bool(self.compare_note.text()))
        self.parallel.setVisible(parallel)
        self.solve_rest.setVisible(rest)
        self._vary_section.setVisible(vary)
        self._trajectory_section.setVisible(vary)

    def show_place(self, place: int, count: int) -> None:
        """Which of the pictures on the stage this is about; -1 for none of them."""
        self._place = (place, count)
        self.chooser.setVisible(count > 1)
        text = f"Picture {place + 1} of {count}" if place >= 0 else f"{count} pictures"
        self.place.setText(text)

    def show_rounds(self, rounds: Rounds | None) -> None:
        """Show the map of a run, or none."""
        self._rounds = rounds
        self._map_section.setVisible(rounds is not None)
        if rounds is None:
            return
        if self.map is not None:
            self.map.set_rounds(rounds.residuals, rounds.finished, rounds.tolerance, rounds.first)
        elif self.isVisible():
            self._load_map()

    def show_compare_note(self, text: str) -> None:
        """Say how far the comparison is."""
        self.compare_note.setText(text)
        self.compare_note.setVisible(bool(text) and not self.compare.isHidden())

    def show_trajectory(self, text: str, *, keep: bool) -> None:
        """Say what is kept of this picture's way, and of further ones."""
        self.trajectory.setText(text)
        self.keep.blockSignals(True)
        self.keep.setChecked(keep)
        self.keep.blockSignals(False)

    def focus_vary(self) -> None:
        """Put the keyboard where a variation is described."""
        self._scroll.ensureWidgetVisible(self.vary)
        self.vary.prompt.setFocus()
        self.vary.prompt.selectAll()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()

    def _step(self, by: int) -> None:
        place, count = self._place
        self.place_chosen.emit((place + by) % count if place >= 0 else 0)

    # --- the map ----------------------------------------------------------------------------------

    def _load_map(self) -> None:
        if not self._asked_for_map:
            self._asked_for_map = True
            # Half a second of importing; the window goes on meanwhile.
            self._background.run(
                lambda: importlib.import_module("pyqtgraph"), self._make_map, self._no_map
            )

    def _make_map(self, _library: object) -> None:
        from desktop.widgets.residual_map import ResidualMap

        self._map_wait.hide()
        self.map = ResidualMap(self._theme)
        self.map.setFixedHeight(MAP_HEIGHT)
        self.map.pointed.connect(lambda text: self.read_out.setText(text or READ_OUT))
        self.map.export_requested.connect(self._save_map)
        self._map_place.addWidget(self.map)
        QWidget.setTabOrder(self.solve_rest, self.map)
        self.show_rounds(self._rounds)

    def _no_map(self, error: EngineError) -> None:
        self._map_wait.setText(f"The map cannot be drawn. {error.hint}")

    def _save_map(self, suffix: str) -> None:
        from desktop.widgets.residual_map import FORMATS

        title, name = "Save the map", f"rounds.{suffix}"
        chosen, _ = QFileDialog.getSaveFileName(self, title, name, FORMATS[suffix])
        if chosen:
            self.save_map_to(suffix, Path(chosen))

    def save_map_to(self, suffix: str, target: Path) -> None:
        """Save the map that is shown as ``png``, ``svg`` or ``csv``."""
        if self.map is None:
            return
        data = self.map.exported(suffix)
        self._background.run(
            lambda: files.write_whole(target, data),
            lambda path: self.saved.emit(path.name),
            self.problem.emit,
        )


def _section(title: str, *widgets: QWidget) -> QWidget:
    section = QWidget()
    layout = QVBoxLayout(section)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE_S)
    layout.addWidget(line())
    layout.addWidget(label(title, "heading"))
    for widget in widgets:
        layout.addWidget(widget)
    return section
