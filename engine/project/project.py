"""An open project: its folder, its lock, its repair after a crash.

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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.artifacts import ArtifactStore, storage_error
from engine.errors import EngineError, invalid_input
from engine.project.database import Database, check_header, create_database
from engine.project.history import History, ResultRecord
from engine.project.lock import ProjectLock
from engine.project.queue import JobQueue

log = logging.getLogger("triptych.project")

DATABASE = "project.sqlite"
LOCK = "project.lock"
ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Recovery:
    """What opening a project had to repair."""

    interrupted: tuple[str, ...] = ()
    """Jobs that were running when the last session ended."""
    adopted: tuple[int, ...] = ()
    """Results that were on disk but not in the database."""
    removed_partials: int = 0
    """Half-written files swept away."""


class Project(JobQueue, History):
    """An open project. Usable from several threads; a context manager.

    Made by :meth:`open`, :meth:`create` or :meth:`open_or_create`.

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
        self._lock = lock
        self._unsettled = set()
        self._database = Database(folder / DATABASE)
        try:
            self.recovered = self._recover(rebuild)
        except BaseException:
            self._database.close()
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
        with self._database.guard:
            if self._database.closed:
                return
            try:
                self._settle()
            except EngineError as error:
                log.warning("the project was closed without tidying: %s", error)
            self._database.close()
            self._lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def adopt(self) -> list[ResultRecord]:
        """Take in results that an engine process stored but did not live to report."""
        return [self.result(result) for result in self._adopt(self.store.stored())]

    # --- settings ---------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A value kept with the project."""
        rows = self._database.rows("SELECT value FROM settings WHERE key = ?", [key])
        return json.loads(rows[0][0]) if rows else default

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value with the project."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO settings VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key, json.dumps(value)],
            )

    # --- within -----------------------------------------------------------------------------------

    def _recover(self, rebuild: bool) -> Recovery:
        removed_partials = self.store.sweep()
        interrupted = self._interrupt_running()
        adopted = self._adopt(self.store.stored(settled=rebuild))
        self._settle()
        recovery = Recovery(tuple(interrupted), tuple(adopted), removed_partials)
        if recovery != Recovery():
            log.info(
                "%s: %d jobs were interrupted, %d results adopted, %d partial files removed",
                self.folder, len(interrupted), len(adopted), removed_partials,
            )  # fmt: skip
        return recovery

    def _settle(self) -> None:
        """Tidy the manifests of recorded results away, once nothing can take their rows back.

        A commit survives a kill, but only a checkpoint survives a power cut.
        """
        with self._database.guard:
            if self._unsettled:
                self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
                names, self._unsettled = self._unsettled, set()
                self.store.settle(names)
