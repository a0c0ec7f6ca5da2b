"""Places to run jobs, all behind one protocol.

:class:`~engine.executors.inline.InlineExecutor` runs them on a thread of this process,
:class:`~engine.executors.process.ProcessExecutor` in a child process that may be killed.
"""

from __future__ import annotations

from typing import Protocol

from engine.job import Event, JobSpec


class Executor(Protocol):
    """Runs jobs one after another, in the order of submission.

    Every submitted job ends in exactly one terminal event, whatever happens to the place it runs
    in. All methods may be called from any thread and return at once, except where they say so.
    """

    def submit(self, spec: JobSpec, job_id: str | None = None) -> str:
        """Queue a job and return its id (``job_id``, or a new one).

        Raises
        ------
        EngineError
            ``invalid_input`` when that id is waiting or running already or the parameters are not
            JSON values; ``engine_died`` when the executor was closed or cannot start.
        """
        ...

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop. Unknown and finished jobs are ignored."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """Everything that happened since the last call, in order.

        Blocks until there is something, the executor is closed, or ``timeout`` seconds are over.
        For a consumer that is slow, only the newest progress and the newest preview of a job are
        kept; outputs and terminal events always arrive.
        """
        ...

    def close(self) -> None:
        """Cancel what runs and waits, and free everything; events stay readable. Idempotent."""
        ...
