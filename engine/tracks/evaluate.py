"""How good tracks are: HOTA, CLEAR MOT and identity measures.

HOTA: Luiten et al., 2021 (arXiv 2009.07736), over 19 localisation thresholds. CLEAR MOT: Bernardin and
Stiefelhagen, 2008. IDF1: Ristani et al., 2016 (arXiv 1609.01775). All of them as the evaluation kit
TrackEval computes them, at an overlap of 0.5 where there is one threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.evaluate_pairs import (
    EPSILON,
    Float64Array,
    Pairs,
    Side,
    assign,
    best_of_group,
    components,
    pair_up,
)

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Localisation thresholds of HOTA."""
THRESHOLD = 0.5
"""Overlap from which CLEAR MOT and the identity measures call two boxes one."""


@dataclass(frozen=True)
class ClearMatches:
    """The matches of CLEAR MOT, from which switches and fragments are read.

    Attributes
    ----------
    g, p
        ``(M,)`` positions of the matched boxes in the two sides, in the order of time.
    iou
        Their overlap.
    switched
        Whether the true track was matched to another predicted one before.
    resumed
        Whether it was matched before, but not in the frame before.
    before
        ``(M,)`` position in the lists of the same true track's match before; -1 for its first.
    """

    g: Int64Array
    p: Int64Array
    iou: Float64Array
    switched: NDArray[np.bool_]
    resumed: NDArray[np.bool_]
    before: Int64Array


@dataclass(frozen=True)
class Evaluation:
    """Figures of one comparison.

    Attributes
    ----------
    figures
        By name: ``HOTA``, ``DetA``, ``AssA``, ``LocA``, ``DetRe``, ``DetPr``, ``AssRe``, ``AssPr``,
        ``OWTA`` (means over thresholds), ``MOTA``, ``MOTP``, ``MODA``, ``IDSW``, ``Frag``, ``MT``,
        ``PT``, ``ML``, ``TP``, ``FP``, ``FN``, ``IDF1``, ``IDP``, ``IDR``, ``IDTP``, ``IDFP``,
        ``IDFN``; numbers of boxes and ids.
    curves
        Those of HOTA at each of :data:`ALPHAS`, ``(19,)``.
    pairs, matches
        What they were computed from.
    """

    figures: dict[str, float]
    curves: dict[str, Float64Array]
    pairs: Pairs
    matches: ClearMatches

    def to_json(self) -> dict[str, Any]:
        """Figures and curves as plain numbers."""
        return {**self.figures, "curves": {name: list(curve) for name, curve in self.curves.items()}}


def evaluate(truth: Boxes, predicted: Boxes, *, ids_are_global: bool = True) -> Evaluation:
    """Compare predicted tracks with true ones.

    Parameters
    ----------
    truth, predicted
        Boxes with tracks.
    ids_are_global
        Whether one id in two cameras is one object, as in a network of cameras; otherwise cameras are
        separate sequences whose counts are summed.

    Raises
    ------
    EngineError
        ``invalid_input`` when a box has no track, or a track two boxes in a frame.
    """
    pairs = pair_up(truth, predicted, ids_are_global=ids_are_global)
    curves = hota(pairs)
    matches = clear_matches(pairs)
    figures = {name: float(np.mean(curve)) for name, curve in curves.items()}
    figures |= clear_figures(pairs, matches)
    figures |= identity_figures(pairs)
    figures |= {
        "true_boxes": float(len(pairs.truth)),
        "predicted_boxes": float(len(pairs.predicted)),
        "true_ids": float(len(pairs.truth.names)),
        "predicted_ids": float(len(pairs.predicted.names)),
    }
    return Evaluation(figures, curves, pairs, matches)


