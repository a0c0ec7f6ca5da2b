"""The seed field: a number, a lock, and dice."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit

from desktop.images.specs import parse_seed, random_seed
from desktop.theme import Theme
from desktop.widgets.field_editors import FieldEditor
from desktop.widgets.parts import icon_button
from engine.errors import EngineError


class SeedEditor(FieldEditor):
    """Unlocked, every run gets a new random seed; locked, the same one again.

    Typing a seed locks it: who writes a number wants that number.
    """

    resettable = False

    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__()
        self._theme = theme
        self.line = QLineEdit(str(random_seed()))
        self.line.setAccessibleName(title)
        self.lock = icon_button(theme.icon("lock-simple-open"), "New random seed for every run")
        self.lock.setCheckable(True)
        self.dice = icon_button(theme.icon("dice-five"), "Another random seed now", self.roll)
        self.line.textEdited.connect(lambda: self.lock.setChecked(True))
        self.line.textChanged.connect(lambda: self.changed.emit())
        self.lock.toggled.connect(self._show_lock)
        self._fill(self.line, self.dice, self.lock)
        self._show_lock(False)

    @property
    def locked(self) -> bool:
        """Whether the next run uses the seed that is shown."""
        return self.lock.isChecked()

    def set_locked(self, locked: bool) -> None:
        """Keep the seed, or take a new one for every run."""
        self.lock.setChecked(locked)

    def roll(self) -> None:
        """Show another random seed."""
        self.line.setText(str(random_seed()))

    def next_seed(self) -> int:
        """The seed for a run that starts now; unlocked, a new one that is shown from now on.

        Raises
        ------
        EngineError
            ``invalid_input`` when a locked seed is not a number.
        """
        if not self.locked:
            self.roll()
        return parse_seed(self.line.text())

    def value(self) -> int | None:
        try:
            return parse_seed(self.line.text())
        except EngineError:
            return None

    def set_value(self, value: object) -> None:
        self.line.setText("" if value is None else str(value))

    def error(self) -> str:
        try:
            parse_seed(self.line.text())
        except EngineError as error:
            return str(error)
        return ""

    def _show_lock(self, locked: bool) -> None:
        self.lock.setIcon(self._theme.icon("lock-simple" if locked else "lock-simple-open"))
        text = "Locked: the same seed again" if locked else "Open: a new random seed for every run"
        self.lock.setToolTip(text)
        self.lock.setAccessibleName(text)
        self.changed.emit()
