"""The job ``adapt.train``: labelled pictures to a model of how they look.

Reads and checks the pictures, splits them so that nothing that belongs together is torn apart,
describes them by a frozen backbone, learns a metric on the training part (by itself, or so that it
holds up in the worst camera), and measures on the test part, against the backbone alone. Saves the
model as ONNX, which ``triptych detect --appearance`` takes, its card, and the data set with its splits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from engine.adapt.backbone import fitted
from engine.adapt.backbone_files import BUILTIN, Backbone, load_backbone
from engine.adapt.data import Dataset, Item, looked_at, with_splits
from engine.adapt.data_sources import NAME_PATTERN, Kind, read_source
from engine.adapt.embedding_export import export_embedding
from engine.adapt.measuring import accuracy_report, recognition_report
from engine.adapt.metric_learning import MaPML
from engine.adapt.metric_selection import choose_metric
from engine.adapt.robust_metric import fit_robust_metric
from engine.context import RunContext
from engine.errors import invalid_input
from engine.registry import JOBS, JobKind

SERIES = "adapt"
_PART = 64
_LEAST = 4
_LOOKING, _DESCRIBING = 0.15, 0.6
"""Shares of the progress that reading and describing take."""


class TrainParams(BaseModel):
    """Teach appearance"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    goal: Literal["classes", "identities"] = Field(
        "identities",
        title="Goal",
        description="identities: find somebody or something again whom it was never taught, in other "
        "cameras. classes: tell apart the classes that it was taught.",
    )
    source: Kind = Field(
        "auto",
        title="Labels",
        description="folders: a folder a class, in it perhaps one a camera. names: by file names. "
        "table: a CSV or JSONL file.",
    )
    pattern: str = Field(
        NAME_PATTERN, title="Pattern", description="Of file names: groups label, domain and track."
    )
    backbone: str = Field(
        BUILTIN,
        title="Backbone",
        description="builtin, or a vision transformer of timm or Hugging Face: a file or a folder.",
    )
    heads: int = Field(
        0, ge=0, le=64, title="Heads", description="Of that backbone, where its file does not say."
    )
    domains: Literal["off", "robust"] = Field(
        "off",
        title="Cameras",
        description="robust: weights them so that the metric holds up in the worst one; the plain one "
        "is kept where that is no better.",
    )
    learn: bool = Field(
        True, title="Learn a metric", description="Off: the backbone alone, to compare with."
    )