def hota(pairs: Pairs) -> dict[str, Float64Array]:
    """HOTA and its parts at each of :data:`ALPHAS`."""
    truth, predicted, g, p, iou = pairs.truth, pairs.predicted, pairs.g, pairs.p, pairs.iou
    width = max(len(predicted.names), 1)
    names, pair = np.unique(truth.ids[g] * width + predicted.ids[p], return_inverse=True)
    g_length = truth.lengths[names // width].astype(np.float64)
    p_length = predicted.lengths[names % width].astype(np.float64)
    of_g = np.bincount(g, iou, len(truth))[g]
    of_p = np.bincount(p, iou, len(predicted))[p]
    potential = np.bincount(pair, iou / (of_g + of_p - iou), len(names))
    alignment = potential / (g_length + p_length - potential)
    chosen = assign(g, p, alignment[pair] * iou)
    iou, pair = iou[chosen], pair[chosen]
    curves = {name: np.zeros(len(ALPHAS)) for name in ("TP", "AssA", "AssRe", "AssPr", "LocA")}
    for at, alpha in enumerate(ALPHAS):
        near = iou >= alpha - EPSILON
        count = int(near.sum())
        both = np.bincount(pair[near], minlength=len(names)).astype(np.float64)
        curves["TP"][at] = count
        curves["LocA"][at] = iou[near].sum() / count if count else 1.0
        parts = {
            "AssA": g_length + p_length - both,
            "AssRe": g_length,
            "AssPr": p_length,
        }
        for name, whole in parts.items():
            curves[name][at] = (both * both / whole).sum() / max(count, 1)
    matched = curves.pop("TP")
    missed, false = len(truth) - matched, len(predicted) - matched
    curves["DetA"] = matched / np.maximum(matched + missed + false, 1)
    curves["DetRe"] = matched / max(len(truth), 1)
    curves["DetPr"] = matched / max(len(predicted), 1)
    curves["HOTA"] = np.sqrt(curves["DetA"] * curves["AssA"])
    curves["OWTA"] = np.sqrt(curves["DetRe"] * curves["AssA"])
    return curves


def clear_matches(pairs: Pairs) -> ClearMatches:
    """Match boxes frame by frame, preferring the pairs of the frame before.

    Frames with nothing on one side are passed over, as if they did not exist.
    """
    truth, predicted = pairs.truth, pairs.predicted
    near = np.flatnonzero(pairs.iou >= THRESHOLD - EPSILON)
    g, p, iou = pairs.g[near], pairs.p[near], pairs.iou[near]
    moment, earlier = _moments_before(truth, predicted)
    partner = np.full(len(truth), -1, np.int64)
    taken = np.zeros(len(g), bool)
    if len(g):
        taken = (np.bincount(g)[g] == 1) & (np.bincount(p)[p] == 1)
        partner[g[taken]] = predicted.ids[p[taken]]
        # Pairs are in the order of time, so that what was decided before is known.
        for group in components(g, p):
            mine, its = g[group], p[group]
            last = earlier[mine]
            same = (last >= 0) & (partner[last] == predicted.ids[its])
            best = group[best_of_group(mine, its, iou[group] + 1000.0 * same)]
            taken[best] = True
            partner[g[best]] = predicted.ids[p[best]]
    g, p, iou = g[taken], p[taken], iou[taken]
    order = np.lexsort((g, truth.ids[g]))
    ids, others, moments = truth.ids[g][order], predicted.ids[p][order], moment[g][order]
    again = np.zeros(len(g), bool)
    again[1:] = np.diff(ids) == 0
    switched, resumed = np.zeros(len(g), bool), np.zeros(len(g), bool)
    before = np.full(len(g), -1, np.int64)
    switched[order[1:]] = again[1:] & (np.diff(others) != 0)
    resumed[order[1:]] = again[1:] & (np.diff(moments) > 1)
    before[order[1:][again[1:]]] = order[:-1][again[1:]]
    return ClearMatches(g, p, iou, switched, resumed, before)


def _moments_before(truth: Side, predicted: Side) -> tuple[Int64Array, Int64Array]:
    """For each true box: its moment among those with boxes on both sides; the box before in its track.

    The latter is -1 where the track has no box in the moment before.
    """
    both = np.intersect1d(truth.times, predicted.times)
    moment = np.searchsorted(both, truth.times)
    there = np.isin(truth.times, both)
    order = np.lexsort((moment, truth.ids))
    order = order[there[order]]
    earlier = np.full(len(truth), -1, np.int64)
    follows = (np.diff(truth.ids[order]) == 0) & (np.diff(moment[order]) == 1)
    earlier[order[1:][follows]] = order[:-1][follows]
    return moment, earlier


def clear_figures(pairs: Pairs, matches: ClearMatches) -> dict[str, float]:
    """CLEAR MOT from its matches."""
    truth = pairs.truth
    true, matched = len(truth), len(matches.g)
    missed, false = true - matched, len(pairs.predicted) - matched
    switches = int(matches.switched.sum())
    of_each = np.bincount(truth.ids[matches.g], minlength=len(truth.names))
    share = of_each / np.maximum(truth.lengths, 1)
    mostly, partly = int((share > 0.8).sum()), int(((share >= 0.2) & (share <= 0.8)).sum())
    return {
        "MOTA": (matched - false - switches) / max(true, 1),
        "MOTP": float(matches.iou.sum()) / max(matched, 1),
        "MODA": (matched - false) / max(true, 1),
        "TP": float(matched), "FN": float(missed), "FP": float(false),
        "IDSW": float(switches), "Frag": float(matches.resumed.sum()),
        "MT": float(mostly), "PT": float(partly), "ML": float(len(truth.names) - mostly - partly),
    }  # fmt: skip


def identity_figures(pairs: Pairs) -> dict[str, float]:
    """IDF1, IDP and IDR: one matching of true and predicted tracks over the whole time."""
    truth, predicted = pairs.truth, pairs.predicted
    near = pairs.iou >= THRESHOLD - EPSILON
    width = max(len(predicted.names), 1)
    keys = truth.ids[pairs.g[near]] * width + predicted.ids[pairs.p[near]]
    names, counts = np.unique(keys, return_counts=True)
    # Of a pair's boxes those that overlap are gained twice, whatever else is matched: the matching of
    # least cost is the one with the largest sum of counts.
    chosen = assign(names // width, names % width, counts.astype(np.float64))
    both = float(counts[chosen].sum())
    missed, false = len(truth) - both, len(predicted) - both
    return {
        "IDF1": both / max(both + 0.5 * missed + 0.5 * false, 1.0),
        "IDP": both / max(both + false, 1.0),
        "IDR": both / max(both + missed, 1.0),
        "IDTP": both, "IDFN": missed, "IDFP": false,
    }  # fmt: skip
