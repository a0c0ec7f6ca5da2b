"""All there is to know of one model, and the two things that can be changed: licence, autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop.shell.model_facts import (
    STATE_LOOKS,
    UNDERSTANDS,
    InstalledModel,
    Memory,
    State,
    alignment_text,
    compute_text,
    count_text,
    memory_sentence,
    origin_sentence,
    samplers_text,
    size_text,
    state_of,
)
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import icon_button, label

WIDTH = 380
LABEL_WIDTH = 92
NO_VAE = "none"  # as engine.model_adding calls it
FIXED_LICENCE = "Licence of the built-in model"
# Kinds that make latents and hold no autoencoder of their own.
WITHOUT_AUTOENCODER = ("dit",)


class ModelDetails(QScrollArea):
    """The right side of the Models page.

    Attributes
    ----------
    licence_edited
        Name of the model and its new licence.
    vae_chosen
        Name of the model and of the autoencoder it shall use.
    """

    licence_edited = Signal(str, str)
    vae_chosen = Signal(str, str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setMinimumWidth(300)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("About the chosen model")
        self._theme = theme
        self._model: InstalledModel | None = None
        self._rows: dict[str, QLabel] = {}
        self._titles: dict[QWidget, QLabel] = {}
        self._build()
        self.show_model(None, None)

    def sizeHint(self) -> QSize:
        """Wide enough for its sentences."""
        return QSize(WIDTH, super().sizeHint().height())

    def _build(self) -> None:
        inner = QWidget()
        inner.setProperty("role", "form")
        column = QVBoxLayout(inner)
        column.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_L)
        column.setSpacing(SPACE_M)
        self.title = label("", "title", wrap=True, selectable=True)
        self.nothing = label("Choose a model to see what it is.", "muted", wrap=True)
        column.addWidget(self.nothing)
        column.addWidget(self.title)
        self.notice = _Notice(self._theme)
        column.addWidget(self.notice)
        self.below_notice = QVBoxLayout()
        """Where the page puts what helps: installing an extra."""
        column.addLayout(self.below_notice)
        self._facts = QWidget()
        # Not a form layout: that gives wrapped labels too little height when rows are hidden.
        self._grid = QGridLayout(self._facts)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACE_M)
        self._grid.setVerticalSpacing(SPACE_S)
        self._grid.setColumnStretch(1, 1)
        for name in ("What it is", "Parameters", "Understands", "Samplers", "Alignment", "Compute"):
            self._add_text(name)
        self.vae = QuietComboBox()
        self.vae.setAccessibleName("Autoencoder")
        self.vae.activated.connect(self._choose_vae)
        self._add_row("Decoded by", self.vae)
        for name in ("Size", "Memory"):
            self._add_text(name)
        self.licence = QLineEdit()
        self.licence.setAccessibleName("Licence")
        self.licence.setPlaceholderText("Not known; you can write it here")
        self.licence.editingFinished.connect(self._edit_licence)
        self._add_row("Licence", self.licence)
        self._add_text(FIXED_LICENCE, "Licence")
        for name in ("From", "Files"):
            self._add_text(name)
        self.digest = QLineEdit(readOnly=True)
        self.digest.setAccessibleName("SHA-256")
        self.copy = icon_button(self._theme.icon("copy"), "Copy the SHA-256", self._copy_digest)
        row = QWidget()
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(SPACE_XS)
        across.addWidget(self.digest, 1)
        across.addWidget(self.copy)
        self._add_row("SHA-256", row)
        column.addWidget(self._facts, 0, Qt.AlignmentFlag.AlignTop)
        column.addStretch(1)
        self.setWidget(inner)

    def _add_text(self, name: str, title: str = "") -> None:
        value = label("", wrap=True, selectable=True)
        value.setAccessibleName(name)
        value.setMinimumWidth(40)
        self._rows[name] = value
        self._add_row(title or name, value)

    def _add_row(self, name: str, widget: QWidget) -> None:
        title = label(name, "muted")
        title.setFixedWidth(LABEL_WIDTH)
        title.setAlignment(Qt.AlignmentFlag.AlignTop)
        if not isinstance(widget, QLabel):
            title.setMinimumHeight(widget.sizeHint().height())
            title.setAlignment(Qt.AlignmentFlag.AlignVCenter)
        row = self._grid.rowCount()
        self._grid.addWidget(title, row, 0)
        self._grid.addWidget(widget, row, 1)
        self._titles[widget] = title

    def _show_row(self, widget: QWidget, shown: bool) -> None:
        widget.setVisible(shown)
        self._titles[widget].setVisible(shown)

    # --- showing ----------------------------------------------------------------------------------

    def show_model(
        self,
        model: InstalledModel | None,
        memory: Memory | None,
        autoencoders: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Show a model beside the memory there is; ``autoencoders`` can be chosen, name and title."""
        same = self._model is not None and model is not None and self._model.name == model.name
        self._model = model
        self.nothing.setVisible(model is None)
        self.title.setVisible(model is not None)
        info = model.info if model else None
        self._facts.setVisible(info is not None)
        self.notice.hide()
        if model is None:
            return
        self.title.setText(model.title)
        self._explain(model, memory)
        if info is None:
            return
        texts = {
            "What it is": info.architecture,
            "Parameters": count_text(info.parameters),
            "Understands": UNDERSTANDS.get(info.conditions, ""),
            "Samplers": samplers_text(info),
            "Alignment": alignment_text(info),
            "Compute": compute_text(info),
            "Size": size_text(info.size),
            FIXED_LICENCE: "" if model.own else info.licence,
            "From": origin_sentence(model),
            "Files": str(info.path),
        }
        for name, text in texts.items():
            self._say(name, text)
        sentence, role = memory_sentence(info.memory_bytes, memory)
        self._say("Memory", sentence, role)
        if not (same and self.licence.hasFocus()):
            self.licence.setText(info.licence)
        self._show_row(self.licence, model.own)
        self.digest.setText(info.sha256)
        self.digest.setCursorPosition(0)
        self._offer_autoencoders(model, autoencoders)

    def _explain(self, model: InstalledModel, memory: Memory | None) -> None:
        state = state_of(model, memory)
        if model.error is not None:
            self.notice.say(state, model.error.message, model.error.hint)
        elif state is State.NEEDS and model.info is not None:
            needs = ", ".join(model.info.needs)
            self.notice.say(state, f"It cannot be used before {needs} is installed.", "")
        elif state is State.TOO_LARGE and model.info is not None:
            self.notice.say(
                state,
                memory_sentence(model.info.memory_bytes, memory)[0],
                "Generating with it will fail or be very slow. Use a smaller model, or a computer with "
                "more memory.",
            )
        elif state is State.VERIFIED:
            self.notice.say(state, "All its files are as they were when it was added.", "")

    def _say(self, name: str, text: str, role: str = "") -> None:
        row = self._rows[name]
        row.setText(text)
        if row.property("role") != role:
            row.setProperty("role", role)
            row.style().unpolish(row)
            row.style().polish(row)
        self._show_row(row, bool(text))

    def _offer_autoencoders(
        self, model: InstalledModel, autoencoders: Sequence[tuple[str, str]]
    ) -> None:
        info = model.info
        shown = (
            info is not None
            and info.kind in WITHOUT_AUTOENCODER
            and (bool(info.vae) or (not info.alignment and not info.needs))
        )
        self._show_row(self.vae, shown)
        self.vae.clear()
        if info is None or not shown:
            return
        self.vae.addItem("None (rough colours)", NO_VAE)
        for name, title in autoencoders:
            self.vae.addItem(title, name)
        if info.vae and self.vae.findData(info.vae) < 0:
            self.vae.addItem(f"{info.vae} (not installed)", info.vae)
        self.vae.setCurrentIndex(self.vae.findData(info.vae or NO_VAE))

    # --- changing ---------------------------------------------------------------------------------

    def _edit_licence(self) -> None:
        model = self._model
        text = self.licence.text().strip()
        if model is not None and model.own and model.info is not None and text != model.info.licence:
            self.licence_edited.emit(model.name, text)

    def _choose_vae(self, _index: int) -> None:
        model, chosen = self._model, self.vae.currentData()
        if model is not None and model.info is not None and chosen != (model.info.vae or NO_VAE):
            self.vae_chosen.emit(model.name, chosen)

    def _copy_digest(self) -> None:
        QGuiApplication.clipboard().setText(self.digest.text())


class _Notice(QFrame):
    """What is remarkable about the model's state."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._theme = theme
        self.text = label("", wrap=True, selectable=True)
        self.hint = label("", "muted", wrap=True, selectable=True)
        texts = QVBoxLayout()
        texts.setSpacing(SPACE_XS)
        texts.addWidget(self.text)
        texts.addWidget(self.hint)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        self._row.setSpacing(SPACE_S)
        self._icon: IconLabel | None = None
        self._row.addLayout(texts, 1)

    def say(self, state: State, text: str, hint: str) -> None:
        """Explain a state."""
        _, icon, role = STATE_LOOKS[state]
        if self._icon is not None:
            self._row.removeWidget(self._icon)
            self._icon.deleteLater()
        self._icon = IconLabel(self._theme.icon(icon, role))
        self._row.insertWidget(0, self._icon, 0, Qt.AlignmentFlag.AlignTop)
        self.text.setText(text)
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self.setAccessibleName(f"{text} {hint}".strip())
        self.show()
