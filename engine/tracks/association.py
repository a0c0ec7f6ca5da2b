"""Who is who over any network of cameras, by looks, zones and travel times.

The published association (:mod:`engine.tracks.multi_camera`) without its road: which cameras lead to
which is said by zones, how long ways take by windows that can be learnt. Visits that look alike and can
be one object's in place and time are clustered with complete linkage: every two of an identity can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.errors import invalid_input
from engine.tracks.boxes import Int64Array
from engine.tracks.camera_graph import (
    Float64Array,
    Pairs,
    Ways,
    learnt_ways,
    pairs_in_time,
    possible_pairs,
    ways_of,
)
from engine.tracks.camera_similarity import without_camera_bias
from engine.tracks.cameras import Camera
from engine.tracks.multi_camera import complete_linkage
from engine.tracks.visits import Visits

CUTS = {"on": 0.6, "off": 0.3}
"""Distance of looks up to which visits are one object, with zones and without."""
FEW = 5
"""With fewer visits at a camera, looks are compared as they are."""
ROUNDS = 3
SETTLED = 0.01
"""Share of links below which another round of learning changes too little to go on."""
RIVALS = 0.2
"""How much less alike than the limit a pair may be to count as a rival of better ones."""
AT_ONCE = 100_000
SURE_MARGIN = 0.15
"""By how much a link must look better than the next one for its time to be learnt from."""


class AssociateOptions(BaseModel):
    """Settings of the association over cameras."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zones: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether zones say where things come from and go to; auto: where any leads.",
    )
    least_seconds: float = Field(
        default=0.0, ge=-3600, le=86_400,
        description="From camera to camera at least; negative where two see one place.",
    )  # fmt: skip
    most_seconds: float = Field(default=120.0, gt=0, le=86_400, description="The same, at most.")
    dwell_seconds: float = Field(
        default=40.0, ge=0, le=86_400, description="Stay at a camera between, where it was missed."
    )
    most_distance: float | None = Field(
        default=None, gt=0, le=2,
        description="Distance of looks up to which visits are one; null: 0.6, without zones 0.3.",
    )  # fmt: skip
    learn: bool = Field(
        default=True, description="Learn travel times from what is sure, where there is enough of it."
    )
    join_parts: bool = Field(
        default=True,
        description="Take tracklets of one camera together that follow each other closely.",
    )
    leave_out: bool = Field(
        default=True,
        description="Leave out what by its zones no other camera can have seen: from side road to side "
        "road, parked.",
    )
    ridge: float = Field(
        default=3.0, gt=0, description="How little is taken to be a camera's own look (FIC's lambda)."
    )


@dataclass(frozen=True)
class Links:
    """Visits that follow each other in an identity.

    Attributes
    ----------
    first, second
        int64 ``(K,)`` visits.
    similarity
        float64 ``(K,)`` cosine of their looks.
    margin
        float64 ``(K,)`` by how much more alike they are than either is to the best other visit that was
        possible and looked anything like it; infinite where there was none.
    seconds
        float64 ``(K,)`` from the one to the other.
    place
        float64 ``(K,)`` where that is in the window: 0 its beginning, 1 its end.
    """

    first: Int64Array
    second: Int64Array
    similarity: Float64Array
    margin: Float64Array
    seconds: Float64Array
    place: Float64Array

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Missing:
    """Something that should be at a camera and was not found there.

    Attributes
    ----------
    visit
        Of which its zones promise that.
    camera
        Where it should be.
    start, end
        From when until when; seconds.
    """

    visit: int
    camera: int
    start: float
    end: float


@dataclass(frozen=True)
class Association:
    """What was found.

    Attributes
    ----------
    identities
        int64 ``(N,)`` of each visit, from 0; those of one visit only are alone.
    links
        See :class:`Links`.
    ways
        Travel times, as learnt.
    """

    identities: Int64Array
    links: Links
    ways: Ways


