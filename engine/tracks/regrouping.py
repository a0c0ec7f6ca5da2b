"""What another opinion on who is who would change, identity by identity, and the edit that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.errors import invalid_input
from engine.tracks.tracklets import Delta, TrackState

Kind = Literal["merged", "split", "regrouped"]


@dataclass(frozen=True)
class Change:
    """Identities whose tracklets would be shared out in another way.

    Attributes
    ----------
    before
        Tracklets of each identity there is now; ascending.
    after
        Groups of the same tracklets as they would be; ascending.
    """

    before: Mapping[int, tuple[int, ...]]
    after: tuple[tuple[int, ...], ...]

    @property
    def kind(self) -> Kind:
        """``merged`` into one, one ``split``, or several ``regrouped``."""
        if len(self.after) == 1:
            return "merged"
        return "split" if len(self.before) == 1 else "regrouped"

    @property
    def tracklets(self) -> list[int]:
        """All of them, ascending."""
        return sorted(name for names in self.before.values() for name in names)


def changes(state: TrackState, wanted: Mapping[int, int]) -> list[Change]:
    """What would change, by the first tracklet.

    Parameters
    ----------
    state
        Who is who now.
    wanted
        The identity that each tracklet would have; the numbers say only who is together. Tracklets
        that are not named stay as they are.
    """
    names = [name for name in state.tracklets if name in wanted]
    if not names:
        return []
    now = {name: state.identity_of(name) for name in names}
    old, before = np.unique([now[name] for name in names], return_inverse=True)
    new, after = np.unique([wanted[name] for name in names], return_inverse=True)
    size = len(old) + len(new)
    graph = coo_matrix((np.ones(len(names)), (before, after + len(old))), (size, size))
    part = connected_components(graph, directed=False)[1][before]
    groups: dict[int, list[int]] = {}
    for name, number in zip(names, part.tolist(), strict=True):
        groups.setdefault(number, []).append(name)
    found = []
    for own in groups.values():
        earlier, later = _grouped(own, now), _grouped(own, wanted)
        if len(earlier) > 1 or len(later) > 1:
            found.append(Change(earlier, tuple(later.values())))
    return found


def applying(state: TrackState, chosen: Sequence[Change]) -> Delta:
    """The edit that makes changes.

    Every group keeps the number of the identity that most of its boxes had, the largest first; groups
    that are left get new numbers.

    Raises
    ------
    EngineError
        ``invalid_input`` when nothing is chosen, or tracks are others now than when they were compared.
    """
    if not chosen:
        raise invalid_input("No change was chosen; nothing was changed.")
    fresh = state.free_id()
    known = set(state.tracklets)
    names, old, new = [], [], []
    for change in chosen:
        for identity, own in change.before.items():
            if any(name not in known or state.identity_of(name) != identity for name in own):
                raise invalid_input(
                    "The tracks were changed since this was found; nothing was changed.",
                    "Look again at what would change.",
                )
        free = set(change.before)
        was = {name: identity for identity, own in change.before.items() for name in own}
        boxes = {name: len(state.rows_of(name)) for name in was}
        shares = sorted(
            (
                (sum(boxes[name] for name in group if was[name] == identity), at, identity)
                for at, group in enumerate(change.after)
                for identity in {was[name] for name in group}
            ),
            key=lambda share: (-share[0], share[1:]),
        )
        number: dict[int, int] = {}
        for _, at, identity in shares:
            if identity in free and at not in number:
                number[at] = identity
                free.discard(identity)
        for at, group in enumerate(change.after):
            if at not in number:
                number[at] = fresh
                fresh += 1
            for name in group:
                if was[name] != number[at]:
                    names.append(name)
                    old.append(was[name])
                    new.append(number[at])
    return Delta(tracklets=np.array(names, np.int64), old=np.array(old, np.int64), new=np.array(new))


def _grouped(names: Sequence[int], by: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for name in names:
        found.setdefault(by[name], []).append(name)
    return {identity: tuple(own) for identity, own in found.items()}
