"""What a project tells about its jobs and results, as pure data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.job import ArtifactRef, JobSpec, JobState


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
        Words that must all occur in prompt, model or seed, in any case.
    model, kind
        Exactly this one.
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
    kind: str | None = None
    include_removed: bool = False

    def to_sql(self) -> tuple[str, list[Any]]:
        """A ``WHERE`` condition on the table ``results`` and its values."""
        conditions: list[str] = []
        values: list[Any] = []
        if not self.include_removed:
            conditions.append("removed = 0")
        if self.starred:
            conditions.append("starred = 1")
        for column in ("liked", "kind", "model"):
            if (value := getattr(self, column)) is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        for word in self.text.casefold().split():
            conditions.append("instr(search, ?) > 0")
            values.append(word)
        return " AND ".join(conditions) or "1", values


@dataclass(frozen=True)
class Recovery:
    """What opening a project had to repair."""

    interrupted: tuple[str, ...] = ()
    """Jobs that were running when the last session ended."""
    adopted: tuple[int, ...] = ()
    """Results that were on disk but not in the database."""
    removed_partials: int = 0
    """Half-written files swept away."""


JOB_COLUMNS = "id, spec, state, created, started, ended, error, metrics, position"
RESULT_COLUMNS = (
    "id, job, name, sha256, media_type, size, kind, seed, prompt, model, width, height, "
    "created, starred, liked, removed"
)


def job_from_row(row: tuple[Any, ...]) -> JobRecord:
    """A :class:`JobRecord` from :data:`JOB_COLUMNS`."""
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


def result_from_row(row: tuple[Any, ...]) -> ResultRecord:
    """A :class:`ResultRecord` from :data:`RESULT_COLUMNS`."""
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


def summary_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's values that lists show and filters search, as columns of ``results``."""
    spec = manifest.get("spec") or {}
    params = spec.get("params") or {}
    values: dict[str, Any] = {
        "kind": str(spec.get("kind", "")),
        "seed": _integer(manifest.get("seed", spec.get("seed"))),
        "prompt": str(manifest.get("prompt", params.get("prompt", "")) or ""),
        "model": str(manifest.get("model", params.get("model", "")) or ""),
        "width": _integer(manifest.get("width")),
        "height": _integer(manifest.get("height")),
    }
    # Folded here, not by SQLite, which knows upper and lower case of ASCII only.
    searched = (values["prompt"], values["model"], values["seed"])
    values["search"] = "\n".join("" if value is None else str(value) for value in searched).casefold()
    return values


def _integer(value: Any) -> int | None:
    """A whole number that fits a column, or None: a manifest may come from any program."""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    return None
