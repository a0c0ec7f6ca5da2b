"""Edits of a scene on the project's undo stack; undoing and redoing go through the scene's own log."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QUndoCommand, QUndoStack

from desktop.tracks.model import TracksModel
from engine.tracks.scene import Edit, Scene

MOST = 1000
"""Edits of earlier sessions that can be taken back."""


class EditCommand(QUndoCommand):
    """An edit that the scene has recorded already."""

    def __init__(self, undo: SceneUndo, scene: Scene, text: str) -> None:
        super().__init__(text)
        self._undo, self._scene = undo, scene
        self._done = True

    def redo(self) -> None:
        """Again; nothing, when it is pushed."""
        if self._done:
            self._done = False
        elif not self._undo.travel(self._scene, forward=True):
            self.setObsolete(True)

    def undo(self) -> None:
        """Take it back."""
        if not self._undo.travel(self._scene, forward=False):
            self.setObsolete(True)


class SceneUndo:
    """Keeps the stack and the scene's log together."""

    def __init__(self, stack: QUndoStack) -> None:
        self._stack = stack
        self._model: TracksModel | None = None
        self._resting = False

    def attach(self, model: TracksModel) -> None:
        """The model whose scene it is."""
        self._model = model
        model.recorded.connect(self._recorded)
        model.scene_opened.connect(self._offer)

    def travel(self, scene: Scene, *, forward: bool) -> bool:
        """Undo or redo in the scene; False where it is not open any more."""
        assert self._model is not None
        return self._resting or self._model.travel(scene, forward=forward)

    def _recorded(self, text: str) -> None:
        assert self._model is not None
        assert self._model.scene is not None
        self._stack.push(EditCommand(self, self._model.scene, text))

    def _offer(self) -> None:
        """What earlier sessions did can be taken back, and what they took back be done again."""
        assert self._model is not None
        scene = self._model.scene
        assert scene is not None
        done: Sequence[Edit] = scene.undoable()[-MOST:]
        undone = scene.redoable()
        for edit in (*done, *reversed(undone)):
            self._stack.push(EditCommand(self, scene, edit.text or edit.kind))
        self._resting = True
        for _ in undone:
            self._stack.undo()
        self._resting = False
