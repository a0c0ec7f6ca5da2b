"""Ends the application in order on Ctrl-C in a terminal and when the session ends."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Callable

from PySide6.QtCore import QObject, QSocketNotifier, Slot

HANDLED = (signal.SIGINT, signal.SIGTERM)


class SignalListener(QObject):
    """Calls ``close`` in the window's thread when the process is asked to end.

    Python runs its signal handlers only when it runs at all. The interpreter writes a byte into a
    socket, which wakes Qt's loop and thereby Python.
    """

    def __init__(self, close: Callable[[], object], parent: QObject) -> None:
        super().__init__(parent)
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._notifier = QSocketNotifier(self._receiver.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._wake)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.getsignal(number) for number in HANDLED}
        for number in HANDLED:
            signal.signal(number, lambda _number, _frame: close())

    def stop(self) -> None:
        """Put everything back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._notifier.setEnabled(False)
        self._receiver.close()
        self._sender.close()

    @Slot()
    def _wake(self) -> None:
        # Python's handler runs before this line does, and may have closed the application already.
        with contextlib.suppress(OSError):
            self._receiver.recv(64)


def listen(close: Callable[[], object], parent: QObject) -> SignalListener | None:
    """Listen, where the system has such signals (Windows tells windows in other ways)."""
    return None if sys.platform == "win32" else SignalListener(close, parent)
