"""Comparing a model's files with their checksums, and keeping what was found."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from desktop.shell.model_desk import ModelDesk
from desktop.shell.model_facts import InstalledModel
from desktop.shell.models_model import ModelsModel
from desktop.shell.slow_work import SlowWork
from desktop.widgets.parts import percent
from engine.errors import EngineError, ErrorCode


class VerifyingModel(QObject):
    """Verifies one model at a time and writes the result into the table.

    Attributes
    ----------
    changed
        A check began or ended.
    said
        How far it is, or that all is well.
    found
        The :class:`EngineError` that says what is damaged.
    """

    changed = Signal()
    said = Signal(str)
    found = Signal(object)

    def __init__(self, desk: ModelDesk, table: ModelsModel, parent: QObject) -> None:
        super().__init__(parent)
        self._desk, self._table = desk, table
        self.work = SlowWork(self)
        self.work.progressed.connect(self._show_progress)

    @property
    def busy(self) -> bool:
        """Whether a model is being verified."""
        return self.work.busy

    def verify(self, model: InstalledModel) -> None:
        """Verify a model, unless another one is being verified."""
        if self.busy:
            return
        desk, name = self._desk, model.name
        self._table.set_checking(frozenset({name}))
        self.work.start(
            lambda meter: desk.verify(name, meter),
            lambda _info: self._end(replace(model, error=None, verified=True)),
            lambda error: self._fail(model, error),
        )
        self.changed.emit()

    def _end(self, model: InstalledModel) -> None:
        self._table.set_checking(frozenset())
        self._table.replace(model)
        self.said.emit(f"{model.title}: all files are as they were installed.")
        self.changed.emit()

    def _fail(self, model: InstalledModel, error: EngineError) -> None:
        self._table.set_checking(frozenset())
        if error.code is not ErrorCode.CANCELLED:
            self._table.replace(replace(model, error=error, verified=False))
            self.found.emit(error)
        self.changed.emit()

    def _show_progress(self, done: float, total: float, stage: str) -> None:
        share = percent(done / total) if total > 0 else ""
        self.said.emit(" · ".join(filter(None, (stage.capitalize(), share))))


def keep_check(model: InstalledModel, known: InstalledModel | None) -> InstalledModel:
    """What was just read, with what a check of the same model found before.

    Damage stays until it is checked again; that all was well is true of the same content only.
    """
    if known is None or model.info is None or known.info is None or model.error is not None:
        return model
    if model.info.path != known.info.path:
        return model
    same = model.info.sha256 == known.info.sha256
    return replace(model, error=known.error, verified=known.verified and same)
