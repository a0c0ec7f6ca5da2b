"""What the keys do to tracks; each says what it changed, and can be undone."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QObject

from desktop.tracks.model import TracksModel
from engine.errors import EngineError, invalid_input
from engine.tracks import edits

LONGEST_GAP = 50
"""Frames that filling bridges."""


class Editing(QObject):
    """See the module.

    Parameters
    ----------
    model
        What is edited.
    time
        Gives the playhead, seconds on the scene's clock.
    tell
        Says why an edit is not possible.
    """

    def __init__(
        self,
        model: TracksModel,
        time: Callable[[], float],
        tell: Callable[[EngineError], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._model, self._time, self._tell = model, time, tell

    def frame_of(self, tracklet: int) -> int:
        """The playhead in the frames of a tracklet's camera."""
        span, scene = self._model.span(tracklet), self._model.scene
        assert span is not None
        assert scene is not None
        camera = scene.cameras[span.camera]
        return math.floor((self._time() - camera.offset) * camera.fps + 1e-6)

    def _chosen(self, count: int, what: str) -> tuple[int, ...]:
        found = self._model.selection
        if len(found) < count:
            many = "a tracklet" if count == 1 else "two tracklets"
            self._tell(
                invalid_input(
                    f"To {what}, select {many} first; nothing was changed.",
                    "Click a box or a segment; Ctrl and a click add one.",
                )
            )
            return ()
        return found

    def split(self) -> None:
        """Cut the selected tracklet at the playhead."""
        if chosen := self._chosen(1, "split"):
            frame = self.frame_of(chosen[0])
            self._model.edit(
                "split",
                f"Tracklet {chosen[0]} split at frame {frame}",
                lambda state: edits.split(state, chosen[0], frame),
            )

    def merge(self) -> None:
        """Make the selected tracklets one, in one camera; else give them one identity."""
        chosen = self._chosen(2, "merge")
        spans = [self._model.span(name) for name in chosen]
        if not chosen:
            return
        first, second = chosen[0], chosen[1]
        cameras = {span.camera for span in spans if span is not None}
        if len(chosen) == 2 and len(cameras) == 1:
            self._model.edit(
                "merge",
                f"Tracklet {second} merged into {first}",
                lambda state: edits.merge_tracklets(state, first, second),
            )
            return
        identity = self._model.identity
        assert identity is not None
        others = chosen[1:]
        self._model.edit(
            "join",
            f"{len(others)} tracklets joined to identity {identity}",
            lambda state: edits.reassign(state, others, identity),
        )

    def swap(self) -> None:
        """Exchange what two tracklets have from the playhead on."""
        if chosen := self._chosen(2, "swap"):
            first, second = chosen[:2]
            frame = self.frame_of(first)
            self._model.edit(
                "swap",
                f"Tracklets {first} and {second} swapped from frame {frame} on",
                lambda state: edits.swap(state, first, second, frame),
            )

    def separate(self) -> None:
        """Give the selected tracklets an identity of their own."""
        if chosen := self._chosen(1, "give it another identity"):
            self._model.edit(
                "reassign",
                f"Tracklet {', '.join(map(str, chosen))} has an identity of its own",
                lambda state: edits.reassign(state, chosen, None),
            )

    def delete(self) -> None:
        """Take the selected tracklet away; its boxes belong to nobody."""
        if chosen := self._chosen(1, "delete"):
            self._model.edit(
                "delete",
                f"Tracklet {chosen[0]} deleted",
                lambda state: edits.delete(state, chosen[0]),
            )

    def fill(self) -> None:
        """Close the gaps of the selected tracklet."""
        if chosen := self._chosen(1, "fill gaps"):
            self._model.edit(
                "fill",
                f"Gaps of tracklet {chosen[0]} filled",
                lambda state: edits.fill(state, chosen[0], LONGEST_GAP),
            )

    def judge(self, first: int, second: int, right: bool) -> None:
        """Say that a link between cameras is right, or wrong: then they are two."""
        state = self._model.state
        if state is None:
            return
        if not right and state.identity_of(first) == state.identity_of(second):
            self._model.edit(
                "reassign",
                f"Tracklet {second} parted from {first}",
                lambda state: edits.reassign(state, [second], None),
            )
        self._model.edit(
            "link",
            f"Tracklets {first} and {second} {'are' if right else 'are not'} the same object",
            lambda state: edits.link(state, first, second, edits.MUST if right else edits.CANNOT),
        )

    def confirm(self) -> None:
        """Say that the selected identity is right, or take that back."""
        identity, state = self._model.identity, self._model.state
        if identity is None or state is None:
            self._chosen(1, "confirm")
            return
        on = identity not in edits.confirmed_identities(state)
        self._model.edit(
            "confirm",
            f"Identity {identity} {'confirmed' if on else 'not confirmed any more'}",
            lambda state: edits.confirm(state, identity, on),
        )