def associate(
    visits: Visits,
    cameras: Sequence[Camera],
    options: AssociateOptions | None = None,
    *,
    apart: Collection[tuple[int, int]] = (),
    observed: tuple[Int64Array, Int64Array, Float64Array] | None = None,
    check: Callable[[], object] = lambda: None,
) -> Association:
    """Find the visits that are one object's.

    Parameters
    ----------
    visits
        ``N`` of them, of :func:`~engine.tracks.visits.visits_of`.
    cameras
        Zones lead from one to the other.
    options
        See :class:`AssociateOptions`.
    apart
        Pairs of visits that are not one object.
    observed
        Travel times that are sure beforehand, to be learnt from: earlier and later camera and seconds,
        ``(K,)`` each.
    check
        Called in every round; raises to stop.

    Raises
    ------
    EngineError
        ``invalid_input`` where zones are asked for and none leads anywhere.
    """
    options = options or AssociateOptions()
    start = ways_of(cameras, options.least_seconds, options.most_seconds)
    ways = start if observed is None or not options.learn else learnt_ways(start, *observed)
    known = bool(np.isfinite(ways.least).any() or np.any(ways.overlapping))
    if options.zones == "auto":
        options = options.model_copy(update={"zones": "on" if known else "off"})
    if options.zones == "on" and len(cameras) > 1 and not known:
        raise invalid_input(
            "No zone leads to another camera, so nothing can be said about ways between them; nothing "
            "was associated.",
            "Draw the zones of the cameras and say where they lead, or associate without zones.",
        )
    looks = without_camera_bias(visits.looks, visits.cameras, options.ridge)
    cut = CUTS[options.zones] if options.most_distance is None else options.most_distance
    found = _round(visits, looks, cut, ways, len(cameras), options, apart)
    for _ in range(ROUNDS if options.learn and options.zones == "on" else 0):
        check()
        sure = (found.links.margin > SURE_MARGIN) & _neighbours(visits, found.links, ways)
        first, second = found.links.first[sure], found.links.second[sure]
        told = visits.cameras[first], visits.cameras[second], found.links.seconds[sure]
        if observed is not None:
            one, other, seconds = (np.concatenate(both) for both in zip(told, observed, strict=True))
            told = one, other, seconds
        ways = learnt_ways(start, *told)
        before = _keys(found.links, len(visits))
        found = _round(visits, looks, cut, ways, len(cameras), options, apart)
        after = _keys(found.links, len(visits))
        if len(np.setxor1d(before, after)) <= SETTLED * max(len(before), 1):
            break
    return found


def missing(visits: Visits, found: Association, cameras: Sequence[Camera]) -> list[Missing]:
    """Visits whose zones promise another camera that has nothing of them.

    Only what its window and that camera's video allow to be sure of.

    Parameters
    ----------
    visits, cameras
        As given to :func:`associate`.
    found
        What it returned.
    """
    starts = np.array([camera.offset for camera in cameras])
    lengths = np.array([camera.frames / camera.fps if camera.frames else np.inf for camera in cameras])
    told = []
    for after, linked in ((True, found.links.first), (False, found.links.second)):
        others = visits.went_to if after else visits.came_from
        for at in np.setdiff1d(np.flatnonzero(others >= 0), linked).tolist():
            one, other = int(visits.cameras[at]), int(others[at])
            way = (one, other) if after else (other, one)
            if not np.isfinite(found.ways.least[way]):
                continue
            least, most = float(found.ways.least[way]), float(found.ways.most[way])
            if after:
                start, end = float(visits.t_out[at]) + least, float(visits.t_out[at]) + most
            else:
                start, end = float(visits.t_in[at]) - most, float(visits.t_in[at]) - least
            if start >= starts[other] and end <= starts[other] + lengths[other]:
                told.append(Missing(at, other, start, end))
    return told


