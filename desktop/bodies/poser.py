"""The window's side of the poser: asks a process of its own, never waits.

One request is under way at a time. While it is, a newer one of the same purpose replaces an older one
that still waits: a hand that drags a keypoint is followed as fast as bodies are solved, not later.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from engine import child
from engine.bodies.poser_messages import pack, unpack
from engine.errors import EngineError, ErrorCode
from engine.pipe import PipeError, read_frame, write_frame

log = logging.getLogger("triptych.window")

POLL_INTERVAL_MS = 5
Done = Callable[[dict[str, Any]], object]
Failed = Callable[[EngineError], object]


@dataclass
class _Request:
    values: Mapping[str, Any]
    done: Done
    failed: Failed | None


class _Conversation:
    """A thread and the process it talks to. Holds no QObject, so that none can die there."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[dict[str, Any] | EngineError] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="poser", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process and the thread."""
        self._closed = True
        self.requests.put(None)
        process = self._process
        if process is not None:
            process.kill()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (values := self.requests.get()) is not None and not self._closed:
            try:
                self.answers.put(self._ask(values))
            except (OSError, PipeError, ValueError) as error:
                self._end()
                self.answers.put(
                    EngineError(
                        ErrorCode.ENGINE_DIED,
                        "The process that poses bodies ended; it is started again. Your corrections "
                        "are kept.",
                        "If it happens again, the log (Ctrl+L) says why.",
                        str(error),
                    )
                )
        self._end()

    def _ask(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                child.command("engine.bodies.poser_child"),
                env=child.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        write_frame(process.stdin, *pack(values))
        process.stdin.flush()
        frame = read_frame(process.stdout)
        if frame is None:
            raise PipeError(f"it ended with the code {process.wait()}")
        return unpack(*frame)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class PoserClient(QObject):
    """See the module.

    Attributes
    ----------
    restarted
        The process ended and starts anew with the next request: it knows no bodies any more.
    """

    restarted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._conversation: _Conversation | None = None
        self._waiting: OrderedDict[str, _Request] = OrderedDict()
        self._current: _Request | None = None
        self._count = 0
        self._timer = QTimer(self, interval=POLL_INTERVAL_MS)
        self._timer.timeout.connect(self._collect)
        held: list[_Conversation] = []
        self._held = held
        # Not a bound method: the object is half gone when this runs.
        self.destroyed.connect(lambda: [one.close() for one in held])

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._current is not None or bool(self._waiting)

    def ask(
        self,
        values: Mapping[str, Any],
        done: Done,
        failed: Failed | None = None,
        purpose: str | None = None,
    ) -> None:
        """Send a request of :class:`engine.bodies.poser.Poser`.

        Parameters
        ----------
        values
            With ``"do"``.
        done, failed
            Called in the window's thread, one of them, unless a newer request took its place.
        purpose
            A waiting request of the same purpose is dropped; None: none is.
        """
        self._count += 1
        key = purpose or f"#{self._count}"
        self._waiting.pop(key, None)
        self._waiting[key] = _Request(values, done, failed)
        self._send()
        self._timer.start()

    def close(self) -> None:
        """End the process; nobody is called any more."""
        self._timer.stop()
        self._waiting.clear()
        self._current = None
        for conversation in self._held:
            conversation.close()
        self._held.clear()
        self._conversation = None

    def _send(self) -> None:
        if self._current is not None or not self._waiting:
            return
        if self._conversation is None:
            self._conversation = _Conversation()
            self._held.append(self._conversation)
        _, self._current = self._waiting.popitem(last=False)
        self._conversation.requests.put(self._current.values)

    def _collect(self) -> None:
        while self._conversation is not None and self._current is not None:
            try:
                answer = self._conversation.answers.get_nowait()
            except queue.Empty:
                return
            request, self._current = self._current, None
            error = answer if isinstance(answer, EngineError) else None
            if not isinstance(answer, EngineError) and not answer.get("ok"):
                error = EngineError.from_json(answer["error"])
            self._send()
            if error is None:
                request.done(answer)  # type: ignore[arg-type]
            else:
                if error.detail:
                    log.error("the poser: %s", error.detail)
                if error.code is ErrorCode.ENGINE_DIED:
                    self.restarted.emit()
                if request.failed is not None:
                    request.failed(error)
        if not self.busy:
            self._timer.stop()
