"""Association after edits: as if everything were computed again, and what would change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks import camera_graph, edits
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.reassociation import Reassociation
from engine.tracks.regrouping import applying, changes
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.trackers import track
from engine.tracks.tracklets import Delta, TrackState


@pytest.fixture(scope="module")
def network() -> tuple[Reassociation, TrackState]:
    """Four cameras, one minute, tracked."""
    scene = make_scene("hard", 22, seconds=60, cameras=4)
    found = track(scene.detections, "jde")
    owners = np.full(len(scene.detections), NO_TRACK, np.int64)
    owners[found.rows] = found.tracklets
    return Reassociation(scene.detections, scene.cameras), TrackState(scene.detections, owners, {})


def some_edit(state: TrackState, rng: np.random.Generator) -> Delta:
    """Any edit that fits."""
    while True:
        one, other = rng.choice(state.tracklets, 2, replace=False).tolist()
        frames = state.tracklet_boxes(one).frames
        middle = int(frames[len(frames) // 2])
        make = [
            lambda one=one, middle=middle: edits.split(state, one, middle),
            lambda one=one: edits.delete(state, one),
            lambda one=one, other=other: edits.link(state, one, other, edits.CANNOT),
            lambda one=one, other=other: edits.link(state, one, other, edits.MUST),
            lambda one=one: edits.confirm(state, state.identity_of(one)),
            lambda one=one: edits.fill(state, one),
            lambda one=one, other=other, middle=middle: edits.swap(state, one, other, middle),
            lambda one=one, other=other: edits.merge_tracklets(state, one, other, "keep_first"),
            lambda one=one, other=other: edits.reassign(state, [one], state.identity_of(other)),
        ]
        try:
            return make[int(rng.integers(len(make)))]()
        except EngineError:
            continue


@pytest.mark.parametrize("seed", range(3))
def test_after_any_edits_it_is_as_if_all_were_computed_again(
    network: tuple[Reassociation, TrackState], seed: int
) -> None:
    again, start = network
    state, rng = start.copy(), np.random.default_rng(seed)
    again.run(state)
    history: list[Delta] = []
    spared = 0
    for _ in range(6):
        if history and rng.random() < 0.25:
            state.apply(history.pop().inverse())
        else:
            delta = some_edit(state, rng)
            state.apply(delta)
            history.append(delta)
        kept = again.run(state)
        full = Reassociation(state.detections, again.cameras, again.options).run(state)
        assert kept.identities == full.identities
        assert kept.visits.tracklets == full.visits.tracklets
        np.testing.assert_array_equal(kept.found.links.first, full.found.links.first)
        np.testing.assert_array_equal(kept.found.links.margin, full.found.links.margin)
        np.testing.assert_array_equal(kept.found.ways.least, full.found.ways.least)
        assert len(kept.summed_up) <= 2
        spared += len(full.summed_up) - len(kept.summed_up)
    assert spared >= 12


def test_what_was_said_is_respected(network: tuple[Reassociation, TrackState]) -> None:
    again, start = network
    state = start.copy()
    found = again.run(state).identities
    together: dict[int, list[int]] = {}
    for name, identity in found.items():
        together.setdefault(identity, []).append(name)
    several = [names for names in together.values() if len(names) > 1]
    pair, other = several[0][:2], several[1]
    alone = next(names for names in together.values() if len(names) == 1)
    state.apply(edits.link(state, *pair, edits.CANNOT))
    state.apply(edits.link(state, pair[0], alone[0], edits.MUST))
    state.apply(edits.confirm(state, state.identity_of(other[0])))
    said = again.run(state).identities
    assert said[pair[0]] != said[pair[1]]
    assert said[pair[0]] == said[alone[0]]
    assert [name for name in said if said[name] == said[other[0]]] == [other[0]]


def small_state() -> TrackState:
    """Five tracklets of ten boxes, the third of four; identities 1, 1, 2, 4, 4."""
    owners = np.repeat([1, 2, 3, 4, 5], [10, 10, 4, 10, 10])
    cameras = np.array([0, 0, 0, 1, 2, 0])[owners]
    boxes = Boxes.of(np.arange(len(owners)), np.ones((len(owners), 4)), cameras=cameras)
    return TrackState(boxes, owners, {1: 1, 2: 1, 3: 2, 4: 4, 5: 4})


def test_changes_are_told_apart() -> None:
    state = small_state()
    assert changes(state, {1: 7, 2: 7, 3: 8, 4: 9, 5: 9}) == []
    merged, split = changes(state, {1: 7, 2: 7, 3: 7, 4: 8, 5: 9})
    assert (merged.kind, merged.tracklets) == ("merged", [1, 2, 3])
    assert dict(merged.before) == {1: (1, 2), 2: (3,)}
    assert (split.kind, split.after) == ("split", ((4,), (5,)))
    (regrouped,) = changes(state, {1: 7, 2: 8, 3: 8})
    assert (regrouped.kind, regrouped.after) == ("regrouped", ((1,), (2, 3)))


def test_changes_are_made_and_taken_back() -> None:
    state = small_state()
    merged, split = changes(state, {1: 7, 2: 7, 3: 7, 4: 8, 5: 9})
    delta = applying(state, [merged, split])
    state.apply(delta)
    assert [state.identity_of(name) for name in (1, 2, 3)] == [1, 1, 1]
    assert {state.identity_of(4), state.identity_of(5)} == {4, 6}
    assert changes(state, {1: 7, 2: 7, 3: 7, 4: 8, 5: 9}) == []
    with pytest.raises(EngineError, match="changed since"):
        applying(state, [split])
    state.apply(delta.inverse())
    assert [state.identity_of(name) for name in range(1, 6)] == [1, 1, 2, 4, 4]
    state.apply(applying(state, [split]))
    assert [state.identity_of(name) for name in (1, 2, 3)] == [1, 1, 2], "only what was chosen"
    with pytest.raises(EngineError, match="No change"):
        applying(state, [])


def test_regrouping_keeps_the_number_of_the_most() -> None:
    state = small_state()
    (change,) = changes(state, {1: 7, 2: 8, 3: 8})
    state.apply(applying(state, [change]))
    assert state.identity_of(2) == state.identity_of(3)
    assert {state.identity_of(1), state.identity_of(2)} == {1, 2}


def test_any_change_fits_the_log(network: tuple[Reassociation, TrackState], tmp_path: Path) -> None:
    """All that would change, applied in a scene, is who was found to be who; and undone."""
    again, start = network
    with Scene.create(tmp_path / "scene", again.cameras) as scene:
        scene.add_detections(start.detections, "made up")
        rows = np.concatenate([start.rows_of(name) for name in start.tracklets])
        info = scene.add_result("jde", rows, start.owners(rows))
        state = scene.state(info.id)
        wanted = again.run(state).identities
        scene.edit(info.id, "reassociate", applying(state, changes(state, wanted)))
        assert changes(state, wanted) == []
        scene.undo()
        assert [state.identity_of(name) for name in state.tracklets] == state.tracklets


def test_pairs_in_blocks_and_at_most_so_many(
    network: tuple[Reassociation, TrackState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks change nothing; what would take too much memory is refused."""
    again, state = network
    whole = again.run(state)
    monkeypatch.setattr(camera_graph, "EARLIER_AT_ONCE", 3)
    parts = again.run(state)
    assert parts.identities == whole.identities
    np.testing.assert_array_equal(parts.found.links.margin, whole.found.links.margin)
    monkeypatch.setattr(camera_graph, "MOST_PAIRS", 5)
    with pytest.raises(EngineError, match="More than 5 pairs of visits"):
        again.run(state)
