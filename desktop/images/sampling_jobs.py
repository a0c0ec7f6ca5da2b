"""The jobs behind the Sampling tab that make further pictures: parallel twins, rests, variations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.images import twins
from desktop.images.model import ImagesModel
from desktop.services import Services


class SamplingJobs(QObject):
    """Starts them.

    Signals
    -------
    submitted(str)
        A job was queued that the user wants to watch.
    """

    submitted = Signal(str)

    def __init__(self, services: Services, model: ImagesModel, parent: QObject) -> None:
        super().__init__(parent)
        self._services, self._model = services, model

    def sample_parallel(self, result: int) -> None:
        """Make the same picture in rounds.

        Raises
        ------
        EngineError
            ``invalid_input`` when its sampler cannot be solved in rounds.
        """
        spec = twins.parallel_twin(self._services.project.manifest(result))
        self.submitted.emit(self._model.submit(spec).id)

    def go_on(self, result: int) -> None:
        """Solve the rest of a picture that was stopped.

        Raises
        ------
        EngineError
            ``invalid_input`` when it is finished, or its states were not kept.
        """
        spec = twins.continuation(self._services.project.manifest(result))
        self.submitted.emit(self._model.submit(spec).id)

    def vary(self, result: int, step: int, changes: Mapping[str, Any], *, keep: bool) -> None:
        """Vary a picture from one of its steps; see :func:`desktop.images.twins.variation`."""
        project = self._services.project
        manifest, artifact = project.manifest(result), project.result(result).artifact
        spec = twins.variation(manifest, artifact, step, changes, keep_trajectory=keep)
        self.submitted.emit(self._model.submit(spec).id)
