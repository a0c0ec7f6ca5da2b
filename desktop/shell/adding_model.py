"""Adding a model: asked, done and refused in one panel inside the page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from desktop.background import Background
from desktop.shell.model_desk import Meter, ModelDesk, Survey, Wish
from desktop.shell.model_facts import size_text
from desktop.shell.slow_work import SlowWork
from desktop.shell.status_bar import duration
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.field_editors import NumberEditor, QuietComboBox
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import button, label
from engine.errors import EngineError, ErrorCode

LABEL_WIDTH = 104
FIELD_WIDTH = 420
MOST_HEADS = 512


class AddingModel(QFrame):
    """Asks no more than it must; what was typed stays until the model is added or given up.

    Attributes
    ----------
    added
        The :class:`~engine.weights.ModelInfo` of a model that is installed now.
    shown
        It appeared or went.
    """

    added = Signal(object)
    shown = Signal()

    def __init__(self, theme: Theme, desk: ModelDesk) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._desk = desk
        self._waiting: list[Path] = []
        self._survey: Survey | None = None
        self.taken: Callable[[], Collection[str]] = tuple
        """Names that are in use."""
        self.autoencoders: Callable[[], Sequence[tuple[str, str]]] = tuple
        """Name and title of the autoencoders that can be chosen."""
        self.work = SlowWork(self)
        self.work.progressed.connect(self._show_progress)
        self._looking = Background(self)
        self._build(theme)
        self.hide()

    def _build(self, theme: Theme) -> None:
        self.heading = label("", "heading")
        self.place = ElidedLabel("muted")
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the model")
        self.name.setMaxLength(64)
        self.name.returnPressed.connect(self.add)
        self.heads = NumberEditor(
            {"type": "integer", "minimum": 1, "maximum": MOST_HEADS}, "Attention heads", nullable=True
        )
        self.heads.box.lineEdit().setPlaceholderText("from the file")
        self.heads.box.lineEdit().returnPressed.connect(self.add)
        self.vae = QuietComboBox()
        self.vae.setAccessibleName("Autoencoder")
        self.stay = QCheckBox("Use it where it is, without a copy")
        self.stay.toggled.connect(self._show_room)
        self.room = label("", "muted", wrap=True)
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setHorizontalSpacing(SPACE_L)
        self._form.setVerticalSpacing(SPACE_S)
        self._form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        for title, field in (
            ("Name", self.name),
            ("Attention heads", self.heads),
            ("Autoencoder", self.vae),
            ("", self.stay),
        ):
            field.setMaximumWidth(FIELD_WIDTH)
            name = label(title, "muted")
            name.setFixedWidth(LABEL_WIDTH)
            name.setMinimumHeight(field.sizeHint().height())
            self._form.addRow(name, field)
        self._form.addRow("", self.room)

        self.problem = QWidget()
        self.message = label("", wrap=True, selectable=True)
        self.hint = label("", "muted", wrap=True, selectable=True)
        said = QHBoxLayout(self.problem)
        said.setContentsMargins(0, 0, 0, 0)
        said.setSpacing(SPACE_S)
        said.addWidget(IconLabel(theme.icon("warning-circle", "bad")), 0, Qt.AlignmentFlag.AlignTop)
        texts = QVBoxLayout()
        texts.setSpacing(SPACE_XS)
        texts.addWidget(self.message)
        texts.addWidget(self.hint)
        said.addLayout(texts, 1)

        self.bar = QProgressBar(maximum=1000, textVisible=False)
        self.bar.setAccessibleName("Progress of adding the model")
        self.stage = label("", "muted")
        self.start = button("Add", self.add, "primary", theme.icon("plus", "on_accent"))
        self.give_up = button("Cancel", self.cancel)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addWidget(self.start)
        buttons.addWidget(self.give_up)
        buttons.addWidget(self.stage, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_S)
        for part in (self.heading, self.place):
            layout.addWidget(part)
        layout.addLayout(self._form)
        layout.addWidget(self.problem)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)

    def setVisible(self, visible: bool) -> None:
        """Also tell the page, which makes room."""
        super().setVisible(visible)
        self.shown.emit()

    def event(self, event: QEvent) -> bool:
        """Escape gives up what is asked here, before it cancels a job."""
        if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            if event.type() == QEvent.Type.ShortcutOverride:
                event.accept()
                return True
            if event.type() == QEvent.Type.KeyPress:
                self.cancel()
                return True
        return super().event(event)

    # --- what is asked ----------------------------------------------------------------------------

    def open(self, paths: Sequence[Path]) -> None:
        """Ask about these files and folders, one after the other."""
        self._waiting += [path for path in paths if path not in self._waiting]
        if self.isHidden():
            self._next()
        else:
            self._show_heading()

    def _next(self) -> None:
        self._survey = None
        if not self._waiting:
            self.hide()
            return
        path = self._waiting.pop(0)
        desk = self._desk
        self._looking.run(
            lambda: desk.survey(path), self._ask, lambda error: self._cannot_look(path, error)
        )

    def _cannot_look(self, path: Path, error: EngineError) -> None:
        self._ask(Survey(path, 0, 0, path.stem, False))
        self._refuse(error)

    def _ask(self, survey: Survey) -> None:
        self._survey = survey
        self._show_heading()
        self.place.setText(str(survey.path))
        self.name.setText(self._free_name(survey.name))
        self.heads.set_value(None)
        self.vae.clear()
        self.vae.addItem("Automatic", None)
        for name, title in self.autoencoders():
            self.vae.addItem(title, name)
        self._form.setRowVisible(self.heads, False)
        # With one autoencoder, or none, there is nothing to choose.
        self._form.setRowVisible(self.vae, self.vae.count() > 2)
        self.stay.setChecked(False)
        self.stay.setEnabled(not survey.pickle)
        self._show_room()
        self.problem.hide()
        self._set_working(False)
        self.show()
        self.name.setFocus(Qt.FocusReason.OtherFocusReason)
        self.name.selectAll()

    def _show_heading(self) -> None:
        if self._survey is None:
            return
        more = f" ({len(self._waiting)} more after it)" if self._waiting else ""
        self.heading.setText(f"Add {self._survey.path.name}{more}")
        self.setAccessibleName(self.heading.text())

    def _free_name(self, wanted: str) -> str:
        taken, name, number = self.taken(), wanted, 2
        while name in taken:
            name, number = f"{wanted[:60]}-{number}", number + 1
        return name

    def _show_room(self) -> None:
        survey = self._survey
        if survey is None:
            return
        size, free = size_text(survey.size), size_text(survey.free)
        if self.stay.isChecked():
            text = "Nothing is copied. When the original is moved or deleted, the model is gone too."
        elif survey.pickle:
            text = (
                f"Such files can hide programs, so a safe copy is made of the weights alone (about "
                f"{size}; {free} are free). The original is only read."
            )
        else:
            # Of a folder, only what its model needs is copied.
            most = "at most " if survey.path.is_dir() else ""
            text = f"The copy takes {most}{size}; {free} are free. The original is only read."
        self.room.setText(text)

    # --- doing ------------------------------------------------------------------------------------

    def wish(self) -> Wish:
        """What is asked for now."""
        assert self._survey is not None, "something is asked about"
        return Wish(
            self._survey.path,
            self.name.text().strip() or self._survey.name,
            num_heads=None if self.heads.value() is None else int(self.heads.value() or 0),
            vae=self.vae.currentData(),
            in_place=self.stay.isChecked(),
        )

    def add(self) -> None:
        """Add what is asked about."""
        if self._survey is None or self.work.busy:
            return
        if self.heads.error():
            self._say(self.heads.error(), "Correct it, or leave it empty to use what the file says.")
            return
        wish = self.wish()
        self.problem.hide()
        self._set_working(True)

        desk = self._desk

        def work(meter: Meter) -> object:
            return desk.add(wish, meter)

        self.work.start(work, self._added, self._refuse)

    def cancel(self) -> None:
        """Stop adding, or give up what is asked about."""
        if self.work.busy:
            self.stage.setText("Cancelling…")
            self.give_up.setEnabled(False)
            self.work.cancel()
        else:
            self._next()

    def _added(self, info: object) -> None:
        self._set_working(False)
        self._next()
        self.added.emit(info)

    def _refuse(self, error: EngineError) -> None:
        self._set_working(False)
        if error.code is ErrorCode.CANCELLED:
            self._say(
                "Adding was cancelled; nothing was added.", "Add starts again from the beginning."
            )
        else:
            self._say(error.message, error.hint)
            if self._survey is not None and self._survey.path.is_file():
                # A file does not say how its width is divided; this may be what was missing.
                self._form.setRowVisible(self.heads, True)
        self.name.setFocus(Qt.FocusReason.OtherFocusReason)

    def _say(self, message: str, hint: str) -> None:
        self.message.setText(message)
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self.problem.setAccessibleName(f"{message} {hint}".strip())
        self.problem.show()

    def _set_working(self, working: bool) -> None:
        fields = (self.name, self.heads, self.vae, self.start)
        for field in fields:
            field.setEnabled(not working)
        self.stay.setEnabled(not working and self._survey is not None and not self._survey.pickle)
        self._form.setRowVisible(self.room, not working)
        self.give_up.setEnabled(True)
        self.bar.setRange(0, 0 if working else 1000)
        self.bar.setVisible(working)
        self.stage.setText("Starting…" if working else "")
        if working:
            self.name.deselect()
            self.give_up.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_progress(self, done: float, total: float, stage: str) -> None:
        if not self.give_up.isEnabled():
            return
        parts = [stage.capitalize() or "Working"]
        if total > 0:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * min(1.0, done / total)))
            parts.append(f"{size_text(done)} of {size_text(total)}")
        else:
            self.bar.setRange(0, 0)
        left = self.work.seconds_left(done, total, stage)
        if left is not None:
            parts.append(f"about {duration(left)} left")
        self.stage.setText(" · ".join(parts))
