"""What the user has been told: the list behind toasts and message centre."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PySide6.QtCore import QObject, Signal

from engine.errors import EngineError

log = logging.getLogger("triptych.notifications")

Level = Literal["info", "success", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "success", "warning", "error")
KEPT = 500
_LOG_LEVELS = {"info": logging.INFO, "success": logging.INFO, "warning": logging.WARNING}

NoticeAction = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Notice:
    """One message. ``actions`` are offered as buttons; ``details`` are copied, not shown first."""

    level: Level
    text: str
    details: str = ""
    hint: str = ""
    actions: tuple[NoticeAction, ...] = ()
    time: float = field(default_factory=time.time)

    @property
    def copy_text(self) -> str:
        """Everything, as plain text for a bug report."""
        parts = (self.text, self.hint, self.details)
        return "\n".join(part for part in parts if part)


class Notifications(QObject):
    """Takes messages and keeps the last 500.

    Attributes
    ----------
    posted
        A new :class:`Notice`.
    unread_changed
        How many have not been looked at.
    """

    posted = Signal(object)
    unread_changed = Signal(int)
    cleared = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._notices: list[Notice] = []
        self._unread = 0

    @property
    def notices(self) -> list[Notice]:
        """Newest first."""
        return self._notices[::-1]

    @property
    def unread(self) -> int:
        """How many came since :meth:`mark_read`."""
        return self._unread

    def post(
        self,
        level: Level,
        text: str,
        details: str = "",
        hint: str = "",
        actions: Sequence[NoticeAction] = (),
    ) -> Notice:
        """Tell the user something. Shows a toast and keeps it in the message centre."""
        notice = Notice(level, text, details, hint, tuple(actions))
        log.log(_LOG_LEVELS.get(level, logging.ERROR), "%s", " ".join(filter(None, (text, hint))))
        self._notices.append(notice)
        del self._notices[:-KEPT]
        self._unread += 1
        self.posted.emit(notice)
        self.unread_changed.emit(self._unread)
        return notice

    def tell(self, error: EngineError) -> Notice:
        """Say what went wrong: what happened and what to do; the detail is kept to be copied."""
        return self.post("error", error.message, error.detail, error.hint)

    def mark_read(self) -> None:
        """The user looked at the message centre."""
        self._unread = 0
        self.unread_changed.emit(0)

    def clear(self) -> None:
        """Forget all messages."""
        self._notices.clear()
        self.cleared.emit()
        self.mark_read()
