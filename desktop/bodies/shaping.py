"""Shapes by hand: the Shape tab's sliders move the selected person's body, kept and undone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from PySide6.QtCore import QObject

from desktop.bodies.figures import GHOST, ghost_body
from desktop.bodies.people import Parts, People
from desktop.bodies.person_edit import PersonEdit
from desktop.bodies.shape_panel import ShapePanel


class Shaping(QObject):
    """See the module.

    Parameters
    ----------
    people, parts, panel
        Who is shaped, through what, and where the hand is.
    """

    def __init__(self, people: People, parts: Parts, panel: ShapePanel, parent: QObject) -> None:
        super().__init__(parent)
        self._people, self._parts, self._panel = people, parts, panel
        self._names: list[str] = []
        self._mean: np.ndarray | None = None
        self._base: tuple[str, np.ndarray] | None = None
        self._made: np.ndarray | None = None
        self._releasing = False
        self._asked = self._answered = 0
        people.shape_shown.connect(self._show)
        panel.moved.connect(self._moved)
        panel.kept.connect(self._kept)
        panel.reset_wanted.connect(self._reset)
        panel.ghost_wanted.connect(lambda _on: self._order_ghost())

    def _show(self) -> None:
        """Another person, or the same with another shape."""
        if self._base is not None:
            return  # the hand is on it
        if self._people.selected < 0:
            self._panel.show_nobody()
            return
        shape = self._people.figures[self._people.selected].recovered.shape
        self._parts.poser.ask({"do": "parts", "shape": shape}, self._told, self._parts.tell, "parts")

    def _told(self, answer: dict[str, Any]) -> None:
        self._names, self._mean = list(answer["names"]), answer["mean_shape"]
        if self._people.selected >= 0 and self._base is None:
            by_hand = self._people.shape_by_hand(self._people.selected) is not None
            self._panel.show_parts(self._names, answer, by_hand)
            self._order_ghost()

    def _moved(self, kind: str, sizes: dict[str, float]) -> None:
        at = self._people.selected
        if at < 0:
            return
        figure = self._people.figures[at]
        key = self._people.edit_key(at)
        if self._base is None or self._base[0] != key:
            self._base = key, figure.recovered.shape
        request = {
            "do": "reshape",
            "key": at,
            "shape": self._base[1],
            "kind": kind,
            "sizes": sizes,
            "locked": [list(pair) for pair in self._panel.locked],
            "rotations": figure.recovered.rotations,
            "translation": figure.recovered.translation,
        }
        self._asked += 1
        done = partial(self._reshaped, at, key, self._asked)
        self._parts.poser.ask(request, done, self._refused, f"reshape {at}")

    def _reshaped(self, at: int, key: str, number: int, answer: dict[str, Any]) -> None:
        self._answered = number
        if self._base is None or self._base[0] != key or at != self._people.selected:
            return
        self._made = answer["shape"]
        self._people.show_shape(at, answer)
        self._panel.show_parts(self._names, answer, by_hand=True)
        if self._releasing and number == self._asked:
            self._push(key)

    def _refused(self, error: Any) -> None:
        self._base, self._releasing = None, False
        self._parts.tell(error)
        self._show()

    def _kept(self) -> None:
        """The hand let go; what it asked for last may still be on its way."""
        if self._base is not None:
            self._releasing = True
            if self._answered == self._asked:
                self._push(self._base[0])

    def _push(self, key: str) -> None:
        made, self._made, self._base, self._releasing = self._made, None, None, False
        if made is not None:
            before = self._people.shapes.get(key)
            after = [float(value) for value in made]
            self._keep(key, before, after)

    def _reset(self) -> None:
        if self._people.selected >= 0:
            key = self._people.edit_key(self._people.selected)
            before = self._people.shapes.get(key)
            if before is not None:
                self._keep(key, before, None)

    def _keep(self, key: str, before: Any, after: Any) -> None:
        people = self._people
        command = PersonEdit("shape a body", people.apply_shape, people.result, key, before, after)
        self._parts.undo.push(command)

    def _order_ghost(self) -> None:
        """The mean adult in the selected person's pose and place."""
        if not self._panel.ghost.isChecked() or self._people.selected < 0 or self._mean is None:
            if self._people.ghost is not None:
                self._people.show_ghost(None)
            return
        person = self._people.figures[self._people.selected].recovered
        request = {
            "do": "pose",
            "key": GHOST,
            "shape": self._mean,
            "rotations": person.rotations,
            "translation": person.translation,
        }
        self._parts.poser.ask(request, self._ghost_came, self._parts.tell, "ghost")

    def _ghost_came(self, answer: dict[str, Any]) -> None:
        faces = self._people.faces
        if faces is not None and self._panel.ghost.isChecked():
            self._people.show_ghost(ghost_body(GHOST, answer, faces))
