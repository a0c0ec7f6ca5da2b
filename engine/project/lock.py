"""One window or program to a project: a lock that the operating system drops with its process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.artifacts import storage_error
from engine.errors import invalid_input

_PID_LENGTH = 32
# Windows locks bytes against reading as well, so lock one far behind the pid others want to read.
_LOCKED_BYTE = 1 << 30


class ProjectLock:
    """Held from construction to :meth:`release`, or to the end of the process, however it ends.

    The file stays; only the lock on it counts, so that what a crash leaves behind never blocks.

    Raises
    ------
    EngineError
        ``invalid_input`` when another holds it (the message has its process id), or when the folder
        cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(error, path.parent, "The project was not opened") from error
        try:
            taken = _try_lock(self._descriptor)
            if not taken:
                holder = os.read(self._descriptor, _PID_LENGTH).decode("ascii", "replace").strip()
                raise invalid_input(
                    f"The project {path.parent} is already open in another Triptych (process "
                    f"{holder or 'unknown'}). Nothing was changed.",
                    "Use that window, or close it first.",
                )
            os.write(self._descriptor, f"{os.getpid()}".ljust(_PID_LENGTH).encode())
        except OSError as error:
            os.close(self._descriptor)
            raise storage_error(error, path.parent, "The project was not opened") from error
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let others open the project; more than once is harmless."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        # flock, not lockf: it also refuses a second opening by the same process, and is not lost
        # when some other descriptor of the file is closed.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
