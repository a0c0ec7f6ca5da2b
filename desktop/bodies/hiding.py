"""What is painted as hidden: keypoints below it count as unseen, and the pose follows."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QObject

from desktop.actions import Actions
from desktop.bodies.figures import painting, strokes_of
from desktop.bodies.people import Parts, People
from desktop.bodies.person_edit import PersonEdit
from engine.bodies.occlusion import Stroke

HOW = "Paint over what is hidden of the selected person."
UNUSED = {
    "ik": "Inverse kinematics cannot use this: choose NIKI.",
    "fit": "The fit leaves hidden limbs in a usual pose; NIKI guesses them better.",
}
"""By method, what is to be said to who paints."""


class Hiding(QObject):
    """See the module."""

    def __init__(self, people: People, parts: Parts, actions: Actions, parent: QObject) -> None:
        super().__init__(parent)
        self._people, self._parts = people, parts
        stage = parts.stage
        brush = stage.brush
        brush.moving.connect(self._moving)
        brush.stroked.connect(self._stroked)
        stage.hide_tool.toggled.connect(self._say)
        people.updated.connect(lambda: self._say(stage.hide_tool.isChecked()))
        for name, title, key, icon, do in (
            ("brush", "Paint what is hidden", "B", "paint-brush", stage.hide_tool.click),
            ("eraser", "Erase what was painted", "E", "eraser", stage.erase_tool.click),
            ("brush_smaller", "Smaller brush", "[", "minus", lambda: brush.grow(-1)),
            ("brush_larger", "Larger brush", "]", "plus", lambda: brush.grow(1)),
            ("unhide", "Wipe off all that was painted of this person", "", "trash", self.wipe),
        ):
            actions.define(f"bodies.{name}", title, key, icon, workspace="bodies")
            actions.connect(f"bodies.{name}", do)

    def _moving(self, stroke: Stroke) -> None:
        """The pose follows while the hand moves, whenever another keypoint is covered or laid bare."""
        people, at = self._people, self._people.selected
        if at >= 0:
            before = people.figures[at].seen.confidence
            kept = strokes_of(people.paintings.get(people.edit_key(at)))
            people.show_painting(at, (*kept, stroke))
            if not np.array_equal(before, people.figures[at].seen.confidence):
                people.solve(at)

    def _stroked(self, stroke: Stroke) -> None:
        people, at = self._people, self._people.selected
        if at < 0:
            return
        key = people.edit_key(at)
        before = people.paintings.get(key)
        kept = strokes_of(before)
        if stroke.erases and not kept:
            people.show_painting(at, ())
            return
        text = "erase what is hidden" if stroke.erases else "paint what is hidden"
        after = painting((*kept, stroke), people.figures[at].recovered.method)
        self._keep(text, key, before, after)

    def wipe(self) -> None:
        """Nothing of the selected person is hidden by hand any more."""
        people = self._people
        if people.selected >= 0:
            key = people.edit_key(people.selected)
            before = people.paintings.get(key)
            if before is not None:
                self._keep("wipe off what is hidden", key, before, None)

    def _keep(self, text: str, key: str, before: Any, after: Any) -> None:
        people = self._people
        command = PersonEdit(text, people.apply_painting, people.result, key, before, after)
        self._parts.undo.push(command)

    def _say(self, painting: bool) -> None:
        """What painting does with the selected person's method."""
        if painting and self._people.selected >= 0:
            figure = self._people.figures[self._people.selected]
            hidden = int((figure.seen.confidence != figure.recovered.person.confidence).sum())
            told = f"{hidden} keypoint{'' if hidden == 1 else 's'} hidden by hand." if hidden else HOW
            self._parts.stage.hint.setText(f"{told} {UNUSED.get(figure.recovered.method, '')}".strip())
