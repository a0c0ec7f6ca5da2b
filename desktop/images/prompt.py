"""The prompt field: completion from the model's captions, and what the model makes of the words."""

from __future__ import annotations

import html
import re

from PySide6.QtCore import QStringListModel, Qt, Signal
from PySide6.QtGui import QKeyEvent, QTextCursor
from PySide6.QtWidgets import QCompleter, QLabel, QListView, QPlainTextEdit, QVBoxLayout

from desktop.theme import Theme
from desktop.widgets.field_editors import FieldEditor, Schema
from engine.images.vocabulary import Vocabulary

LINES = 3
SUGGESTIONS = 8


class PromptText(QPlainTextEdit):
    """A few lines of text with a list of suggestions below.

    Return takes the marked suggestion; it never starts a line, because a prompt has none.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.suggest = True
        self._vocabulary: Vocabulary | None = None
        self._suggestions = QStringListModel(self)
        self.completer = QCompleter(self._suggestions, self)
        self.completer.setWidget(self)
        self.completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self.completer.setMaxVisibleItems(SUGGESTIONS)
        self.completer.activated.connect(self.take)
        self.popup = QListView()
        self.popup.setProperty("role", "popup")
        self.completer.setPopup(self.popup)
        self.setTabChangesFocus(True)
        self.setAccessibleName(title)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setFixedHeight(self.fontMetrics().lineSpacing() * LINES + 24)

    def set_vocabulary(self, vocabulary: Vocabulary | None) -> None:
        """Complete from this model's captions."""
        self._vocabulary = vocabulary

    def take(self, text: str) -> None:
        """Replace the prompt by a suggestion; Ctrl+Z in the field takes it back."""
        cursor = self.textCursor()
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(text)
        self.popup.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        popup = self.popup
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if popup.isVisible() and (enter or event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Tab)):
            # The completer's own filter handles these keys for its popup.
            event.ignore()
            return
        if enter:
            # Also with Ctrl: the page's shortcut has it.
            event.ignore()
            return
        before = self.toPlainText()
        super().keyPressEvent(event)
        if self.toPlainText() != before:
            self._offer()

    def _offer(self) -> None:
        text = self.toPlainText().strip()
        popup = self.popup
        offered: tuple[str, ...] = ()
        if self._vocabulary is not None and len(text) >= 2 and self.suggest:
            offered = self._vocabulary.complete(text, SUGGESTIONS)
        if not offered or offered == (text.lower(),):
            popup.hide()
            return
        self._suggestions.setStringList(list(offered))
        area = self.rect()
        area.setTop(area.bottom() - 1)
        self.completer.complete(area)
        popup.setCurrentIndex(self.completer.completionModel().index(-1, 0))


class PromptEditor(FieldEditor):
    """Text and, below, what the chosen model understands. Nothing is ignored silently."""

    wide = True
    class_hint_changed = Signal()

    def __init__(self, schema: Schema, title: str, theme: Theme) -> None:
        super().__init__()
        self._title = title
        self._limit = int(schema.get("maxLength", 2000))
        self._theme = theme
        self._vocabulary: Vocabulary | None = None
        self._known = False
        self._class_name: str | None = None
        self.text = PromptText(title)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setTextFormat(Qt.TextFormat.RichText)
        self.note.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.note.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.note.setAccessibleName("What the model understands")
        self.note.linkActivated.connect(self._replace_word)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addWidget(self.note)
        self.setFocusProxy(self.text)
        self.text.textChanged.connect(self._edited)
        theme.changed.connect(self._explain)
        self._explain()

    def set_model(self, vocabulary: Vocabulary | None, known: bool) -> None:
        """Explain prompts for this model; ``known``: whether anything is known about it."""
        self._vocabulary, self._known = vocabulary, known
        self.text.set_vocabulary(vocabulary)
        self._explain()

    def set_class(self, class_name: str | None) -> None:
        """The class the user chose; ``None`` leaves it to the prompt."""
        self._class_name = class_name
        self._explain()

    def value(self) -> str:
        return " ".join(self.text.toPlainText().split())

    def set_value(self, value: object) -> None:
        if str(value or "") != self.value():
            self.text.setPlainText(str(value or ""))

    def error(self) -> str:
        length = len(self.value())
        if length > self._limit:
            return f"{self._title} has {length:,} characters; at most {self._limit:,} are allowed."
        return ""

    def _edited(self) -> None:
        self._explain()
        self.changed.emit()

    def _explain(self) -> None:
        self.note.setText(self._explanation())
        self.note.setVisible(bool(self.note.text()))

    def _explanation(self) -> str:
        tokens = self._theme.tokens
        muted, warn = tokens.muted, tokens.warn
        prompt = self.value()
        if not self._known:
            return ""
        if self._vocabulary is None:
            text = "This model knows classes only; the prompt is not used." if prompt else ""
            return _coloured(text, warn)
        if not prompt:
            text = "Empty: any picture of the chosen class, or of any kind."
            return _coloured(text, muted)
        meaning = self._vocabulary.parse(prompt, self._class_name)
        lines = []
        words = " ".join(self._vocabulary.words[index] for index in meaning.words)
        if words:
            kind = ""
            if meaning.label is not None:
                kind = f" · {html.escape(self._vocabulary.class_names[meaning.label])}"
            lines.append(_coloured(f"Draws: <b>{html.escape(words)}</b>{kind}", muted))
        for written, used in meaning.mapped:
            text = f"“{html.escape(written)}” is read as “{html.escape(used)}”."
            lines.append(_coloured(text, muted))
        for word, near in meaning.unknown:
            text = f"⚠ “{html.escape(word)}” is not known and has no effect."
            if near:
                accent = self._theme.accent("images")
                links = ", ".join(
                    f'<a style="color:{accent}" href="{html.escape(word)}/{html.escape(other)}">'
                    f"{html.escape(other)}</a>"
                    for other in near
                )
                text += f" Did you mean {links}?"
            lines.append(_coloured(text, warn))
        if not words:
            lines.append(_coloured("No word is left; the picture will be of any kind.", warn))
        return "<br>".join(lines)

    def _replace_word(self, link: str) -> None:
        word, _, other = link.partition("/")
        replaced = re.sub(rf"\b{re.escape(word)}\b", other, self.value(), flags=re.IGNORECASE)
        cursor = self.text.textCursor()
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(replaced)
        self.text.setFocus()


def _coloured(text: str, colour: str) -> str:
    return f'<span style="color:{colour}">{text}</span>' if text else ""
