"""What the keys do to tracks; each says what it changed, and can be undone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QObject, QRectF

from desktop.tracks.model import TracksModel
from engine.errors import EngineError, invalid_input
from engine.tracks import drawing, edits

LONGEST_GAP = 50
"""Frames that filling bridges."""
BY_HAND = "by hand"
"""The result that boxes are drawn in where there is none."""


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
    say
        Says more about one that was made.
    """

    def __init__(
        self,
        model: TracksModel,
        time: Callable[[], float],
        tell: Callable[[EngineError], object],
        say: Callable[[str], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._model, self._time, self._tell, self._say = model, time, tell, say

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

    def extend(self) -> None:
        """Let the selected tracklet go on to the playhead, as it moved; or begin there."""
        if chosen := self._chosen(1, "make it longer"):
            tracklet, frame = chosen[0], self.frame_of(chosen[0])
            span, scene = self._model.span(tracklet), self._model.scene
            assert span is not None
            assert scene is not None
            camera = scene.cameras[span.camera]
            if camera.frames:
                frame = min(frame, camera.frames - 1)
            size = (camera.width, camera.height) if camera.width and camera.height else None
            done = self._model.edit(
                "predict",
                f"Tracklet {tracklet} made longer, to frame {frame}",
                lambda state: drawing.predict(state, tracklet, frame, size),
            )
            after = self._model.span(tracklet)
            if done and after is not None and not after.first <= frame <= after.last:
                end = after.last if frame > after.last else after.first
                self._say(
                    f"Tracklet {tracklet} made longer, to frame {end}: there it leaves the picture."
                )

    def box_drawn(self, camera: int, frame: int, tracklet: int | None, place: QRectF) -> None:
        """Put a box where somebody drew it: a tracklet's, the selected one's if it has none, or new."""
        xywh = np.array([place.x(), place.y(), place.width(), place.height()])
        longer = self._without_box(camera, frame)
        if tracklet is None and longer is None:
            self._new_tracklet(camera, frame, xywh)
        elif tracklet is not None:
            self._model.edit(
                "place",
                f"Box of tracklet {tracklet} moved at frame {frame}",
                lambda state: drawing.place(state, tracklet, frame, xywh),
            )
        elif longer is not None:
            self._model.edit(
                "place",
                f"Box of tracklet {longer} drawn at frame {frame}",
                lambda state: drawing.place(state, longer, frame, xywh),
            )

    def nudge(self, right: int, down: int, *, edge: bool = False) -> None:
        """Move the selected box at the playhead by pixels, or its right and lower edges."""
        if chosen := self._chosen(1, "move its box"):
            state, frame = self._model.state, self.frame_of(chosen[0])
            assert state is not None
            own = state.tracklet_boxes(chosen[0])
            (there,) = np.nonzero(own.frames == frame)
            if not len(there):
                self._tell(
                    invalid_input(
                        f"Tracklet {chosen[0]} has no box at frame {frame}; nothing was changed.",
                        "E makes it longer, G fills its gaps, B lets you draw one.",
                    )
                )
                return
            left, top, width, height = own.xywh[there[0]].tolist()
            wide, high = max(1.0, width + right), max(1.0, height + down)
            place = (
                QRectF(left, top, wide, high)
                if edge
                else QRectF(left + right, top + down, width, height)
            )
            self.box_drawn(int(own.cameras[0]), frame, chosen[0], place)

    def _without_box(self, camera: int, frame: int) -> int | None:
        """The selected tracklet of a camera that has no box in a frame."""
        state = self._model.state
        for name in self._model.selection:
            span = self._model.span(name)
            if state is not None and span is not None and span.camera == camera:
                return None if frame in state.tracklet_boxes(name).frames else name
        return None

    def _new_tracklet(self, camera: int, frame: int, xywh: np.ndarray) -> None:
        self._model.begin_result(BY_HAND)
        scene, state = self._model.scene, self._model.state
        if scene is None or state is None:
            return
        name = state.free_id()
        kinds = scene.detections.classes
        kind = int(np.bincount(np.maximum(kinds, 0)).argmax()) if len(kinds) else 0
        if self._model.edit(
            "draw",
            f"Tracklet {name} drawn at frame {frame}; draw at another frame, and it goes on there",
            lambda state: drawing.draw(state, camera, frame, xywh, kind),
        ):
            self._model.select([name])

    def judge(self, first: int, second: int, right: bool) -> bool:
        """Say that a link between cameras is right, or wrong: then they are two. False: not yet."""
        state = self._model.state
        if state is None:
            return False
        if not right and state.identity_of(first) == state.identity_of(second):
            parted = self._model.edit(
                "reassign",
                f"Tracklet {second} parted from {first}",
                lambda state: edits.reassign(state, [second], None),
            )
            if not parted:
                return False
        return self._model.edit(
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
