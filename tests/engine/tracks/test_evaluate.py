"""Measures of tracks: the golden figures, closed forms, and brute force."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera
from engine.tracks.evaluate import evaluate
from engine.tracks.evaluate_errors import KINDS, errors
from engine.tracks.evaluate_network import drop_ignored, evaluate_network
from engine.tracks.evaluate_pairs import assign, pair_up
from engine.tracks.evaluate_tao import RANGES, evaluate_tao
from engine.tracks.formats import TrackFile, read_tracks

OTHER_NAMES = {"TP": "CLR_TP", "FN": "CLR_FN", "FP": "CLR_FP"}


@pytest.mark.parametrize(
    "kind", ["identity", "drop", "jitter", "split", "swap", "merge", "fp", "mix", "tracker"]
)
def test_golden_figures(golden: Path, kind: str) -> None:
    folder = golden / "mtmc" / "metrics"
    expected = json.loads((folder / "tudcampus_expected.json").read_text())[kind]
    truth = read_tracks(folder / "tudcampus_gt.txt").boxes
    result = evaluate(truth, read_tracks(folder / f"tudcampus_{kind}.txt").boxes)
    compared = set()
    for name, value in result.figures.items():
        theirs = f"{name}_mean" if f"{name}_mean" in expected else OTHER_NAMES.get(name, name)
        if theirs in expected and not isinstance(expected[theirs], list):
            assert value == pytest.approx(expected[theirs], abs=1e-6), name
            compared.add(theirs)
    for name, curve in result.curves.items():
        np.testing.assert_allclose(curve, expected[name], atol=1e-6, err_msg=name)
    assert {"HOTA_mean", "MOTA", "MOTP", "IDSW", "Frag", "MT", "PT", "ML", "IDF1", "IDTP"} <= compared
    assert result.curves.keys() == {
        "HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "OWTA",
    }  # fmt: skip


def test_golden_figures_of_tao(golden: Path) -> None:
    folder = golden / "mtmc" / "tao"
    expected = json.loads((folder / "expected.json").read_text())
    truth = read_tracks(folder / "annotations.json")
    result = evaluate_tao(truth, read_tracks(folder / "results.json", reference=truth))
    numbers = {name: number for number, name in result.names.items()}
    assert numbers.keys() == {"car", "bicycle", "dog"}
    for name, number in numbers.items():
        wanted = expected[name]
        for part in RANGES:
            for key, curves in (("AP", result.precision), ("AR", result.recall)):
                np.testing.assert_allclose(
                    curves[number][part],
                    wanted["TrackMAP"][f"{key}_{part}"],
                    atol=1e-6,
                    err_msg=f"{name} {part}",
                )
        for figure in ("HOTA", "AssA", "DetA", "MOTA", "IDF1"):
            theirs = wanted.get(f"{figure}_mean", wanted.get(figure))
            assert result.classes[number].figures[figure] == pytest.approx(theirs, abs=1e-6), figure
    by_class, by_box = expected["cls_comb_cls_av"], expected["cls_comb_det_av"]
    for part in RANGES:
        np.testing.assert_allclose(
            result.mean_precision(part), by_class["TrackMAP"][f"AP_{part}"], atol=1e-6
        )
        np.testing.assert_allclose(
            result.mean_recall(part), by_class["TrackMAP"][f"AR_{part}"], atol=1e-6
        )
    for figure in ("HOTA", "AssA", "DetA", "MOTA", "IDF1"):
        key = f"{figure}_mean" if f"{figure}_mean" in by_box else figure
        assert result.together.figures[figure] == pytest.approx(by_box[key], abs=1e-6), figure
        if figure != "MOTA" and figure != "IDF1":  # of these the kit has class means of its own
            assert result.class_mean(figure) == pytest.approx(by_class[key], abs=1e-6), figure
    assert json.loads(json.dumps(result.to_json()))["mAP50"] == pytest.approx(
        by_class["TrackMAP"]["AP_all"][0]
    )


def walkers(rng: np.random.Generator, ids: int = 6, frames: int = 40, noise: float = 0.0) -> Boxes:
    """Boxes that often overlap each other."""
    frame, track = (axis.ravel() for axis in np.mgrid[0:frames, 0:ids])
    x = 10.0 * track + 0.8 * frame * np.where(track % 2, 1, -1)
    xywh = np.stack([x, np.full(len(x), 5.0), np.full(len(x), 20.0), np.full(len(x), 40.0)], axis=1)
    return Boxes.of(frame, xywh + noise * rng.normal(size=xywh.shape), tracks=track)


def test_perfect_tracks_are_perfect_whatever_they_are_called(rng: np.random.Generator) -> None:
    truth = walkers(rng)
    names = rng.permutation(100)[:6]
    result = evaluate(
        truth, truth.replace(tracks=names[truth.tracks]).select(rng.permutation(len(truth)))
    )
    for figure in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR"):
        assert result.figures[figure] == 1.0, figure
    assert result.figures["MT"] == result.figures["true_ids"] == 6
    assert len(errors(result, truth, truth)) == 0


def test_nothing_found_and_nothing_true(rng: np.random.Generator) -> None:
    truth, nothing = walkers(rng), Boxes.empty()
    blind = evaluate(truth, nothing).figures
    assert (blind["HOTA"], blind["MOTA"], blind["IDF1"], blind["FN"], blind["ML"]) == (
        0,
        0,
        0,
        len(truth),
        6,
    )
    dreaming = evaluate(nothing, truth).figures
    assert (dreaming["HOTA"], dreaming["IDF1"], dreaming["FP"]) == (0, 0, len(truth))
    assert evaluate(nothing, nothing).figures["true_boxes"] == 0


def test_a_track_cut_in_half_has_the_figures_of_the_formula() -> None:
    truth = Boxes.of(np.arange(10), np.tile([0, 0, 10, 10], (10, 1)), tracks=0)
    result = evaluate(truth, truth.replace(tracks=np.arange(10) // 5)).figures
    assert result["DetA"] == 1
    assert result["AssA"] == pytest.approx(0.5)
    assert result["HOTA"] == pytest.approx(np.sqrt(0.5))
    assert result["IDF1"] == pytest.approx(0.5)
    assert (result["IDSW"], result["MOTA"]) == (1, pytest.approx(0.9))


def test_assignment_is_the_best_of_all(rng: np.random.Generator) -> None:
    for _ in range(60):
        size = rng.integers(1, 5, 2)
        table = np.where(rng.random(size) < 0.6, rng.random(size), 0)
        g, p = np.nonzero(table)
        chosen = assign(g, p, table[g, p])
        assert len(set(g[chosen])) == len(set(p[chosen])) == len(chosen)
        wide = np.pad(table, [(0, 4 - size[0]), (0, 4 - size[1])])
        best = max(sum(wide[i, j] for i, j in enumerate(order)) for order in permutations(range(4)))
        assert table[g, p][chosen].sum() == pytest.approx(best)


def brute_force(truth: Boxes, found: Boxes) -> dict[str, float]:
    """CLEAR MOT and IDF1 frame by frame and by trying every matching of ids."""
    last: dict[int, int] = {}
    at_last: dict[int, int] = {}
    matched = switches = fragments = 0
    for frame in np.unique(truth.frames).tolist():
        mine, its = truth.select(truth.frames == frame), found.select(found.frames == frame)
        if not len(its):
            continue
        iou = np.zeros((len(mine), len(its)))
        pairs = pair_up(mine, its)
        iou[pairs.truth.rows[pairs.g], pairs.predicted.rows[pairs.p]] = pairs.iou
        score = np.where(iou >= 0.5, iou, 0)
        for i, track in enumerate(mine.tracks.tolist()):
            score[i] += 1000 * (score[i] > 0) * (its.tracks == at_last.get(track, -1))
        wide = np.pad(score, [(0, 0), (0, len(mine))])
        best = max(
            permutations(range(wide.shape[1]), len(mine)), key=lambda c: sum(wide[range(len(mine)), c])
        )
        now = {}
        for i, j in enumerate(best):
            if wide[i, j] > 0:
                track, other = int(mine.tracks[i]), int(its.tracks[j])
                matched += 1
                switches += last.get(track, other) != other
                fragments += track in last and track not in at_last
                last[track] = now[track] = other
        at_last = now
    pairs = pair_up(truth, found)
    near = pairs.iou >= 0.5
    counts = np.zeros((len(pairs.truth.names), len(pairs.predicted.names)))
    np.add.at(counts, (pairs.truth.ids[pairs.g[near]], pairs.predicted.ids[pairs.p[near]]), 1)
    wide = np.pad(counts, [(0, 0), (0, len(counts))])
    rows = range(len(counts))
    both = max(sum(wide[rows, order]) for order in permutations(range(wide.shape[1]), len(counts)))
    return {
        "TP": matched, "IDSW": switches, "Frag": fragments, "IDTP": both,
        "IDF1": 2 * both / (len(truth) + len(found)),
    }  # fmt: skip


def test_clear_and_identity_agree_with_brute_force(rng: np.random.Generator) -> None:
    for _ in range(8):
        truth = walkers(rng, ids=3, frames=14).select(rng.random(42) < 0.9)
        found = walkers(rng, ids=3, frames=14, noise=1.5).select(rng.random(42) < 0.8)
        found = found.replace(tracks=np.where(rng.random(len(found)) < 0.1, 3, found.tracks))
        keys = np.unique(np.stack([found.frames, found.tracks], axis=1), axis=0, return_index=True)[1]
        found = found.select(keys)
        figures = evaluate(truth, found).figures
        for name, value in brute_force(truth, found).items():
            assert figures[name] == pytest.approx(value), name


def test_the_errors_are_those_that_are_counted(rng: np.random.Generator) -> None:
    truth = concatenate([walkers(rng), walkers(rng).replace(cameras=1)])
    found = truth.replace(
        tracks=np.where(
            (truth.frames >= 20) & (truth.tracks == 2) & (truth.cameras == 1), 77, truth.tracks
        )
    ).select(~((truth.frames == 9) & (truth.tracks == 4) & (truth.cameras == 0)))
    false = Boxes.of([3], [[900, 900, 10, 10]], tracks=55, cameras=1)
    found = concatenate([false, found])
    result = evaluate(truth, found)
    listed = errors(result, truth, found)
    assert listed.counts() == {"switch": 1, "fragment": 1, "false": 1, "miss": 1}
    rows = {row["kind"]: row for row in listed.rows()}
    assert rows["switch"] == {
        "kind": "switch", "camera": 1, "frame": 20, "true_id": 2, "predicted_id": 77, "earlier_id": 2,
        "earlier_frame": 19, "box": rows["switch"]["box"],
    }  # fmt: skip
    assert (rows["miss"]["camera"], rows["miss"]["frame"], rows["miss"]["true_id"]) == (0, 9, 4)
    assert (rows["fragment"]["frame"], rows["fragment"]["earlier_frame"]) == (10, 8)
    assert rows["false"]["box"] == [900, 900, 10, 10]
    assert "true_id" not in rows["false"]
    noisy = walkers(rng, noise=3).select(rng.random(240) < 0.7)
    result = evaluate(walkers(rng), noisy)
    counts = errors(result, walkers(rng), noisy).counts()
    for kind, figure in zip(KINDS, ("IDSW", "Frag", "FP", "FN"), strict=True):
        assert counts[kind] == result.figures[figure]
    assert len(list(listed.rows(2))) == 2


def test_global_ids_count_over_cameras(rng: np.random.Generator) -> None:
    one = walkers(rng)
    truth = concatenate([one, one.replace(cameras=1)])
    apart = truth.replace(tracks=truth.tracks + 100 * truth.cameras)
    assert evaluate(truth, apart, ids_are_global=False).figures["IDF1"] == 1
    network = evaluate_network(truth, apart, ["a", "b"])
    assert network.network.figures["IDF1"] == pytest.approx(0.5)
    assert network.network.figures["AssA"] == pytest.approx(0.5)
    assert network.network.figures["IDSW"] == 6
    assert [result.figures["IDF1"] for result in network.cameras.values()] == [1, 1]
    assert json.loads(json.dumps(network.to_json()))["cameras"].keys() == {"a", "b"}


def test_rules_of_ai_city(rng: np.random.Generator) -> None:
    one = walkers(rng)
    truth = concatenate([one, one.replace(cameras=1).select(one.tracks < 4)])
    region = np.zeros((200, 300), bool)
    region[:, :60] = True
    found = concatenate([truth, Boxes.of([0], [[100, 5, 20, 40]], tracks=99)])
    result = evaluate_network(truth, found, ["a", "b"], regions={0: region}, several_cameras_only=True)
    assert result.left_out["true_in_one_camera"] == 2 * 40
    outside = (found.cameras == 0) & ((found.xyxy()[:, 2] >= 60) | (found.xyxy()[:, 0] < 0))
    assert result.left_out["outside_region"] == outside.sum() > 1
    assert set(result.predicted.tracks.tolist()) <= {0, 1, 2, 3}
    ignored, counts = drop_ignored(one.replace(scores=(one.tracks > 0).astype(float)))
    assert counts == {"ignored_truth": 40}
    assert 0 not in ignored.tracks


def test_what_cannot_be_compared_is_refused(rng: np.random.Generator) -> None:
    truth = walkers(rng)
    with pytest.raises(EngineError, match="true track 3 has two boxes in frame 0"):
        evaluate(concatenate([truth, truth.select([3])]), truth)
    with pytest.raises(EngineError, match="predicted boxes belong to no track"):
        evaluate(truth, truth.replace(tracks=-1))
    file = TrackFile(truth, (Camera("c"),))
    with pytest.raises(EngineError, match="several classes"):
        evaluate_tao(file, TrackFile(truth.replace(classes=truth.frames % 2), (Camera("c"),)))
    with pytest.raises(EngineError, match="no annotations"):
        evaluate_tao(TrackFile(Boxes.empty(), (Camera("c"),)), file)


def test_tao_needs_no_lists(rng: np.random.Generator) -> None:
    file = TrackFile(
        walkers(rng).replace(classes=walkers(rng).tracks % 2), (Camera("c"),), {0: "a", 1: "b"}
    )
    result = evaluate_tao(file, file).to_json()
    assert (result["mAP50"], result["mAP"], result["HOTA"]) == (1, 1, 1)
    assert result["classes"].keys() == {"a", "b"}
