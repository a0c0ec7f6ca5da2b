"""Who is who in one result of a tracker: boxes in tracklets, tracklets in identities.

A tracklet is one object in one camera, an identity the same object everywhere. Boxes themselves are
never changed: a state says only which box belongs to which tracklet. It changes by
:class:`Delta` alone, each of which can be taken back.
"""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array

ADDED = 1 << 48
"""Rows from here on are boxes that edits added; those below are detections of the scene."""

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Delta:
    """A reversible change, as it is kept in the edit log.

    Attributes
    ----------
    rows, before, after
        int64 ``(R,)`` boxes and their tracklets before and after; :data:`NO_TRACK` for none.
    tracklets, old, new
        int64 ``(T,)`` tracklets and their identities before and after.
    added
        Boxes that the change adds, with their tracklets; their rows are ``first_added``,
        ``first_added + 1``, ...
    first_added
        Row of the first of them.
    marks
        ``(kind, key, before, after)``: everything small, such as a confirmed identity.
    """

    rows: Int64Array = field(default_factory=lambda: _NONE)
    before: Int64Array = field(default_factory=lambda: _NONE)
    after: Int64Array = field(default_factory=lambda: _NONE)
    tracklets: Int64Array = field(default_factory=lambda: _NONE)
    old: Int64Array = field(default_factory=lambda: _NONE)
    new: Int64Array = field(default_factory=lambda: _NONE)
    added: Boxes = field(default_factory=Boxes.empty)
    first_added: int = ADDED
    marks: tuple[tuple[str, str, Any, Any], ...] = ()

    def inverse(self) -> Delta:
        """What takes it back (without the added boxes, which stay known and belong to nothing)."""
        marks = tuple((kind, key, after, before) for kind, key, before, after in reversed(self.marks))
        return Delta(
            self.rows, self.after, self.before, self.tracklets, self.new, self.old, marks=marks
        )

    def to_bytes(self) -> bytes:
        """Packed for a database."""
        arrays = {
            "rows": self.rows, "before": self.before, "after": self.after,
            "tracklets": self.tracklets, "old": self.old, "new": self.new,
        }  # fmt: skip
        head = {"marks": self.marks, "first_added": self.first_added}
        if len(self.added):
            arrays |= {f"added_{name}": column for name, column in self.added.columns().items()}
        packed = io.BytesIO()
        np.savez(packed, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Unpack; ``ValueError`` or ``KeyError`` where it is damaged."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            columns = {
                name.removeprefix("added_"): arrays[name]
                for name in arrays.files
                if name.startswith("added_")
            }
            return cls(
                arrays["rows"], arrays["before"], arrays["after"],
                arrays["tracklets"], arrays["old"], arrays["new"],
                Boxes(**columns) if columns else Boxes.empty(),
                int(head["first_added"]),
                tuple((kind, key, old, new) for kind, key, old, new in head["marks"]),
            )  # fmt: skip


