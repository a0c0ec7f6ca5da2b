"""A scene on disk: cameras, detections, what trackers made of them, and every edit since.

A folder::

    scene.sqlite          cameras, classes, which folders there are, the edit log
    boxes/000001/*.npy    detections, as columns; written once, never changed
    results/000001/*.npy  which detection belongs to which tracklet, and the identities

Edits are rows at the end of a log, undoing and redoing included. Opening a scene replays what is not
undone, so that undo survives a restart and the log tells everything that was ever done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import EngineError, invalid_input
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.columns import read_boxes, read_columns, write_boxes, write_columns
from engine.tracks.scene_database import SceneDatabase, damaged
from engine.tracks.tracklets import Delta, TrackState

DATABASE = "scene.sqlite"
_UNDO, _REDO, _CAMERA = "undo", "redo", "camera"


@dataclass(frozen=True)
class Edit:
    """A row of the edit log.

    Attributes
    ----------
    number
        1, 2, 3, ...
    kind
        ``merge``, ``split``, ``camera``, ..., or ``undo`` and ``redo``.
    result
        The result that it is about; ``None`` for cameras.
    target
        Of ``undo`` and ``redo`` the edit that is taken back or done again.
    text
        What was done, for people.
    made
        Seconds since 1970.
    """

    number: int
    kind: str
    result: int | None
    target: int | None
    text: str
    made: float


@dataclass(frozen=True)
class ResultInfo:
    """A tracker's result, or imported tracks.

    Attributes
    ----------
    id, name
        Unique in the scene.
    about
        How it came about: tracker, settings, file.
    """

    id: int
    name: str
    about: dict[str, Any]


class Scene:
    """An open scene; make one with :meth:`create` or :meth:`open`, use it with ``with``."""

    def __init__(self, folder: Path, database: SceneDatabase) -> None:
        self.folder = folder
        self._database = database
        self._detections: Boxes | None = None
        self._states: dict[int, TrackState] = {}
        self._log: list[Edit] = []
        self._done: list[Edit] = []
        self._undone: list[Edit] = []
        self._cameras: list[Camera] = []
        self._read()

    @classmethod
    def create(cls, folder: Path | str, cameras: Sequence[Camera] = ()) -> Scene:
        """Make a scene in a folder that has none.

        Raises
        ------
        EngineError
            ``invalid_input`` when there is one already, two cameras have one name, or the folder
            cannot be written.
        """
        folder = Path(folder)
        path = folder / DATABASE
        if path.exists():
            raise invalid_input(
                f"{folder} has a scene already; it was not changed.", "Choose another folder."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A kill leaves no half-made scene: the file gets its name when it is whole.
            partial = path.with_name(f"{DATABASE}.partial")
            for leftover in folder.glob(f"{DATABASE}.partial*"):
                leftover.unlink()
            SceneDatabase(partial, create=True).close()
            partial.rename(path)
        except OSError as error:
            raise invalid_input(
                f"No scene could be made in {folder}: {error.strerror}.", "Choose another folder."
            ) from error
        scene = cls(folder, SceneDatabase(path))
        try:
            scene.add_cameras(cameras)
        except EngineError:
            scene.close()
            path.unlink()
            raise
        return scene

    @classmethod
    def open(cls, folder: Path | str) -> Scene:
        """Open a scene; raises ``bad_file`` when it is none, or damaged."""
        database = SceneDatabase(Path(folder) / DATABASE)
        try:
            return cls(Path(folder), database)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close it; everything was saved before."""
        self._states.clear()
        self._database.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- cameras and classes ---

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras as they are now; boxes name them by their position."""
        return tuple(self._cameras)

    def add_cameras(self, cameras: Sequence[Camera]) -> None:
        """Append cameras; raises ``invalid_input`` when a name is taken."""
        names = [camera.name for camera in (*self._cameras, *cameras)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise invalid_input(
                f"There would be two cameras named {', '.join(twice)}; none was added.",
                "Rename one of them.",
            )
        first = len(self._cameras)
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO cameras VALUES (?, ?, ?)",
                [
                    (first + number, camera.name, json.dumps(camera.to_json()))
                    for number, camera in enumerate(cameras)
                ],
            )
        self._cameras += cameras

    @property
    def class_names(self) -> dict[int, str]:
        """Names of the classes of boxes."""
        return dict(self._database.rows("SELECT id, name FROM classes ORDER BY id"))

    def name_classes(self, names: Mapping[int, str]) -> None:
        """Set names of classes; those not mentioned keep theirs."""
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO classes VALUES (?, ?)", list(names.items()))

    # --- boxes and results ---

    @property
    def detections(self) -> Boxes:
        """All boxes of the scene. Memory-mapped, where they came in one piece; read-only."""
        if self._detections is None:
            rows = self._database.rows("SELECT folder, count FROM blocks ORDER BY id")
            parts = [read_boxes(self.folder / name, count) for name, count in rows]
            self._detections = parts[0] if len(parts) == 1 else concatenate(parts)
        return self._detections

    def sources(self) -> list[str]:
        """Where its boxes come from, as :meth:`add_detections` was told, oldest first."""
        return [source for (source,) in self._database.rows("SELECT source FROM blocks ORDER BY id")]

    def add_detections(self, boxes: Boxes, source: str) -> range:
        """Store boxes; the rows that they have from now on.

        Parameters
        ----------
        boxes
            Their ``cameras`` are positions in :attr:`cameras`.
        source
            File or detector that they come from.

        Raises
        ------
        EngineError
            ``invalid_input`` for an unknown camera, a negative frame, a box that is not finite, or a
            full disk; nothing is stored then.
        """
        known = len(self._cameras)
        if len(boxes) and (boxes.cameras.min() < 0 or boxes.cameras.max() >= known):
            raise invalid_input(
                f"The boxes name cameras up to {boxes.cameras.max()}, the scene has {known}; "
                "nothing was stored.",
                "Add the cameras first.",
            )
        if (len(boxes) and boxes.frames.min() < 0) or not np.isfinite(boxes.xywh).all():
            raise invalid_input("Boxes need frames from 0 and finite numbers; nothing was stored.")
        first = self._count()
        number = self._database.rows("SELECT COALESCE(MAX(id), 0) + 1 FROM blocks")[0][0]
        name = f"boxes/{number:06d}"
        write_boxes(self._fresh(name), boxes)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)", (number, name, len(boxes), source)
            )
        self._detections = None
        self._states.clear()  # they are about fewer boxes; loaded anew when asked for
        return range(first, first + len(boxes))

    def results(self) -> list[ResultInfo]:
        """What trackers made and files brought, oldest first."""
        rows = self._database.rows("SELECT id, name, about FROM results ORDER BY id")
        return [ResultInfo(number, name, json.loads(about)) for number, name, about in rows]

    def free_name(self, wanted: str) -> str:
        """The name for a result, with a number where the scene has it already."""
        taken = {info.name for info in self.results()}
        names = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def add_result(
        self,
        name: str,
        rows: ArrayLike,
        tracklets: ArrayLike,
        identities: Mapping[int, int] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> ResultInfo:
        """Store a tracker's result.

        Parameters
        ----------
        name
            Unique in the scene.
        rows, tracklets
            ``(R,)`` detections, and the tracklet of each; a tracklet is in one camera.
        identities
            Identity of each tracklet; those not mentioned are identities of their own.
        about
            Tracker and settings.

        Raises
        ------
        EngineError
            ``invalid_input`` when the name is taken, a row is not there or named twice, or a tracklet
            is in two cameras or twice in a frame.
        """
        rows = np.asarray(rows, np.int64)
        tracklets = np.asarray(tracklets, np.int64)
        self._check_result(name, rows, tracklets)
        pairs = np.array(sorted((identities or {}).items()), np.int64).reshape(-1, 2)
        number = self._database.rows("SELECT COALESCE(MAX(id), 0) + 1 FROM results")[0][0]
        folder = f"results/{number:06d}"
        write_columns(self._fresh(folder), {"rows": rows, "tracklets": tracklets, "identities": pairs})
        info = ResultInfo(number, name, dict(about or {}))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?)",
                (number, name, folder, json.dumps(info.about)),
            )
        return info

    def import_tracks(self, boxes: Boxes, name: str, source: str) -> ResultInfo:
        """Store tracked boxes of a file: as detections, and as a result in which ids are identities."""
        tracked = np.flatnonzero(boxes.tracks != NO_TRACK)
        chosen = boxes.select(tracked)
        pairs, tracklets = np.unique(
            np.stack([chosen.cameras, chosen.tracks], axis=1), axis=0, return_inverse=True
        )
        # Tracklets get numbers beyond all identities, so that the two can be told apart.
        offset = int(chosen.tracks.max(initial=0)) + 1
        if any(info.name == name for info in self.results()):
            raise invalid_input(f"The scene has a result named {name!r}; nothing was stored.")
        rows = self.add_detections(boxes, source)
        identities = {offset + number: int(track) for number, (_, track) in enumerate(pairs.tolist())}
        return self.add_result(
            name, tracked + rows.start, tracklets.reshape(-1) + offset, identities, {"source": source}
        )

    def state(self, result: int) -> TrackState:
        """Who is who in a result, all edits included. Change it by :meth:`edit` only."""
        if result not in self._states:
            found = self._database.rows("SELECT folder FROM results WHERE id = ?", (result,))
            if not found:
                raise invalid_input(f"The scene has no result {result}.")
            columns = read_columns(self.folder / found[0][0])
            try:
                tracklets = np.full(len(self.detections), NO_TRACK, np.int64)
                tracklets[columns["rows"]] = columns["tracklets"]
                pairs = columns["identities"].reshape(-1, 2)
                state = TrackState(self.detections, tracklets, dict(pairs.tolist()))
                deltas = self._deltas(result)
                for delta in deltas.values():
                    state.know(delta)
                for edit in self._done:
                    if edit.result == result:
                        state.apply(deltas[edit.number])
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise damaged(self.folder / found[0][0], str(error)) from error
            self._states[result] = state
        return self._states[result]

    # --- edits ---

    def edit(self, result: int, kind: str, delta: Delta, text: str = "") -> Edit:
        """Make and record a change of a result (see :mod:`engine.tracks.edits`)."""
        if kind in (_UNDO, _REDO, _CAMERA):
            raise invalid_input(f"An edit of tracks cannot be called {kind!r}.")
        state = self.state(result)
        state.apply(delta)
        try:
            return self._record(kind, result, None, text, delta.to_bytes())
        except EngineError:
            state.apply(delta.inverse())
            raise

    def set_camera(self, position: int, camera: Camera, text: str = "") -> Edit:
        """Change a camera: its clock, size, neighbours, zones. Undone like any other edit."""
        return self.set_cameras({position: camera}, text or f"Camera {camera.name} changed")

    def set_cameras(self, cameras: Mapping[int, Camera], text: str) -> Edit:
        """Change cameras by their positions, in one edit.

        Raises
        ------
        EngineError
            ``invalid_input`` where two cameras would have one name.
        """
        after = [cameras.get(at, camera) for at, camera in enumerate(self._cameras)]
        names = [camera.name for camera in after]
        for name in names:
            if names.count(name) > 1:
                raise invalid_input(f"There is another camera named {name}; nothing was changed.")
        marks = tuple(
            (_CAMERA, str(at), self._cameras[at].to_json(), camera.to_json())
            for at, camera in sorted(cameras.items())
        )
        edit = self._record(_CAMERA, None, None, text, Delta(marks=marks).to_bytes())
        self._cameras = after
        return edit

    def set_zones(self, position: int, zones: Sequence[Zone]) -> Edit:
        """Change the zones of a camera."""
        camera = self._cameras[position]
        return self.set_camera(position, camera.with_zones(tuple(zones)), f"Zones of {camera.name}")

    def log(self) -> list[Edit]:
        """Everything that was ever done, in order."""
        return list(self._log)

    def undoable(self) -> list[Edit]:
        """What :meth:`undo` takes back, the next one last."""
        return list(self._done)

    def redoable(self) -> list[Edit]:
        """What :meth:`redo` does again, the next one last."""
        return list(self._undone)

    def change_of(self, edit: Edit) -> Delta:
        """What an edit changed."""
        return self._deltas(edit.result, edit.number)[edit.number]

    def undo(self) -> Edit | None:
        """Take the newest edit back and return it; ``None`` when there is none."""
        return self._travel(self._done[-1], _UNDO) if self._done else None

    def redo(self) -> Edit | None:
        """Do the edit again that was undone last; ``None`` when there is none."""
        return self._travel(self._undone[-1], _REDO) if self._undone else None

    def _travel(self, edit: Edit, kind: str) -> Edit:
        delta = self.change_of(edit)
        change = delta.inverse() if kind == _UNDO else delta
        state = None if edit.result is None else self.state(edit.result)
        if state is not None:
            state.apply(change)
        try:
            self._record(kind, edit.result, edit.number, edit.text, None)
        except EngineError:
            if state is not None:
                state.apply(delta if kind == _UNDO else delta.inverse())
            raise
        if state is None:
            self._change_camera(change)
        return edit

    def _record(
        self, kind: str, result: int | None, target: int | None, text: str, delta: bytes | None
    ) -> Edit:
        # Numbers are given here and not by the database: two programs that edit one scene collide
        # on them, instead of recording edits that do not fit each other.
        edit = Edit(len(self._log) + 1, kind, result, target, text, time.time())
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                (edit.number, kind, result, target, text, edit.made, delta),
            )
        self._follow(edit)
        return edit

    def _follow(self, edit: Edit) -> None:
        """Bring the lists of what can be undone and redone up to an edit."""
        self._log.append(edit)
        if edit.kind == _UNDO:
            self._undone.append(self._done.pop())
        elif edit.kind == _REDO:
            self._done.append(self._undone.pop())
        else:
            self._done.append(edit)
            self._undone.clear()

    def _change_camera(self, delta: Delta) -> None:
        for _, key, _, after in delta.marks:
            self._cameras[int(key)] = Camera.from_json(after)

    # --- reading ---

    def _read(self) -> None:
        path = self.folder / DATABASE
        try:
            rows = self._database.rows("SELECT data FROM cameras ORDER BY position")
            self._cameras = [Camera.from_json(json.loads(data)) for (data,) in rows]
            query = "SELECT number, kind, result, target, text, made FROM log ORDER BY number"
            for number, row in enumerate(self._database.rows(query), 1):
                edit = Edit(*row)
                if edit.number != number:
                    raise ValueError(f"edit {number} is missing")
                self._follow(edit)
            deltas = self._deltas(None)
            for edit in self._done:
                if edit.kind == _CAMERA:
                    self._change_camera(deltas[edit.number])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise damaged(path, str(error)) from error

    def _deltas(self, result: int | None, number: int | None = None) -> dict[int, Delta]:
        query = "SELECT number, delta FROM log WHERE delta IS NOT NULL AND result IS ?"
        values: list[int | None] = [result]
        if number is not None:
            query, values = f"{query} AND number = ?", [result, number]
        rows = self._database.rows(f"{query} ORDER BY number", values)
        try:
            return {name: Delta.from_bytes(data) for name, data in rows}
        except Exception as error:  # zipfile, NumPy and JSON raise whatever they like
            raise damaged(self.folder / DATABASE, f"an edit cannot be read: {error}") from error

    def _count(self) -> int:
        return int(self._database.rows("SELECT COALESCE(SUM(count), 0) FROM blocks")[0][0])

    def _fresh(self, name: str) -> Path:
        """A folder of this name; what a kill left there before it was recorded is set aside."""
        folder = self.folder / name
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}.{time.time_ns()}.lost"))
        return folder

    def _check_result(self, name: str, rows: Int64Array, tracklets: Int64Array) -> None:
        problem = ""
        if rows.shape != tracklets.shape or rows.ndim != 1:
            problem = "rows and tracklets are not equally many"
        elif len(rows) and (rows.min() < 0 or rows.max() >= self._count()):
            problem = "it is about boxes that the scene does not have"
        elif len(np.unique(rows)) < len(rows):
            problem = "a box is in two tracklets"
        elif len(tracklets) and tracklets.min() < 0:
            problem = "tracklets need numbers from 0"
        elif any(info.name == name for info in self.results()):
            problem = f"the scene has a result named {name!r}"
        elif len(rows):
            cameras, frames = self.detections.cameras[rows], self.detections.frames[rows]
            order = np.lexsort((frames, tracklets))
            same = np.diff(tracklets[order]) == 0
            if np.any(same & (np.diff(cameras[order]) != 0)):
                problem = "a tracklet is in two cameras"
            elif np.any(same & (np.diff(frames[order]) == 0)):
                problem = "a tracklet has two boxes in one frame"
        if problem:
            raise invalid_input(f"The result was not stored: {problem}.")
