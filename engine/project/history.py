"""The history of a project: every result, what made it, and what the user thinks of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.artifacts import StoredResult, sidecar_name
from engine.errors import invalid_input
from engine.job import ArtifactRef
from engine.project.database import Database

_COLUMNS = (
    "id, job, name, sha256, media_type, size, kind, seed, prompt, model, width, height, "
    "created, starred, liked, removed"
)
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
    "WHERE excluded.sha256 != results.sha256 AND (:live OR excluded.created >= results.created) "
    "RETURNING id"
)


@dataclass(frozen=True)
class ResultRecord:
    """A result in the history; all of its manifest is in :meth:`engine.project.Project.manifest`."""

    id: int
    job: str
    name: str
    artifact: ArtifactRef
    kind: str
    """Kind of the job that made it, for example ``images.generate``."""
    seed: int | None
    prompt: str
    model: str
    width: int | None
    height: int | None
    created: float
    starred: bool
    liked: int
    """-1 disliked, 0 not judged, 1 liked."""
    removed: bool


@dataclass(frozen=True)
class ResultFilter:
    """Which results are wanted; the default is all that are not removed.

    Attributes
    ----------
    text
        Words that must all occur in prompt, class, model or seed, in any case.
    model, job
        Exactly this one.
    kind
        Made by a job of this kind, or of one of these.
    starred
        Only starred results.
    liked
        -1, 0 or 1: only results judged so.
    include_removed
        Also those the user removed.
    """

    text: str = ""
    model: str | None = None
    starred: bool = False
    liked: int | None = None
    kind: str | tuple[str, ...] | None = None
    job: str | None = None
    include_removed: bool = False

    def to_sql(self) -> tuple[str, list[Any]]:
        """A ``WHERE`` condition on the table ``results`` and its values."""
        conditions: list[str] = []
        values: list[Any] = []
        if not self.include_removed:
            conditions.append("removed = 0")
        if self.starred:
            conditions.append("starred = 1")
        for column in ("liked", "kind", "model", "job"):
            if (value := getattr(self, column)) is not None:
                wanted = value if isinstance(value, tuple) else (value,)
                conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values.extend(wanted)
        for word in _text(self.text).casefold().split():
            conditions.append("instr(search, ?) > 0")
            values.append(word)
        return " AND ".join(conditions) or "1", values


ALL_RESULTS = ResultFilter()


class History:
    """The part of :class:`~engine.project.Project` that knows results."""

    _database: Database
    _unsettled: set[str]

    def add_result(
        self, job: str, name: str, artifact: ArtifactRef, manifest: Mapping[str, Any]
    ) -> ResultRecord:
        """Record a stored artifact as result ``name`` of a job.

        A job has one result of each name: made again with other bytes, the new one takes the place,
        id and stars of the old one. Recording the same one twice changes nothing.
        """
        with self._database.transaction() as connection:
            _insert(connection, job, name, artifact, manifest, time.time(), live=True)
        self._unsettled.add(sidecar_name(artifact, manifest))
        return self.result_of(job, name)

    def result(self, result: int) -> ResultRecord:
        """The result with this id.

        Raises
        ------
        EngineError
            ``invalid_input`` when the project has no such result.
        """
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM results WHERE id = ?", [result])
        if not rows:
            raise invalid_input(f"The project has no result number {result}.")
        return _record(rows[0])

    def result_of(self, job: str, name: str) -> ResultRecord:
        """The result that a job made under this name.

        Raises
        ------
        EngineError
            ``invalid_input`` when the project has no such result.
        """
        query = f"SELECT {_COLUMNS} FROM results WHERE job = ? AND name = ?"
        rows = self._database.rows(query, [job, name])
        if not rows:
            raise invalid_input(f"The job {job!r} has made no result {name!r} in this project.")
        return _record(rows[0])

    def manifest(self, result: int) -> dict[str, Any]:
        """Everything that made the result with this id."""
        rows = self._database.rows("SELECT manifest FROM manifests WHERE result = ?", [result])
        if not rows:
            raise invalid_input(f"The project has no result number {result}.")
        manifest: dict[str, Any] = json.loads(rows[0][0])
        return manifest

    def results(
        self, filter: ResultFilter = ALL_RESULTS, limit: int | None = 100, offset: int = 0
    ) -> list[ResultRecord]:
        """Results that pass the filter, newest first."""
        condition, values = filter.to_sql()
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM results WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?",
            [*values, -1 if limit is None else limit, offset],
        )
        return [_record(row) for row in rows]

    def result_ids(self, filter: ResultFilter = ALL_RESULTS) -> list[int]:
        """Ids of all results that pass the filter, newest first: what a gallery scrolls through."""
        condition, values = filter.to_sql()
        # One JSON array is three times as fast as 100,000 rows; its order is not promised, so sort.
        query = f"SELECT json_group_array(id) FROM results WHERE {condition}"
        ids: list[int] = json.loads(self._database.rows(query, values)[0][0])
        ids.sort(reverse=True)
        return ids

    def count_results(self, filter: ResultFilter = ALL_RESULTS) -> int:
        """How many results pass the filter."""
        condition, values = filter.to_sql()
        query = f"SELECT count(*) FROM results WHERE {condition}"
        count: int = self._database.rows(query, values)[0][0]
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

    def _adopt(self, found: Iterable[StoredResult]) -> list[int]:
        """Record results found on disk, except those recorded already; return the new ids."""
        adopted: list[int] = []
        names: set[str] = set()
        with self._database.transaction() as connection:
            for stored in found:
                names.add(sidecar_name(stored.artifact, stored.manifest))
                job, name = stored.manifest.get("job"), stored.manifest.get("name")
                if not (isinstance(job, str) and job and isinstance(name, str) and name):
                    continue  # stored for another purpose than as a result
                result = _insert(
                    connection, job, name, stored.artifact, stored.manifest, stored.created, live=False
                )
                if result is not None:
                    adopted.append(result)
        self._unsettled |= names
        return adopted

    def _flag(self, results: Iterable[int], column: str, value: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE results SET {column} = ? WHERE id IN (SELECT value FROM json_each(?))",
                [value, json.dumps(list(results))],
            )


def _insert(
    connection: sqlite3.Connection,
    job: str,
    name: str,
    artifact: ArtifactRef,
    manifest: Mapping[str, Any],
    created: float,
    *,
    live: bool,
) -> int | None:
    """Insert or replace a result; its id, or None when it is there already.

    One that is not ``live`` but was found on disk does not replace a newer one.
    """
    values = {"job": job, "name": name, "created": created, "live": live}
    values |= artifact.to_json() | _summary(manifest)
    rows = connection.execute(_RECORD_RESULT, values).fetchall()
    if not rows:
        return None
    result: int = rows[0][0]
    text = json.dumps(dict(manifest), default=str)
    connection.execute("INSERT OR REPLACE INTO manifests VALUES (?, ?)", [result, text])
    return result


def _record(row: tuple[Any, ...]) -> ResultRecord:
    """A :class:`ResultRecord` from :data:`_COLUMNS`."""
    result, job, name, sha256, media_type, size, *summary, starred, liked, removed = row
    kind, seed, prompt, model, width, height, created = summary
    return ResultRecord(
        id=result,
        job=job,
        name=name,
        artifact=ArtifactRef(sha256, media_type, size),
        kind=kind,
        seed=seed,
        prompt=prompt,
        model=model,
        width=width,
        height=height,
        created=created,
        starred=bool(starred),
        liked=liked,
        removed=bool(removed),
    )


def _summary(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's values that lists show and filters search, as columns of ``results``.

    A manifest may come from any program: what is not of the expected type is left out.
    """
    spec = _mapping(manifest.get("spec"))
    made = {**spec, **_mapping(spec.get("params")), **manifest}
    seed = _integer(made.get("seed"))
    prompt, model = _text(made.get("prompt")), _text(made.get("model"))
    searched = (prompt, model, _text(made.get("class_name")), "" if seed is None else str(seed))
    return {
        "kind": _text(spec.get("kind")),
        "seed": seed,
        "prompt": prompt,
        "model": model,
        "width": _integer(made.get("width")),
        "height": _integer(made.get("height")),
        # Folded here, not by SQLite, which knows upper and lower case of ASCII only.
        "search": "\n".join(searched).casefold(),
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    """Text that a column can hold: half of a surrogate pair it cannot."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and -(2**63) <= value < 2**63 else None
