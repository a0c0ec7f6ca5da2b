"""What a job handler may do besides computing: report, show, save, and notice a cancel."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import cancelled
from engine.job import (
    ArtifactRef,
    Event,
    JobSpec,
    Logged,
    Measured,
    Output,
    Preview,
    Progress,
    Warned,
)

MIN_PREVIEW_INTERVAL = 0.05
ATTACHMENT = "attachment"
"""The ``kind`` in the manifest of what :meth:`RunContext.attach` stores."""


class ArtifactWriter(Protocol):
    """Where results go; see :class:`engine.artifacts.ArtifactStore`."""

    def put(self, data: bytes, media_type: str, manifest: Mapping[str, Any]) -> ArtifactRef:
        """Store bytes and manifest durably; return the reference."""
        ...


class RunContext:
    """Given to a handler for one run of one job. Not thread-safe: use it from the handler's thread.

    Parameters
    ----------
    job
        The job's id, put on every event.
    spec
        What is being run.
    device
        Resolved device, for example ``cpu`` or ``cuda:0``.
    emit
        Takes every event, in order.
    cancel_requested
        Asked by :meth:`check`.
    store
        Takes every result.
    provenance
        What every manifest of this job starts with (versions, device); the runner fills it.
    attempt
        0 at first; the out-of-memory ladder raises it, and handlers use smaller batches then.
    """

    def __init__(
        self,
        job: str,
        spec: JobSpec,
        device: str,
        emit: Callable[[Event], None],
        cancel_requested: Callable[[], bool],
        store: ArtifactWriter,
        provenance: Mapping[str, Any] | None = None,
        attempt: int = 0,
    ) -> None:
        self.job = job
        self.spec = spec
        self.device = device
        self.attempt = attempt
        self._emit = emit
        self._cancel_requested = cancel_requested
        self._store = store
        self._provenance = dict(provenance or {})
        self._warnings: list[str] = []
        self._saved: dict[str, ArtifactRef] = {}
        self._kept: dict[str, ArtifactRef] = {}
        self._fraction = 0.0
        self._previewed = float("-inf")
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the handler started."""
        return time.monotonic() - self._started

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was warned of so far."""
        return tuple(self._warnings)

    def check(self) -> None:
        """Raise the ``cancelled`` error if the user cancelled.

        Handlers call it at least once per denoising step, round, frame and batch.
        """
        if self._cancel_requested():
            raise cancelled()

    def progress(self, done: float, total: float, stage: str = "") -> None:
        """Report ``done`` of ``total``; implies :meth:`check`. Never moves backwards."""
        self.check()
        fraction = done / total if total > 0 else 0.0
        self._fraction = max(self._fraction, min(1.0, fraction))
        self._emit(Progress(self.job, self._fraction * total, total, stage))

    def wants_preview(self) -> bool:
        """Whether a preview would be shown now; making one costs time, so ask first."""
        return time.monotonic() - self._previewed >= MIN_PREVIEW_INTERVAL

    def preview(self, image: NDArray[np.uint8]) -> None:
        """Show the result so far: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8 RGB."""
        self._previewed = time.monotonic()
        self._emit(Preview(self.job, image))

    def measure(self, series: str, values: Mapping[str, Any]) -> None:
        """Add a point to a series that panels plot while the job runs."""
        self._emit(Measured(self.job, series, dict(values)))

    def attach(
        self,
        name: str,
        label: str,
        data: bytes,
        media_type: str,
        details: Mapping[str, Any] | None = None,
    ) -> ArtifactRef:
        """Store what goes with the result ``name`` but is none itself, for example its trajectory.

        It is not announced and not in the history: whoever has the result finds the reference in
        its manifest, where the handler puts it. ``label`` says what it is. Raises like :meth:`save`.
        """
        manifest = {**self.manifest(f"{name}-{label}", details), "kind": ATTACHMENT, "label": label}
        # Without a job it is nobody's result, also when the project is opened again.
        return self._store.put(data, media_type, {k: v for k, v in manifest.items() if k != "job"})

    def save(
        self, name: str, data: bytes, media_type: str, details: Mapping[str, Any] | None = None
    ) -> ArtifactRef:
        """Store a result durably and announce it.

        Its manifest holds the spec, the provenance, the warnings so far and ``details``. A name
        that was saved before an out-of-memory retry keeps its first file and is not announced
        again. Raises ``invalid_input`` when the disk is full or read-only; what was saved before
        stays.
        """
        if name in self._kept:
            return self._kept[name]
        manifest = self.manifest(name, details)
        artifact = self._store.put(data, media_type, manifest)
        self._saved[name] = artifact
        self._emit(Output(self.job, name, artifact, manifest))
        return artifact

    def is_kept(self, name: str) -> bool:
        """Whether ``name`` was saved before a retry, so that making it again would be wasted."""
        return name in self._kept

    def begin_retry(self) -> None:
        """Start the next attempt of the out-of-memory ladder; the runner calls it."""
        self.attempt += 1
        self._kept.update(self._saved)

    def manifest(self, name: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Everything needed to make the result ``name`` again, JSON-ready."""
        return {
            "format": "triptych-manifest",
            "version": 1,
            "job": self.job,
            "name": name,
            "spec": self.spec.to_json(),
            **self._provenance,
            "seconds": round(self.seconds, 3),
            "warnings": list(self._warnings),
            **dict(details or {}),
        }

    def warn(self, message: str) -> None:
        """Tell the user something about this result; also kept in its manifest."""
        if message not in self._warnings:
            self._warnings.append(message)
            self._emit(Warned(self.job, message))

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Add a line to the log view."""
        self._emit(Logged(self.job, logging.getLevelName(level), text))
