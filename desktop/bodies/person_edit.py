"""What the hand changes of one person, as a step of the project's undo stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtGui import QUndoCommand

Apply = Callable[[int | None, str, Any], object]
"""Keeps a value (None: as recovered) of a result's ``"FRAME:PERSON"`` and shows it."""


class PersonEdit(QUndoCommand):
    """A value of one person, and the one before.

    Parameters
    ----------
    text
        For the menu: ``shape a body``.
    apply
        What keeps and shows it.
    result, key
        Whose it is, whatever is shown when it is undone.
    before, after
        As the project keeps them; None for what was recovered.
    """

    def __init__(
        self, text: str, apply: Apply, result: int | None, key: str, before: Any, after: Any
    ) -> None:
        super().__init__(text)
        self._apply, self._result, self._key = apply, result, key
        self._before, self._after = before, after

    def redo(self) -> None:
        """The new one."""
        self._apply(self._result, self._key, self._after)

    def undo(self) -> None:
        """That of before."""
        self._apply(self._result, self._key, self._before)
