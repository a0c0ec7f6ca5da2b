"""What is kept of a run for when it ends badly: a log file, and a crash file that a clean end removes.

Each run has ``<time>-<process>.log``, ``.crash`` and ``.lock`` in the state folder. The fault handler
writes into the crash file. A crash file whose lock nobody holds was left by a run that ended
unexpectedly; :func:`unexpected_ends` finds it once.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from PySide6.QtCore import (
    QLockFile,
    QMessageLogContext,
    QStandardPaths,
    QtMsgType,
    qInstallMessageHandler,
)

log = logging.getLogger("triptych.window")
qt_log = logging.getLogger("triptych.qt")

KEPT_RUNS = 20
CRASH_TAIL = 4000
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def default_folder() -> Path:
    """Where the evidence of this machine's runs lies."""
    kind = QStandardPaths.StandardLocation.GenericStateLocation
    return Path(QStandardPaths.writableLocation(kind)) / "triptych" / "runs"


@dataclass(frozen=True)
class UnexpectedEnd:
    """A run that did not end by itself."""

    log_file: Path
    crash: str

    @property
    def reason(self) -> str:
        """One sentence for the user, as much as the evidence says."""
        if "The display went away" in self.crash:
            return "The connection to the display was lost."
        first = next((line for line in self.crash.splitlines() if line.strip()), "")
        return first or "It was ended from outside, or the machine stopped."


class Evidence:
    """The evidence of this run.

    Parameters
    ----------
    folder
        The state folder; when it cannot be written, the window works without evidence.
    """

    def __init__(self, folder: Path) -> None:
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.folder = folder
        self.log_file = folder / f"{stem}.log"
        self._crash_file = folder / f"{stem}.crash"
        self._lock = QLockFile(str(folder / f"{stem}.lock"))
        self._crash: TextIO | None = None
        self._noted = False
        self._handler: logging.Handler | None = None

    def begin(self) -> None:
        """Start to keep evidence."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.setStaleLockTime(0)
            self._lock.tryLock(0)
            self._crash = self._crash_file.open("w", encoding="utf-8", errors="replace")
            self._handler = logging.FileHandler(self.log_file, encoding="utf-8")
        except OSError as error:
            log.warning("no crash evidence can be kept in %s: %s", self.folder, error)
            return
        faulthandler.enable(self._crash)
        self._handler.setFormatter(logging.Formatter(FORMAT))
        root = logging.getLogger("triptych")
        root.addHandler(self._handler)
        root.setLevel(logging.INFO)

    def note(self, text: str) -> None:
        """Write into the crash file why this run ends; it stays then, even if the end is orderly."""
        if self._crash is not None:
            self._noted = True
            self._crash.write(text + "\n")
            self._crash.flush()

    def end(self) -> None:
        """The run ended as it should: keep the log, remove the rest."""
        if self._handler is not None:
            logging.getLogger("triptych").removeHandler(self._handler)
            self._handler.close()
            self._handler = None
        if self._crash is not None:
            faulthandler.disable()
            self._crash.close()
            self._crash = None
            if not self._noted:
                self._crash_file.unlink(missing_ok=True)
        self._lock.unlock()


def unexpected_ends(folder: Path) -> list[UnexpectedEnd]:
    """Runs that ended badly since the last call, newest first; tidies up old evidence too."""
    found = []
    for crash_file in sorted(folder.glob("*.crash"), reverse=True):
        lock = QLockFile(str(crash_file.with_suffix(".lock")))
        lock.setStaleLockTime(0)
        if not lock.tryLock(0):
            continue  # that run is still going
        try:
            text = crash_file.read_text(encoding="utf-8", errors="replace")
            crash_file.replace(crash_file.with_suffix(".reported"))
        except OSError as error:
            log.warning("the crash evidence %s cannot be read: %s", crash_file, error)
            continue
        finally:
            lock.unlock()
        found.append(UnexpectedEnd(crash_file.with_suffix(".log"), text[-CRASH_TAIL:]))
    for pattern in ("*.log", "*.reported"):
        for old in sorted(folder.glob(pattern), reverse=True)[KEPT_RUNS:]:
            old.unlink(missing_ok=True)
    return found


class Hooks:
    """Sends errors nobody caught, and Qt's messages, to the log and to ``tell``.

    Parameters
    ----------
    evidence
        Told about a lost display.
    tell
        ``tell(text, details)``; called in the window's thread only.
    """

    def __init__(self, evidence: Evidence, tell: Callable[[str, str], None]) -> None:
        self._evidence = evidence
        self._tell = tell
        self.window_shown = False
        """Whether Qt's fatal messages can still mean that there is no display."""
        self._before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        self._qt_before: Callable[..., object] | None = None

    def install(self) -> None:
        """Replace the hooks of interpreter and Qt."""
        sys.excepthook = self._uncaught
        threading.excepthook = self._uncaught_in_thread
        sys.unraisablehook = self._unraisable
        self._qt_before = qInstallMessageHandler(self._qt_message)

    def remove(self) -> None:
        """Put the earlier hooks back."""
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._before
        qInstallMessageHandler(self._qt_before)

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._before[0](kind, error, trace)
            return
        log.critical("uncaught error in the window", exc_info=(kind, error, trace))
        details = "".join(traceback.format_exception(kind, error, trace))
        if threading.current_thread() is threading.main_thread():
            self._tell(f"Something in the window failed: {kind.__name__}: {error}", details)

    def _uncaught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        value = args.exc_value or RuntimeError(args.exc_type.__name__)
        self._uncaught(args.exc_type, value, args.exc_traceback)

    def _unraisable(self, args: sys.UnraisableHookArgs) -> None:
        log.error("error while tidying up: %s in %r", args.exc_value, args.object)

    def _qt_message(self, kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
        if "connection broke" in text or "Lost connection" in text or "lost the Wayland" in text:
            # Qt ends the event loop (older versions: the process) now; the next start can say why.
            self._evidence.note(f"The display went away: {text}")
        qt_log.log(_QT_LEVELS.get(kind, logging.WARNING), "%s", text)
        if kind != QtMsgType.QtFatalMsg:
            return
        self._evidence.note(f"Qt: {text}")  # Qt aborts now; the fault handler adds where
        if not self.window_shown:
            sys.stderr.write(
                f"Triptych cannot open a window: {text}\n"
                "No data was touched. `bash installers/run.sh` installs the system libraries that a "
                "window needs; without a display use the command line, see `triptych --help`.\n"
            )
            self._evidence.end()
            os._exit(3)
