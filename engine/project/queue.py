"""The queue of a project: which jobs there are, in which order, and what became of them."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError, invalid_input
from engine.job import JobSpec, JobState
from engine.project.database import Database

# The only way from state to state, enforced by `_change_state` and nowhere else. Nothing leads out
# of cancelled, succeeded and failed.
_PREDECESSORS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.INTERRUPTED}),
    JobState.RUNNING: frozenset({JobState.QUEUED}),
    JobState.CANCELLING: frozenset({JobState.RUNNING}),
    JobState.CANCELLED: frozenset(
        {JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING, JobState.INTERRUPTED}
    ),
    JobState.SUCCEEDED: frozenset({JobState.RUNNING, JobState.CANCELLING}),
    JobState.FAILED: frozenset({JobState.RUNNING, JobState.CANCELLING}),
    JobState.INTERRUPTED: frozenset({JobState.RUNNING, JobState.CANCELLING}),
}

_COLUMNS = "id, spec, state, created, started, ended, error, metrics, position"
# Between the positions of neighbours, so that moving a job changes no other, nearly always.
_GAP = 1 << 20

_INSERT_JOB = "INSERT INTO jobs (id, spec, state, created, position) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class JobRecord:
    """A job in the queue or the history. Times are unix seconds."""

    id: str
    spec: JobSpec
    state: JobState
    created: float
    started: float | None
    ended: float | None
    error: EngineError | None
    metrics: Mapping[str, Any]
    position: int
    """Place in the queue: lower runs first."""


class JobQueue:
    """The part of :class:`~engine.project.Project` that knows jobs."""

    _database: Database

    def add_job(self, spec: JobSpec) -> str:
        """Put a job at the end of the queue; return its id."""
        return self.add_jobs([spec])[0]

    def add_jobs(self, specs: Iterable[JobSpec]) -> list[str]:
        """Put jobs at the end of the queue, all or none; return their ids.

        Raises
        ------
        EngineError
            ``invalid_input`` when parameters are not JSON values.
        """
        now = time.time()
        try:
            texts = [json.dumps(spec.to_json()) for spec in specs]
        except (TypeError, ValueError) as error:
            raise invalid_input(f"A job has parameters that cannot be kept: {error}.") from error
        ids = [uuid.uuid4().hex for _ in texts]
        with self._database.transaction() as connection:
            first = _end_of_queue(connection)
            connection.executemany(
                _INSERT_JOB,
                (
                    (job, text, JobState.QUEUED.value, now, first + index * _GAP)
                    for index, (job, text) in enumerate(zip(ids, texts, strict=True))
                ),
            )
        return ids

    def job(self, job: str) -> JobRecord:
        """The job with this id.

        Raises
        ------
        EngineError
            ``invalid_input`` when the project has no such job.
        """
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", [job])
        if not rows:
            raise _no_job(job)
        return _record(rows[0])

    def jobs(
        self, states: Collection[JobState] | None = None, limit: int | None = None, offset: int = 0
    ) -> list[JobRecord]:
        """Jobs in these states (None: all), in the order of the queue."""
        wanted = [] if states is None else [JobState(state).value for state in states]
        condition = "1" if states is None else f"state IN ({', '.join('?' * len(wanted))})"
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM jobs WHERE {condition} ORDER BY position LIMIT ? OFFSET ?",
            [*wanted, -1 if limit is None else limit, offset],
        )
        return [_record(row) for row in rows]

    def last_jobs(self, limit: int) -> list[JobRecord]:
        """The last jobs of the queue, in its order."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM jobs ORDER BY position DESC LIMIT ?", [limit]
        )
        return [_record(row) for row in reversed(rows)]

    def next_queued(self) -> JobRecord | None:
        """The job to run next."""
        queued = self.jobs([JobState.QUEUED], limit=1)
        return queued[0] if queued else None

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, zeros included."""
        found = dict(self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: found.get(state.value, 0) for state in JobState}

    def move_job(self, job: str, before: str | None) -> None:
        """Let a queued job run just before another one; ``None``: after all others.

        Raises
        ------
        EngineError
            ``invalid_input`` when ``job`` is not queued any more, or either is unknown.
        """
        if job == before:
            return
        with self._database.transaction() as connection:
            state = _state_of(connection, job)
            if state is not JobState.QUEUED:
                raise invalid_input(
                    f"The job is {state} and not in the queue any more; the order was not changed."
                )
            if before is None:
                position = _end_of_queue(connection)
            else:
                _state_of(connection, before)
                position = _place_before(connection, before)
            connection.execute("UPDATE jobs SET position = ? WHERE id = ?", [position, job])

    def set_job_state(
        self,
        job: str,
        state: JobState,
        *,
        error: EngineError | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the next state of a job.

        Raises
        ------
        EngineError
            ``invalid_input`` when its present state does not lead there: what is cancelled,
            succeeded or failed stays so.
        """
        self._change_state(job, state, _PREDECESSORS[state], error, metrics)

    def requeue(self, job: str) -> None:
        """Queue an interrupted job again, where it was: before everything added after it."""
        self._change_state(job, JobState.QUEUED, {JobState.INTERRUPTED})

    def discard(self, job: str) -> None:
        """Cancel a job that is queued or interrupted."""
        self._change_state(job, JobState.CANCELLED, {JobState.QUEUED, JobState.INTERRUPTED})

    def _change_state(
        self,
        job: str,
        state: JobState,
        sources: Collection[JobState],
        error: EngineError | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        with self._database.transaction() as connection:
            present = _state_of(connection, job)
            if present not in sources:
                raise invalid_input(
                    f"The job is {present} and cannot become {state}; it stays {present}.",
                    "Run it again as a new job." if present.terminal else "",
                )
            connection.execute(
                "UPDATE jobs SET state = :state, error = :error, metrics = :metrics, "
                "started = CASE :state WHEN 'running' THEN :now WHEN 'queued' THEN NULL "
                "ELSE started END, ended = CASE WHEN :ended THEN :now END WHERE id = :job",
                {
                    "job": job,
                    "state": state.value,
                    "error": json.dumps(error.to_json()) if error else None,
                    "metrics": json.dumps(dict(metrics or {}), default=str),
                    "now": time.time(),
                    "ended": state.terminal,
                },
            )

    def _interrupt_running(self) -> list[str]:
        """Mark what the last session left running; return the ids."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "UPDATE jobs SET state = ?, ended = ? WHERE state IN (?, ?) RETURNING id",
                [JobState.INTERRUPTED, time.time(), JobState.RUNNING, JobState.CANCELLING],
            ).fetchall()
        return [row[0] for row in rows]


def _end_of_queue(connection: sqlite3.Connection) -> int:
    query = "SELECT coalesce(max(position), 0) FROM jobs"
    last: int = connection.execute(query).fetchone()[0]
    return last + _GAP


def _place_before(connection: sqlite3.Connection, job: str) -> int:
    """A free position right before a job; makes room when there is none."""
    query = "SELECT position FROM jobs WHERE id = ?"
    following: int = connection.execute(query, [job]).fetchone()[0]
    query = "SELECT coalesce(max(position), ? - 2 * ?) FROM jobs WHERE position < ?"
    preceding: int = connection.execute(query, [following, _GAP, following]).fetchone()[0]
    if following - preceding < 2:
        query = "UPDATE jobs SET position = position + ? WHERE position >= ?"
        connection.execute(query, [_GAP, following])
        following += _GAP
    return (preceding + following) // 2


def _state_of(connection: sqlite3.Connection, job: str) -> JobState:
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", [job]).fetchone()
    if row is None:
        raise _no_job(job)
    return JobState(row[0])


def _no_job(job: str) -> EngineError:
    return invalid_input(f"The project has no job {job!r}; nothing was changed.")


def _record(row: tuple[Any, ...]) -> JobRecord:
    """A :class:`JobRecord` from :data:`_COLUMNS`."""
    job, spec, state, created, started, ended, error, metrics, position = row
    return JobRecord(
        id=job,
        spec=JobSpec.from_json(json.loads(spec)),
        state=JobState(state),
        created=created,
        started=started,
        ended=ended,
        error=EngineError.from_json(json.loads(error)) if error else None,
        metrics=json.loads(metrics),
        position=position,
    )
