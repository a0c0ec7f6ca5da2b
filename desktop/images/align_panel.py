"""The inspector's tab that aligns pictures: what should improve, how it goes, what came of it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.images import files
from desktop.images.align_explain import AlignExplain
from desktop.images.align_legend import AlignLegend
from desktop.images.align_run_view import AlignRunView
from desktop.images.align_scrub import AlignScrub
from desktop.images.align_setup import AlignSetup
from desktop.images.align_steps import AlignSteps
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme
from desktop.widgets.field_editors import NumberEditor
from desktop.widgets.parts import button, label, line
from desktop.widgets.tab_order import chain_focus
from engine.errors import EngineError

if TYPE_CHECKING:
    from desktop.images.align_curves import AlignCurves

CURVES_WAIT_HEIGHT = 200
READ_OUT = "Click a curve, or use the arrow keys, to go to a step."
BEST = {"type": "integer", "minimum": 1, "maximum": 36, "default": 3}


class AlignPanel(QWidget):
    """Shows what it is told; :class:`desktop.images.align_tab.AlignTab` decides.

    Parameters
    ----------
    theme
        Colours.
    background
        Where the plotting library is imported, when curves are shown first.
    actions
        The actions behind the buttons, by their names in the table without ``align_``.

    Signals
    -------
    shown
        The tab came to sight: what it shows may be old.
    step_chosen(int)
        A step was chosen on the curves.
    best_requested(int)
        Show so many best pictures of the batch.
    saved(str), problem(EngineError)
        The curves were saved under this name, or why they were not.
    """

    shown = Signal()
    step_chosen = Signal(int)
    best_requested = Signal(int)
    saved = Signal(str)
    problem = Signal(object)

    def __init__(self, theme: Theme, background: Background, actions: Mapping[str, QAction]) -> None:
        super().__init__()
        self._theme, self._background = theme, background
        self._steps: AlignSteps | None = None
        self._asked_for_curves = False
        self.curves: AlignCurves | None = None
        self.message = label("", "muted", wrap=True)
        names = ("pause", "stop", "back", "stricter")
        self.run_view = AlignRunView(theme, *(actions[name] for name in names))
        names = ("pin", "compare", "branch", "undo")
        self.scrub = AlignScrub(theme, *(actions[name] for name in names))
        self.explain = AlignExplain(theme)
        self.setup = AlignSetup(theme)
        self._make_batch()
        self._make_curves_section()
        self._explain_section = _section("What changed", self.explain)
        self._setup_section = QWidget()
        setup = QVBoxLayout(self._setup_section)
        setup.setContentsMargins(0, 0, 0, 0)
        setup.setSpacing(SPACE_S)
        self._setup_line = line()
        setup.addWidget(self._setup_line)
        setup.addWidget(self.setup)
        self._lay_out()
        self.setup.laid_out.connect(self._order_tabs)
        self._order_tabs()

    def _make_batch(self) -> None:
        self.batch = QFrame()
        self.batch.setProperty("role", "card")
        self.batch_text = label("", wrap=True)
        self.best = NumberEditor(BEST, "How many of the best")
        self.best.set_value(BEST["default"])
        self.best_button = button("Show the best", self._show_best)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.best_button, 1)
        row.addWidget(self.best)
        layout = QVBoxLayout(self.batch)
        layout.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.batch_text)
        layout.addLayout(row)
        self.batch.hide()

    def _make_curves_section(self) -> None:
        self.legend = AlignLegend(self._theme)
        self.read_out = label(READ_OUT, "muted", wrap=True)
        self._curves_place = QVBoxLayout()
        self._curves_wait = label("The curves are being prepared…", "muted", wrap=True)
        self._curves_wait.setFixedHeight(CURVES_WAIT_HEIGHT)
        self._curves_wait.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._curves_place.addWidget(self._curves_wait)
        self._curves_section = QWidget()
        layout = QVBoxLayout(self._curves_section)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.legend)
        layout.addLayout(self._curves_place)
        layout.addWidget(self.read_out)

    def _lay_out(self) -> None:
        content = self.content = QWidget()
        content.setProperty("role", "form")
        column = QVBoxLayout(content)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_L)
        column.setSpacing(SPACE_M)
        for widget in (
            self.batch,
            self.message,
            self.run_view,
            self.scrub,
            self._curves_section,
            self._explain_section,
            self._setup_section,
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
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        # Whatever is scrolled to, the run can be started.
        layout.addWidget(self.setup.footer)
        self._scroll = scroll

    def _order_tabs(self) -> None:
        curves = [self.curves] if self.curves is not None else []
        chain_focus(self.batch, self.run_view, *self.scrub.in_order(), *curves, *self.setup.in_order())

    # --- what is shown ----------------------------------------------------------------------------

    def show_parts(
        self,
        message: str = "",
        *,
        run: bool = False,
        scrub: bool = False,
        explain: bool = False,
        setup: bool = False,
    ) -> None:
        """Show these sections and no others; the curves follow :meth:`show_steps`."""
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self.run_view.setVisible(run)
        self.scrub.setVisible(scrub)
        self._explain_section.setVisible(explain)
        self._setup_section.setVisible(setup)
        self.setup.footer.setVisible(setup)
        self._setup_line.setVisible(run or bool(message))

    def show_steps(self, steps: AlignSteps | None) -> None:
        """Show the curves of a run, or none."""
        self._steps = steps
        there = steps is not None and bool(steps.points)
        self._curves_section.setVisible(there)
        if not there or steps is None:
            return
        if self.curves is not None:
            self.curves.show_steps(steps)
        elif self.isVisible():
            self._load_curves()

    def mark(self, step: int | None, text: str) -> None:
        """Mark a step on the curves, and say what it found."""
        if self.curves is not None:
            self.curves.mark(step)
        self.read_out.setText(text or READ_OUT)

    def show_batch(self, text: str, *, ready: bool) -> None:
        """How far several alignments are; empty for none."""
        self.batch.setVisible(bool(text))
        self.batch_text.setText(text)
        self.best_button.setEnabled(ready)

    def focus_setup(self) -> None:
        """Put the keyboard where an alignment is described."""
        self._scroll.ensureWidgetVisible(self.setup.start)
        stack = self.setup.stack
        (stack.cards[0].direction if stack.cards else stack.add_button).setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()

    def _show_best(self) -> None:
        if not self.best.error():
            self.best_requested.emit(int(self.best.value() or 1))

    # --- the curves -------------------------------------------------------------------------------

    def _load_curves(self) -> None:
        if not self._asked_for_curves:
            self._asked_for_curves = True
            # Half a second of importing; the window goes on meanwhile.
            self._background.run(
                lambda: importlib.import_module("pyqtgraph"), self._make_curves, self._no_curves
            )

    def _make_curves(self, _library: object) -> None:
        from desktop.images.align_curves import AlignCurves

        self._curves_wait.hide()
        self.curves = AlignCurves(self._theme)
        self.curves.step_chosen.connect(self.step_chosen)
        self.curves.export_requested.connect(self._save_curves)
        self._curves_place.addWidget(self.curves)
        self.curves.show()
        self._order_tabs()
        self.show_steps(self._steps)

    def _no_curves(self, error: EngineError) -> None:
        self._curves_wait.setText(f"The curves cannot be drawn. {error.hint}")

    def _save_curves(self, suffix: str) -> None:
        from desktop.widgets.plot_export import FORMATS

        title, name = "Save the curves", f"alignment.{suffix}"
        chosen, _ = QFileDialog.getSaveFileName(self, title, name, FORMATS[suffix])
        if chosen:
            self.save_curves_to(suffix, Path(chosen))

    def save_curves_to(self, suffix: str, target: Path) -> None:
        """Save the curves that are shown as ``png``, ``svg`` or ``csv``."""
        if self.curves is None:
            return
        data = self.curves.exported(suffix)
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
