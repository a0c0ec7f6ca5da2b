"""What the engine is asked and what it answers, as pure data.

A :class:`JobSpec` describes work completely: the same spec on the same weights gives the same
result in any executor. While a job runs the engine emits :data:`Event` objects, exactly one of
which (``Finished``, ``Failed`` or ``Cancelled``) is terminal and the last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, bad_file, invalid_input

SPEC_SCHEMA = 1
MAX_SEED = 2**63 - 1


class JobState(StrEnum):
    """Life of a job. Terminal states never change; ``INTERRUPTED`` waits for the user's decision."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self in (
            JobState.CANCELLED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.INTERRUPTED,
        )


@dataclass(frozen=True)
class ArtifactRef:
    """A stored file, named by its content.

    Attributes
    ----------
    sha256
        Hexadecimal digest of the bytes; also where the store keeps the file.
    media_type
        For example ``image/png``.
    size
        Bytes.
    """

    sha256: str
    media_type: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        return {"sha256": self.sha256, "media_type": self.media_type, "size": self.size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArtifactRef:
        """Rebuild from :meth:`to_json`."""
        return cls(str(data["sha256"]), str(data["media_type"]), int(data["size"]))


@dataclass(frozen=True)
class JobSpec:
    """One piece of work, frozen.

    Attributes
    ----------
    kind
        Registered job kind, for example ``images.generate``.
    params
        JSON values that the kind's pydantic model accepts (checked by the runner, and by whoever
        wants to fail early).
    inputs
        Named input files: artifacts of the project, or paths.
    seed
        0 .. 2**63 - 1. All randomness of the job derives from it.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, ArtifactRef | Path] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    schema: int = SPEC_SCHEMA

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise invalid_input(
                f"The seed {self.seed} is outside 0 .. 2^63 - 1.", "Use a non-negative whole number."
            )
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal specs, equal digests, on every machine."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        inputs = {
            name: value.to_json() if isinstance(value, ArtifactRef) else {"path": str(value)}
            for name, value in self.inputs.items()
        }
        return {
            "schema": self.schema,
            "kind": self.kind,
            "params": dict(self.params),
            "inputs": inputs,
            "seed": self.seed,
            "device": self.device,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobSpec:
        """Rebuild from :meth:`to_json`.

        Raises
        ------
        EngineError
            ``bad_file`` when fields are missing, of the wrong type, or of a newer schema.
        """
        try:
            schema = int(data.get("schema", SPEC_SCHEMA))
            if schema > SPEC_SCHEMA:
                raise bad_file(
                    f"This job was written by a newer Triptych (job schema {schema}, "
                    f"this version reads up to {SPEC_SCHEMA}).",
                    "Update Triptych to run it; the file is unchanged.",
                )
            inputs: dict[str, ArtifactRef | Path] = {
                str(name): Path(value["path"]) if "path" in value else ArtifactRef.from_json(value)
                for name, value in dict(data.get("inputs", {})).items()
            }
            return cls(
                kind=str(data["kind"]),
                params=dict(data.get("params", {})),
                inputs=inputs,
                seed=int(data.get("seed", 0)),
                device=str(data.get("device", "auto")),
                schema=schema,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise bad_file(
                f"This is not a Triptych job: {type(error).__name__} at {error}.",
                "A job file is a JSON object with at least 'kind' and 'params'.",
            ) from error


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """The handler is about to run."""

    job: str
    device: str = ""


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units; never falls within a job. ``stage`` is shown to the user."""

    job: str
    done: float
    total: float
    stage: str = ""


@dataclass(frozen=True, eq=False)
class Preview:
    """What the result looks like so far: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8, RGB."""

    job: str
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """One point of a series that panels plot while the job runs; ``values`` are JSON values.

    Kept all and in order, so send a few a second, not thousands. What a series' points hold is said
    where it is made, for example in :mod:`engine.images.parallel_run`.
    """

    job: str
    series: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """A result is on disk. ``manifest`` says everything that made it."""

    job: str
    name: str
    artifact: ArtifactRef
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Warned:
    """Something the user should know about this result."""

    job: str
    message: str


@dataclass(frozen=True)
class Logged:
    """A line for the log view; ``level`` is a name of :mod:`logging`."""

    job: str
    level: str
    text: str


@dataclass(frozen=True)
class Finished:
    """Terminal: everything asked for was made. ``metrics`` are JSON values (seconds, evaluations)."""

    job: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """Terminal: the job stopped for the reason in ``error``; outputs emitted before stay."""

    job: str
    error: EngineError


@dataclass(frozen=True)
class Cancelled:
    """Terminal: the user cancelled; outputs emitted before stay."""

    job: str


@dataclass(frozen=True)
class EngineReady:
    """Not about a job: the engine (re)started and has its libraries loaded.

    ``info`` has ``device``, ``device_name``, ``memory_bytes``, ``torch``, ``pid``, ``seconds``.
    """

    info: Mapping[str, Any]
    job: ClassVar[str] = ""


@dataclass(frozen=True)
class EngineDied:
    """Not about a job: the engine process ended unasked; ``reason`` has its exit code or signal."""

    reason: str
    job: ClassVar[str] = ""


Event = (
    Started
    | Progress
    | Preview
    | Measured
    | Output
    | Warned
    | Logged
    | Finished
    | Failed
    | Cancelled
    | EngineReady
    | EngineDied
)

EVENT_TYPES: dict[str, type[Any]] = {
    cls.__name__.lower(): cls
    for cls in (
        Started, Progress, Preview, Measured, Output, Warned, Logged, Finished, Failed, Cancelled,
        EngineReady, EngineDied,
    )
}  # fmt: skip


def is_terminal(event: Event) -> bool:
    """Whether the event ends its job."""
    return isinstance(event, Finished | Failed | Cancelled)


def event_to_message(event: Event) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """JSON header and raw buffers of an event; the inverse of :func:`event_from_message`."""
    header: dict[str, Any] = {"event": type(event).__name__.lower()}
    buffers: list[bytes | memoryview] = []
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value)
            buffers.append(value.data.cast("B") if value.size else b"")
            value = {"shape": value.shape}
        elif isinstance(value, EngineError | ArtifactRef):
            value = value.to_json()
        elif isinstance(value, Mapping):
            value = dict(value)
        header[item.name] = value
    return header, buffers


def event_from_message(header: Mapping[str, Any], buffers: Sequence[bytes | memoryview]) -> Event:
    """Rebuild an event from :func:`event_to_message`."""
    kind = EVENT_TYPES[header["event"]]
    values = {item.name: header[item.name] for item in fields(kind)}
    if kind is Preview:
        array = np.frombuffer(buffers[0], dtype=np.uint8)
        values["image"] = array.reshape(values["image"]["shape"])
    elif kind is Output:
        values["artifact"] = ArtifactRef.from_json(values["artifact"])
    elif kind is Failed:
        values["error"] = EngineError.from_json(values["error"])
    event: Event = kind(**values)
    return event
