"""A project on disk: the queue of jobs, the history of results, the artifacts, in one folder.

::

    project.sqlite   jobs, results and settings (SQLite, write-ahead log)
    project.lock     held while the project is open
    artifacts/       see :mod:`engine.artifacts`

Every method is one transaction: when it returns, its change survives a kill of the process; when it
raises, nothing was changed. A power cut can take back the last moments of the queue, never results:
those are adopted again from ``artifacts`` when the project is opened.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.artifacts import ArtifactStore, sidecar_name, storage_error
from engine.errors import EngineError, invalid_input
from engine.job import ArtifactRef, JobSpec, JobState
from engine.project_lock import ProjectLock
from engine.project_records import (
    JOB_COLUMNS,
    RESULT_COLUMNS,
    JobRecord,
    Recovery,
    ResultFilter,
    ResultRecord,
    job_from_row,
    result_from_row,
    summary_of,
)
from engine.project_schema import check_header, connect, create_database, database_errors

__all__ = ["JobRecord", "Project", "Recovery", "ResultFilter", "ResultRecord"]

log = logging.getLogger("triptych.project")

DATABASE = "project.sqlite"
LOCK = "project.lock"
ARTIFACTS = "artifacts"
ALL_RESULTS = ResultFilter()

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

_INSERT_JOB = "INSERT INTO jobs (id, spec, state, created, position) VALUES (?, ?, ?, ?, ?)"
_RESULT_VALUES = (
    "job", "name", "sha256", "media_type", "size", "kind", "seed", "prompt", "model", "width",
    "height", "search", "created",
)  # fmt: skip
# A job run again after an interruption makes its results again: the newer one takes the place of
# the older one with its stars; one recorded already stays as it is.
_RECORD_RESULT = (
    f"INSERT INTO results ({', '.join(_RESULT_VALUES)}) "
    f"VALUES ({', '.join(f':{name}' for name in _RESULT_VALUES)}) "
    "ON CONFLICT (job, name) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _RESULT_VALUES[2:])} "
    "WHERE excluded.sha256 != results.sha256 AND excluded.created >= results.created "
    "RETURNING id"
)


class Project:
    """An open project. Usable from several threads; made by :meth:`open`, :meth:`create` or
    :meth:`open_or_create`, and a context manager.

    Attributes
    ----------
    folder
        Where it is.
    store
        Its artifacts.
    recovered
        What opening it had to repair.
    """

    def __init__(self, folder: Path, lock: ProjectLock, *, rebuild: bool) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / ARTIFACTS)
        self._path = folder / DATABASE
        self._folder_lock = lock
        self._guard = threading.RLock()
        self._unsettled: list[str] = []
        self._connection: sqlite3.Connection | None = connect(self._path)
        try:
            self.recovered = self._recover(rebuild)
        except BaseException:
            self._connection.close()
            raise

    # --- opening and closing ----------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path | str) -> Project:
        """Make a project in ``folder`` (made too if missing) and open it.

        Results found in the folder, left by a project whose database was lost, are taken in.

        Raises
        ------
        EngineError
            ``invalid_input`` when there is one already, or the folder cannot be written.
        """
        folder = Path(folder).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder, "No project was made") from error
        return cls._locked(folder, create=True)

    @classmethod
    def open(cls, folder: Path | str) -> Project:
        """Open the project in ``folder``; :attr:`recovered` says what had to be repaired.

        Raises
        ------
        EngineError
            ``invalid_input`` when there is none, it is open elsewhere, or it cannot be written;
            ``bad_file`` when its database is damaged or of a newer Triptych. It stays as it was.
        """
        folder = Path(folder).absolute()
        if not (folder / DATABASE).is_file():
            raise invalid_input(
                f"There is no Triptych project in {folder}; nothing was changed.",
                f"Choose the folder that contains {DATABASE}, or make a new project.",
            )
        check_header(folder / DATABASE)  # before the lock leaves a file in a folder that is not ours
        return cls._locked(folder, create=False)

    @classmethod
    def open_or_create(cls, folder: Path | str) -> Project:
        """Open the project in ``folder``, or make it when there is none."""
        return cls.open(folder) if (Path(folder) / DATABASE).is_file() else cls.create(folder)

    @classmethod
    def _locked(cls, folder: Path, *, create: bool) -> Project:
        lock = ProjectLock(folder / LOCK)
        try:
            if create:
                if (folder / DATABASE).exists():
                    raise invalid_input(
                        f"There is a Triptych project in {folder} already; nothing was changed.",
                        "Open it, or choose another folder for the new one.",
                    )
                create_database(folder / DATABASE)
            return cls(folder, lock, rebuild=create)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Write everything to its final place and let others open it; more than once is harmless."""
        with self._guard:
            if self._connection is None:
                return
            try:
                self._settle()
            except EngineError as error:
                log.warning("the project was closed without tidying: %s", error)
            self._connection.close()
            self._connection = None
            self._folder_lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- jobs -------------------------------------------------------------------------------------

    def add_job(self, spec: JobSpec) -> str:
        """Put a job at the end of the queue; return its id."""
        return self.add_jobs([spec])[0]

    def add_jobs(self, specs: Iterable[JobSpec]) -> list[str]:
        """Put jobs at the end of the queue, all or none; return their ids."""
        now = time.time()
        texts = [json.dumps(spec.to_json()) for spec in specs]
        ids = [uuid.uuid4().hex for _ in texts]
        with self._transaction() as connection:
            first = _end_of_queue(connection)
            connection.executemany(
                _INSERT_JOB,
                (
                    (job, text, JobState.QUEUED.value, now, first + index)
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
        rows = self._rows(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", [job])
        if not rows:
            raise _no_job(job)
        return job_from_row(rows[0])

    def jobs(
        self, states: Collection[JobState] | None = None, limit: int | None = None, offset: int = 0
    ) -> list[JobRecord]:
        """Jobs in these states (None: all), in the order of the queue."""
        wanted = [JobState(state).value for state in (JobState if states is None else states)]
        rows = self._rows(
            f"SELECT {JOB_COLUMNS} FROM jobs WHERE state IN (SELECT value FROM json_each(?)) "
            "ORDER BY position LIMIT ? OFFSET ?",
            [json.dumps(wanted), -1 if limit is None else limit, offset],
        )
        return [job_from_row(row) for row in rows]

    def next_queued(self) -> JobRecord | None:
        """The job to run next."""
        queued = self.jobs([JobState.QUEUED], limit=1)
        return queued[0] if queued else None

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, zeros included."""
        found = dict(self._rows("SELECT state, count(*) FROM jobs GROUP BY state"))
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
        with self._transaction() as connection:
            state = _state_of(connection, job)
            if state is not JobState.QUEUED:
                raise invalid_input(
                    f"The job is {state} and not in the queue any more; the order was not changed."
                )
            if before is None:
                position = _end_of_queue(connection)
            else:
                _state_of(connection, before)
                query = "SELECT position FROM jobs WHERE id = ?"
                position = connection.execute(query, [before]).fetchone()[0]
                connection.execute(
                    "UPDATE jobs SET position = position + 1 WHERE position >= ?", [position]
                )
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
        with self._transaction() as connection:
            present = _state_of(connection, job)
            if present not in sources or present not in _PREDECESSORS[state]:
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
                    "metrics": json.dumps(dict(metrics or {})),
                    "now": time.time(),
                    "ended": state.terminal,
                },
            )

    # --- results ----------------------------------------------------------------------------------

    def add_result(
        self, job: str, name: str, artifact: ArtifactRef, manifest: Mapping[str, Any]
    ) -> ResultRecord:
        """Record a stored artifact as result ``name`` of a job.

        A job has one result of each name: made again with other bytes, the new one takes the place,
        id and stars of the old one. Recording the same one twice changes nothing.
        """
        with self._transaction() as connection:
            _record_result(connection, job, name, artifact, manifest, time.time())
            query = f"SELECT {RESULT_COLUMNS} FROM results WHERE job = ? AND name = ?"
            row = connection.execute(query, [job, name]).fetchone()
        self._unsettled.append(sidecar_name(artifact, manifest))
        return result_from_row(row)

    def result(self, result: int) -> ResultRecord:
        """The result with this id.

        Raises
        ------
        EngineError
            ``invalid_input`` when the project has no such result.
        """
        rows = self._rows(f"SELECT {RESULT_COLUMNS} FROM results WHERE id = ?", [result])
        if not rows:
            raise invalid_input(f"The project has no result number {result}.")
        return result_from_row(rows[0])

    def manifest(self, result: int) -> dict[str, Any]:
        """Everything that made the result with this id."""
        rows = self._rows("SELECT manifest FROM manifests WHERE result = ?", [result])
        if not rows:
            raise invalid_input(f"The project has no result number {result}.")
        manifest: dict[str, Any] = json.loads(rows[0][0])
        return manifest

    def results(
        self, filter: ResultFilter = ALL_RESULTS, limit: int | None = 100, offset: int = 0
    ) -> list[ResultRecord]:
        """Results that pass the filter, newest first."""
        condition, values = filter.to_sql()
        rows = self._rows(
            f"SELECT {RESULT_COLUMNS} FROM results WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?",
            [*values, -1 if limit is None else limit, offset],
        )
        return [result_from_row(row) for row in rows]

    def result_ids(self, filter: ResultFilter = ALL_RESULTS) -> list[int]:
        """Ids of all results that pass the filter, newest first: what a gallery scrolls through."""
        condition, values = filter.to_sql()
        # One JSON array is three times as fast as 100,000 rows; its order is not promised, so sort.
        query = f"SELECT json_group_array(id) FROM results WHERE {condition}"
        ids: list[int] = json.loads(self._rows(query, values)[0][0])
        ids.sort(reverse=True)
        return ids

    def count_results(self, filter: ResultFilter = ALL_RESULTS) -> int:
        """How many results pass the filter."""
        condition, values = filter.to_sql()
        count: int = self._rows(f"SELECT count(*) FROM results WHERE {condition}", values)[0][0]
        return count

    def set_starred(self, results: Iterable[int], starred: bool) -> None:
        """Star results or take their stars away."""
        self._flag(results, "starred", int(starred))

    def set_liked(self, results: Iterable[int], liked: int) -> None:
        """Judge results: -1 disliked, 0 not judged, 1 liked."""
        if liked not in (-1, 0, 1):
            raise invalid_input(f"A rating of {liked} does not exist.", "Use -1, 0 or 1.")
        self._flag(results, "liked", liked)

    def set_removed(self, results: Iterable[int], removed: bool) -> None:
        """Hide results from the history or bring them back; their files stay."""
        self._flag(results, "removed", int(removed))

    def _flag(self, results: Iterable[int], column: str, value: int) -> None:
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE results SET {column} = ? WHERE id IN (SELECT value FROM json_each(?))",
                [value, json.dumps(list(results))],
            )

    # --- settings ---------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A value kept with the project."""
        rows = self._rows("SELECT value FROM settings WHERE key = ?", [key])
        return json.loads(rows[0][0]) if rows else default

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value with the project."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO settings VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key, json.dumps(value)],
            )

    # --- within -----------------------------------------------------------------------------------

    def _recover(self, rebuild: bool) -> Recovery:
        found, removed_partials = self.store.recover(everything=rebuild)
        adopted: list[int] = []
        with self._transaction() as connection:
            interrupted = connection.execute(
                "UPDATE jobs SET state = ?, ended = ? WHERE state IN (?, ?) RETURNING id",
                [
                    JobState.INTERRUPTED.value,
                    time.time(),
                    JobState.RUNNING.value,
                    JobState.CANCELLING.value,
                ],
            ).fetchall()
            for stored in found:
                job, name = stored.manifest.get("job"), stored.manifest.get("name")
                if job and name:
                    adopted += _record_result(
                        connection, job, name, stored.artifact, stored.manifest, stored.created
                    )
        self._unsettled = [sidecar_name(stored.artifact, stored.manifest) for stored in found]
        self._settle()
        recovery = Recovery(tuple(row[0] for row in interrupted), tuple(adopted), removed_partials)
        if recovery != Recovery():
            log.info(
                "%s: %d jobs were interrupted, %d results adopted, %d partial files removed",
                self.folder, len(interrupted), len(adopted), removed_partials,
            )  # fmt: skip
        return recovery

    def _settle(self) -> None:
        """Tidy the recorded manifests away, once nothing can take their rows back.

        A commit survives a kill, but only a checkpoint survives a power cut.
        """
        if self._unsettled:
            self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
            self.store.settle(self._unsettled)
            self._unsettled = []

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise invalid_input(
                f"The project {self.folder} is closed; nothing was changed.", "Open it again."
            )
        return self._connection

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._guard, database_errors(self._path):
            return self._open_connection().execute(query, tuple(values)).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard, database_errors(self._path):
            connection = self._open_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _end_of_queue(connection: sqlite3.Connection) -> int:
    position: int = connection.execute("SELECT coalesce(max(position), 0) + 1 FROM jobs").fetchone()[0]
    return position


def _state_of(connection: sqlite3.Connection, job: str) -> JobState:
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", [job]).fetchone()
    if row is None:
        raise _no_job(job)
    return JobState(row[0])


def _no_job(job: str) -> EngineError:
    return invalid_input(f"The project has no job {job!r}; nothing was changed.")


def _record_result(
    connection: sqlite3.Connection,
    job: str,
    name: str,
    artifact: ArtifactRef,
    manifest: Mapping[str, Any],
    created: float,
) -> list[int]:
    """Insert or replace a result; its id, or nothing when this or a newer one is there already."""
    values = {"job": job, "name": name, "created": created}
    values |= artifact.to_json() | summary_of(manifest)
    ids = [row[0] for row in connection.execute(_RECORD_RESULT, values).fetchall()]
    text = json.dumps(dict(manifest))
    connection.executemany(
        "INSERT OR REPLACE INTO manifests VALUES (?, ?)", [(id_, text) for id_ in ids]
    )
    return ids