class TrackState:
    """Who is who now.

    Parameters
    ----------
    detections
        All boxes of the scene; rows below :data:`ADDED` are their positions. Never written to.
    tracklets
        int64 ``(N,)`` the tracklet of each of them, :data:`NO_TRACK` for none.
    identities
        The identity of each tracklet.
    """

    def __init__(self, detections: Boxes, tracklets: Int64Array, identities: dict[int, int]) -> None:
        self.detections = detections
        self.added = Boxes.empty()
        self.marks: dict[str, dict[str, Any]] = {}
        """Confirmed identities, links that must or must not be: kind, then key, then value."""
        self._identity_of = dict(identities)
        self._rows_of: dict[int, Int64Array] = {}
        self._members: dict[int, set[int]] = {}
        self._owner = np.array(tracklets, np.int64)
        self._owner_of_added = _NONE
        self._highest = max([NO_TRACK, *self._identity_of, *self._identity_of.values()])
        rows = np.flatnonzero(tracklets != NO_TRACK)
        order = rows[np.lexsort((detections.frames[rows], tracklets[rows]))]
        ids, starts = np.unique(tracklets[order], return_index=True)
        groups = np.split(order, starts[1:]) if len(ids) else []
        for tracklet, group in zip(ids.tolist(), groups, strict=True):
            self._rows_of[tracklet] = group
            self._identity_of.setdefault(tracklet, tracklet)
            self._highest = max(self._highest, tracklet)
        for tracklet in self._rows_of:
            self._members.setdefault(self._identity_of[tracklet], set()).add(tracklet)

    # --- looking ---

    @property
    def tracklets(self) -> list[int]:
        """Tracklets with at least one box, ascending."""
        return sorted(self._rows_of)

    @property
    def identities(self) -> list[int]:
        """Identities with at least one tracklet, ascending."""
        return sorted(self._members)

    def identity_of(self, tracklet: int) -> int:
        """The identity of a tracklet."""
        self.rows_of(tracklet)
        return self._identity_of[tracklet]

    def members(self, identity: int) -> list[int]:
        """Its tracklets, ascending; raises ``invalid_input`` when there is no such identity."""
        if identity not in self._members:
            raise invalid_input(f"There is no identity {identity}; nothing was changed.")
        return sorted(self._members[identity])

    def rows_of(self, tracklet: int) -> Int64Array:
        """Its boxes by frame; raises ``invalid_input`` when there is no such tracklet."""
        rows = self._rows_of.get(tracklet)
        if rows is None:
            raise invalid_input(f"There is no tracklet {tracklet}; nothing was changed.")
        return rows

    def owners(self, rows: Int64Array) -> Int64Array:
        """The tracklet of each box, :data:`~engine.tracks.boxes.NO_TRACK` for none."""
        rows = np.asarray(rows, np.int64)
        is_added = rows >= ADDED
        found = np.empty(len(rows), np.int64)
        found[~is_added] = self._owner[rows[~is_added]]
        found[is_added] = self._owner_of_added[rows[is_added] - ADDED]
        return found

    def boxes_at(self, rows: Int64Array) -> Boxes:
        """The boxes of rows, those that edits added included (without extra columns)."""
        rows = np.asarray(rows, np.int64)
        is_added = rows >= ADDED

        def gather(name: str) -> NDArray[Any]:
            column, more = getattr(self.detections, name), getattr(self.added, name)
            result = np.empty((len(rows), *column.shape[1:]), column.dtype)
            result[~is_added] = column[rows[~is_added]]
            result[is_added] = more[rows[is_added] - ADDED]
            return result

        columns: dict[str, Any] = {name: gather(name) for name in self.detections.columns()}
        return Boxes(**columns)

    def camera_of(self, tracklet: int) -> int:
        """The camera that its boxes are in."""
        return int(self.boxes_at(self.rows_of(tracklet)[:1]).cameras[0])

    def tracklet_boxes(self, tracklet: int) -> Boxes:
        """Its boxes by frame."""
        return self.boxes_at(self.rows_of(tracklet))

    def boxes(self, *, by_identity: bool = True) -> Boxes:
        """All tracked boxes by camera, frame and id; ids are identities or tracklets."""
        names = self.tracklets
        if not names:
            return Boxes.empty()
        groups = [self._rows_of[name] for name in names]
        ids = [self._identity_of[name] if by_identity else name for name in names]
        found = self.boxes_at(np.concatenate(groups))
        return found.replace(tracks=np.repeat(ids, [len(group) for group in groups])).sorted()

    def free_id(self) -> int:
        """A number that neither a tracklet nor an identity ever had."""
        return self._highest + 1

    def copy(self) -> TrackState:
        """The same, to be looked at on another thread while this one changes; boxes are shared."""
        other = copy.copy(self)
        other.marks = {kind: dict(values) for kind, values in self.marks.items()}
        other._identity_of = dict(self._identity_of)
        other._rows_of = dict(self._rows_of)  # its arrays are exchanged, never written to
        other._members = {identity: set(members) for identity, members in self._members.items()}
        other._owner = self._owner.copy()
        other._owner_of_added = self._owner_of_added.copy()
        return other

    def digest(self) -> tuple[Any, ...]:
        """Equal for equal states: tracklets with their boxes, identities, marks."""
        rows = tuple((name, self._rows_of[name].tobytes()) for name in self.tracklets)
        who = tuple((name, self._identity_of[name]) for name in self.tracklets)
        marks = json.dumps(
            {kind: values for kind, values in self.marks.items() if values}, sort_keys=True
        )
        return rows, who, marks

    # --- changing ---

    def apply(self, delta: Delta) -> None:
        """Make a change; raises ``invalid_input``, and changes nothing, where it does not fit."""
        self.know(delta)
        self._check(delta)
        self._owner[delta.rows[delta.rows < ADDED]] = delta.after[delta.rows < ADDED]
        self._owner_of_added[delta.rows[delta.rows >= ADDED] - ADDED] = delta.after[delta.rows >= ADDED]
        new_names = delta.tracklets[delta.new != NO_TRACK]
        self._highest = max([self._highest, *new_names.tolist(), *delta.new.tolist()])
        touched = np.setdiff1d(np.union1d(delta.before, delta.after), [NO_TRACK])
        for name in touched.tolist():
            self._highest = max(self._highest, name)
            self._detach(name)
            kept = self._rows_of.pop(name, _NONE)
            if len(kept):
                kept = kept[~np.isin(kept, delta.rows[delta.before == name])]
            joined = np.concatenate([kept, delta.rows[delta.after == name]])
            if len(joined):
                order = np.lexsort((joined, self.boxes_at(joined).frames))
                self._rows_of[name] = joined[order]
        for name in delta.tracklets.tolist():
            self._detach(name)
        for name, identity in zip(delta.tracklets.tolist(), delta.new.tolist(), strict=True):
            if identity == NO_TRACK:
                self._identity_of.pop(name, None)
            else:
                self._identity_of[name] = identity
        for name in {*touched.tolist(), *delta.tracklets.tolist()}:
            if name in self._rows_of:
                identity = self._identity_of.setdefault(name, name)
                self._members.setdefault(identity, set()).add(name)
        for kind, key, _, after in delta.marks:
            values = self.marks.setdefault(kind, {})
            if after is None:
                values.pop(key, None)
            else:
                values[key] = after

    def know(self, delta: Delta) -> None:
        """Learn the boxes that a change adds; they keep their rows when it is undone."""
        position = delta.first_added - ADDED
        if len(delta.added) and position == len(self.added):
            columns: dict[str, Any] = {
                name: np.concatenate([getattr(self.added, name), column])
                for name, column in delta.added.columns().items()
            }
            self.added = Boxes(**columns)
            nobody = np.full(len(delta.added), NO_TRACK, np.int64)
            self._owner_of_added = np.concatenate([self._owner_of_added, nobody])

    def _detach(self, tracklet: int) -> None:
        identity = self._identity_of.get(tracklet)
        members = self._members.get(identity) if identity is not None else None
        if members is not None and identity is not None:
            members.discard(tracklet)
            if not members:
                del self._members[identity]

    def _check(self, delta: Delta) -> None:
        sizes = {len(delta.rows), len(delta.before), len(delta.after)}
        if len(sizes) > 1 or len({len(delta.tracklets), len(delta.old), len(delta.new)}) > 1:
            raise _misfit("its columns are not equally long")
        rows = delta.rows
        ends = np.where(rows >= ADDED, ADDED + len(self.added), len(self.detections))
        if np.any((rows < 0) | (rows >= ends)) or len(np.unique(rows)) < len(rows):
            raise _misfit("it is about boxes that are not there")
        if np.any(self.owners(rows) != delta.before):
            raise _misfit("a box belongs to another tracklet")
        for name, old in zip(delta.tracklets.tolist(), delta.old.tolist(), strict=True):
            if self._identity_of.get(name, NO_TRACK) != old:
                raise _misfit(f"tracklet {name} has another identity")


def _misfit(detail: str) -> Exception:
    return invalid_input(
        f"The edit does not fit the tracks as they are ({detail}); nothing was changed.",
        "Open the scene again to see its newest state.",
    )