def _round(
    visits: Visits,
    looks: Float64Array,
    cut: float,
    ways: Ways,
    cameras: int,
    options: AssociateOptions,
    apart: Collection[tuple[int, int]],
) -> Association:
    # What few things at a camera have in common is not the camera's look.
    few = np.bincount(visits.cameras, minlength=cameras)[visits.cameras] < FEW
    count = len(visits)
    never = [low * count + high for one, other in apart for low, high in ((one, other), (other, one))]

    def compare(first: Int64Array, second: Int64Array) -> Float64Array:
        plain = few[first] | few[second]
        return np.where(plain, _cosines(visits.looks, first, second), _cosines(looks, first, second))

    def keep(first: Int64Array, second: Int64Array) -> NDArray[np.bool_]:
        near = compare(first, second) >= 1 - cut - RIVALS
        return near & ~np.isin(first * count + second, never) if never else near

    if options.zones == "on":
        pairs = possible_pairs(visits, ways, options.dwell_seconds, keep)
    else:
        pairs = pairs_in_time(visits, cameras, options.least_seconds, options.most_seconds, keep)
    alike = compare(pairs.first, pairs.second)
    identities = _clusters(pairs, alike, cut, count)
    return Association(identities, _links(visits, pairs, alike, identities), ways)


def _cosines(looks: Float64Array, first: Int64Array, second: Int64Array) -> Float64Array:
    found = np.empty(len(first))
    for start in range(0, len(first), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found[part] = np.einsum("nd,nd->n", looks[first[part]], looks[second[part]])
    return found


def _clusters(pairs: Pairs, alike: Float64Array, cut: float, count: int) -> Int64Array:
    """Complete linkage; what no chain of near pairs connects can never be one and is not compared."""
    if not count:
        return np.zeros(0, np.int64)
    near = 1 - alike <= cut
    one, other, distance = pairs.first[near], pairs.second[near], 1 - alike[near]
    graph = coo_matrix((np.ones(len(one)), (one, other)), (count, count))
    number, group = connected_components(graph, directed=False)
    members = np.split(
        np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=number))[:-1]
    )
    place = np.zeros(count, np.int64)
    for rows in members:
        place[rows] = np.arange(len(rows))
    order = np.argsort(group[one], kind="stable")
    ends = np.searchsorted(group[one][order], np.arange(number), "right")
    identities = np.zeros(count, np.int64)
    fresh, start = 0, 0
    for rows, end in zip(members, ends.tolist(), strict=True):
        mine, start = order[start:end], end
        table = np.full((len(rows), len(rows)), 4.0)  # more than any distance: impossible
        table[place[one[mine]], place[other[mine]]] = distance[mine]
        labels = complete_linkage(np.minimum(table, table.T), cut)
        identities[rows] = fresh + labels
        fresh += int(labels.max(initial=-1)) + 1
    return identities


def _links(visits: Visits, pairs: Pairs, alike: Float64Array, identities: Int64Array) -> Links:
    """From each visit to the next of its identity; with how sure that is."""
    order = np.lexsort((visits.t_in, identities))
    follows = np.diff(identities[order]) == 0
    first, second = order[:-1][follows], order[1:][follows]
    keys = pairs.first * max(len(visits), 1) + pairs.second  # ascending
    row = np.searchsorted(keys, first * max(len(visits), 1) + second)
    # The best that each visit could have been instead, at the same camera.
    similarity = alike[row]
    rival = np.full(len(row), -np.inf)
    for mine, fixed, free in ((first, pairs.first, pairs.second), (second, pairs.second, pairs.first)):
        partner = second if mine is first else first
        by_visit = np.argsort(fixed, kind="stable")
        low = np.searchsorted(fixed[by_visit], mine, "left")
        high = np.searchsorted(fixed[by_visit], mine, "right")
        for at in range(len(mine)):
            those = by_visit[low[at] : high[at]]
            same_camera = visits.cameras[free[those]] == visits.cameras[partner[at]]
            others = those[same_camera & (free[those] != partner[at])]
            rival[at] = max(rival[at], float(alike[others].max(initial=-np.inf)))
    width = np.maximum(pairs.most[row] - pairs.least[row], 1e-9)
    place = (pairs.gaps[row] - pairs.least[row]) / width
    return Links(first, second, similarity, similarity - rival, pairs.gaps[row], place)


def _neighbours(visits: Visits, links: Links, ways: Ways) -> NDArray[np.bool_]:
    """Which links go from a camera to the next, with none between."""
    return np.isfinite(ways.least[visits.cameras[links.first], visits.cameras[links.second]])


def _keys(links: Links, count: int) -> Int64Array:
    return links.first * max(count, 1) + links.second
