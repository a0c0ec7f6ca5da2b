"""Changes the user can take back, as QUndoCommands on the project's one undo stack.

Doing only: nothing here opens a dialog. Whoever asks the user first does so before pushing a command.
Commands hold ids and the values that were there before, never widgets or pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from PySide6.QtGui import QUndoCommand

if TYPE_CHECKING:
    from engine.project import ResultRecord

Value = TypeVar("Value", bool, int)
Changed = Callable[[list[int]], None]


class ResultEdits(Protocol):
    """The part of :class:`engine.project.Project` that commands change."""

    def result(self, result: int) -> ResultRecord:
        """One result."""
        ...

    def set_starred(self, results: Iterable[int], starred: bool) -> None:
        """Star or unstar."""
        ...

    def set_liked(self, results: Iterable[int], liked: int) -> None:
        """-1 dislike, 0 neither, 1 like."""
        ...

    def set_removed(self, results: Iterable[int], removed: bool) -> None:
        """Hide or show again; the files stay."""
        ...


class _SetFlag(QUndoCommand, Generic[Value]):
    """Gives results a value, and each its former one back.

    Parameters
    ----------
    write
        Stores one value for many results.
    before
        The present values.
    value
        The new one.
    changed
        Called with the ids after each step, so that views look again.
    """

    def __init__(
        self,
        text: str,
        write: Callable[[list[int], Value], None],
        before: dict[int, Value],
        value: Value,
        changed: Changed,
    ) -> None:
        super().__init__(text)
        self._write: Callable[[list[int], Value], None] = write
        self._before: dict[int, Value] = before
        self._value: Value = value
        self._changed = changed

    def redo(self) -> None:
        """Set the new value."""
        self._write(list(self._before), self._value)
        self._changed(list(self._before))

    def undo(self) -> None:
        """Set the former values."""
        for value in set(self._before.values()):
            self._write([result for result, old in self._before.items() if old == value], value)
        self._changed(list(self._before))


class StarResults(_SetFlag[bool]):
    """Star or unstar results."""

    def __init__(
        self, project: ResultEdits, results: Sequence[int], starred: bool, changed: Changed
    ) -> None:
        before = {result: project.result(result).starred for result in results}
        text = f"{'star' if starred else 'unstar'} {pictures(len(before))}"
        super().__init__(text, project.set_starred, before, starred, changed)


class RateResults(_SetFlag[int]):
    """Like (1), dislike (-1) or neither (0)."""

    def __init__(
        self, project: ResultEdits, results: Sequence[int], liked: int, changed: Changed
    ) -> None:
        before = {result: project.result(result).liked for result in results}
        verb = {1: "like", -1: "dislike"}.get(liked, "clear the rating of")
        super().__init__(f"{verb} {pictures(len(before))}", project.set_liked, before, liked, changed)


class RemoveResults(_SetFlag[bool]):
    """Take results out of the gallery; their files stay until the project is tidied."""

    def __init__(self, project: ResultEdits, results: Sequence[int], changed: Changed) -> None:
        before = {result: project.result(result).removed for result in results}
        text = f"remove {pictures(len(before))}"
        super().__init__(text, project.set_removed, before, True, changed)


def pictures(count: int) -> str:
    """``1 picture``, ``12 pictures``."""
    return f"{count:,} picture{'' if count == 1 else 's'}"
