"""The events that wait for a consumer: bounded for a slow one, complete where it matters."""

from __future__ import annotations

import threading

from engine.job import Event, Logged, Preview, Progress

MAX_LOG_LINES = 2000
"""Log lines kept for a consumer that does not come; the rest is counted."""


class EventQueue:
    """Events of any thread for one consumer, in order.

    A progress or preview event replaces the one of the same job that is still waiting, and takes
    its place at the end. So the queue grows with outputs and jobs, not with time.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._events: dict[tuple[object, ...], Event] = {}
        self._serial = 0
        self._log_lines = 0
        self._lost_lines = 0
        self._closed = False

    def __len__(self) -> int:
        with self._condition:
            return len(self._events)

    def put(self, event: Event) -> None:
        """Add an event."""
        with self._condition:
            key: tuple[object, ...]
            if isinstance(event, Progress | Preview):
                key = (type(event), event.job)
                self._events.pop(key, None)
            else:
                if isinstance(event, Logged):
                    if self._log_lines >= MAX_LOG_LINES:
                        self._lost_lines += 1
                        return
                    self._log_lines += 1
                self._serial += 1
                key = (self._serial,)
            self._events[key] = event
            self._condition.notify_all()

    def get(self, timeout: float) -> list[Event]:
        """All waiting events; blocks up to ``timeout`` seconds for the first."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._events) or self._closed, timeout)
            events = list(self._events.values())
            if self._lost_lines:
                text = f"{self._lost_lines} further log lines came too fast and were left out."
                events.append(Logged("", "WARNING", text))
            self._events.clear()
            self._log_lines = self._lost_lines = 0
            return events

    def close(self) -> None:
        """Let :meth:`get` return at once from now on, also with nothing."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