def train(params: TrainParams, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Learn from the pictures in ``inputs["data"]``, a folder or a table.

    Returns
    -------
    Metrics: ``pictures``, ``classes``, ``splits``, ``problems``, ``settings``, ``before`` and ``after``
    (reports of :mod:`engine.adapt.measuring`), ``seconds``, ``onnx_difference``.

    Raises
    ------
    EngineError
        ``bad_file`` and ``invalid_input``: what is wrong with the pictures or the backbone.
    """
    if "data" not in inputs:
        raise invalid_input("No pictures were given; nothing was learned.")
    dataset = _dataset(params, Path(inputs["data"]), ctx)
    backbone = load_backbone(params.backbone, heads=params.heads or None)
    pictures, features = _described(dataset.items, backbone, ctx)
    parts = {
        name: np.array([item.split == name for item in dataset.items], bool)
        for name in ("train", "val", "test")
    }
    splits = {name: int(rows.sum()) for name, rows in parts.items()}
    taught = parts["train"] | parts["val"]
    metric, settings = _learn(params, dataset.items, features, taught, ctx)
    embedded = features if metric is None else metric.transform(features)
    reports = {
        name: _report(params, dataset.items, vectors, taught, parts["test"])
        for name, vectors in (("before", features), ("after", embedded))
    }
    about = {
        "format": "triptych-appearance",
        "version": 1,
        "goal": params.goal,
        "backbone": {"name": backbone.name, "sha256": backbone.digest},
        "data": {
            "sha256": _digest(dataset),
            "pictures": len(dataset.items),
            "classes": len(dataset.classes),
            "splits": splits,
        },
        "settings": settings,
        "seed": ctx.spec.seed,
        **reports,
    }
    data, difference = export_embedding(backbone, metric, pictures, {"goal": params.goal})
    ctx.save("appearance", data, "application/x-onnx")
    _save_json(ctx, "card", about)
    _save_json(ctx, "dataset", dataset.to_json())
    return {
        "pictures": len(dataset.items),
        "classes": len(dataset.classes),
        "splits": splits,
        "problems": [f"{one.where}: {one.reason}" for one in dataset.problems[:20]],
        "settings": settings,
        **reports,
        "onnx_difference": difference,
        "seconds": round(ctx.seconds, 2),
    }


def _save_json(ctx: RunContext, name: str, content: Any) -> None:
    ctx.save(name, (json.dumps(content, indent=1) + "\n").encode(), "application/json")


def _dataset(params: TrainParams, path: Path, ctx: RunContext) -> Dataset:
    def seen(done: int, total: int) -> None:
        ctx.progress(_LOOKING * done, total, f"Looking at {total:,} pictures")

    found = looked_at(read_source(path, params.source, params.pattern), seen)
    grouping: Literal["pictures", "identities"] = (
        "identities" if params.goal == "identities" else "pictures"
    )
    dataset = with_splits(found, grouping, seed=ctx.spec.seed)
    for problem in dataset.problems[:5]:
        ctx.warn(f"{problem.where}: {problem.reason}")
    more = len(dataset.problems) - 5
    if more > 0:
        ctx.warn(f"{more} more pictures were left out or changed; the data set says which.")
    for note in dataset.notes:
        ctx.warn(note)
    return dataset


def _described(
    items: Sequence[Item], backbone: Backbone, ctx: RunContext
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Some pictures ``(32, S, S, 3)`` to check exports with, and features ``(N, C)`` of all."""
    side = backbone.model.config.image_size
    kept: list[NDArray[np.uint8]] = []
    vectors = []
    with torch.no_grad():
        for start in range(0, len(items), _PART):
            ctx.progress(
                _LOOKING * len(items) + _DESCRIBING * start,
                len(items),
                f"Describing {len(items):,} pictures",
            )
            part = np.stack([_picture(item, side) for item in items[start : start + _PART]])
            kept.extend(part[: max(0, 32 - len(kept))])
            found = backbone.model.features(backbone.prepared(torch.from_numpy(part)))
            vectors.append(F.normalize(found, dim=1).numpy())
    return np.stack(kept), np.concatenate(vectors)


def _picture(item: Item, side: int) -> NDArray[np.uint8]:
    with Image.open(item.path) as image:
        whole = image.convert("RGB")
    if item.box is not None:
        x, y, width, height = item.box
        whole = whole.crop((round(x), round(y), round(x + width), round(y + height)))
    return fitted(np.asarray(whole, np.uint8), side)


def _learn(
    params: TrainParams,
    items: Sequence[Item],
    features: NDArray[np.float32],
    taught: NDArray[np.bool_],
    ctx: RunContext,
) -> tuple[MaPML | None, dict[str, Any]]:
    if not params.learn:
        return None, {"metric": "none"}
    rows = np.flatnonzero(taught).tolist()
    labels = np.array([items[row].label for row in rows])
    if len(rows) < _LEAST:
        raise invalid_input(
            f"Only {len(rows)} pictures are left to learn from; nothing was learned.",
            "Add pictures, at least two of each class.",
        )
    before = _LOOKING + _DESCRIBING

    def step(done: int, total: int) -> None:
        ctx.progress(
            before + (1 - before) * done / total, 1.0, f"Learning: setting {done + 1} of {total}"
        )

    choice = choose_metric(features[rows], labels, seed=ctx.spec.seed, on_step=step)
    told: dict[str, Any] = {
        "metric": "none better" if choice.is_euclidean else "learned",
        **choice.settings,
        "held_out_accuracy": choice.accuracy,
    }
    ctx.measure(SERIES, {"held_out_accuracy": choice.accuracy})
    if params.domains == "off":
        return choice.model, told
    domains = [items[row].domain for row in rows]
    settings = {k: v for k, v in choice.settings.items() if k not in ("unit_embedding", "seed")}

    def turn(number: int, weights: Any, accuracies: Any) -> None:
        ctx.check()
        ctx.measure(
            SERIES,
            {
                "round": number,
                "weights": [round(float(v), 4) for v in weights],
                "accuracies": [round(float(v), 4) for v in accuracies],
            },
        )

    robust = fit_robust_metric(
        features[rows], labels, domains, seed=ctx.spec.seed, on_round=turn, **settings
    )
    for note in robust.notes:
        ctx.warn(note)
    told["domains"] = {
        str(name): {"weight": float(p), "held_out": float(a), "mixture": float(m)}
        for name, p, a, m in zip(
            robust.domains, robust.weights, robust.accuracies, robust.mixture, strict=True
        )
    }
    return (robust.model if robust.helps else choice.model), told


def _report(
    params: TrainParams,
    items: Sequence[Item],
    vectors: Any,
    taught: NDArray[np.bool_],
    test: NDArray[np.bool_],
) -> dict[str, Any]:
    """On the test part; empty where it is."""
    asked = [item for item, is_test in zip(items, test, strict=True) if is_test]
    if not asked:
        return {}
    if params.goal == "identities":
        return recognition_report(vectors[test], asked)
    known = [item for item, is_known in zip(items, taught, strict=True) if is_known]
    return accuracy_report(vectors[taught], known, vectors[test], asked)


def _digest(dataset: Dataset) -> str:
    """Of the pictures with labels and splits, in any order."""
    lines = sorted(f"{i.digest} {i.box} {i.label} {i.domain} {i.split}" for i in dataset.items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


JOBS.add("adapt.train", JobKind(TrainParams, train, "Teach appearance"))
