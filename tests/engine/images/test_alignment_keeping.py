"""Which step's picture is kept: plausible noise alone is not enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import ArtifactStore
from engine.images.alignment_setting import Shared
from engine.job import JobSpec, Measured, Output, Warned
from engine.runner import run_job

pytestmark = pytest.mark.usefixtures("tiny_model", "single_thread")


def aligned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, scores: list[float], **params: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """What the manifest says, the points, and the warnings, when the model gives these scores."""
    given = iter(scores)
    monkeypatch.setattr(Shared, "density_of", lambda self, noise, active, z: next(given))
    chosen = {
        "picture": {"model": "tiny", "steps": 5, "prompt": "red heart", "sampler": {"name": "ddpm"}},
        "rewards": [{"name": "brightness", "options": {"ceiling": False}}],
        "steps": 6,
        "store_every": 2,
        **params,
    }
    events: list[Any] = []
    spec = JobSpec("images.align", chosen, seed=3, device="cpu")
    run_job(spec, "job", ArtifactStore(folder), events.append, lambda: False)
    outputs = [event for event in events if isinstance(event, Output)]
    points = [event.values for event in events if isinstance(event, Measured)]
    warned = " ".join(event.message for event in events if isinstance(event, Warned))
    return dict(outputs[0].manifest["align"]), points, warned


def test_the_best_that_the_model_still_knows_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, points, warned = aligned(tmp_path, monkeypatch, [0.5, 6.0, 4.0, 2.5])
    assert about["best_step"] == 2  # 6 and 4 are unknown to it
    assert about["total"]["after"] == points[2]["total"]
    assert about["density"] == {"before": 0.5, "after": 2.5, "best_step": 6, "best": 6.0}
    assert "that of step 2 is kept" in warned


def test_where_it_knows_none_the_start_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about, _, _ = aligned(tmp_path, monkeypatch, [0.5, 6.0, 5.0, 4.0, 3.5, 0.5])
    assert about["best_step"] == 0
    assert about["total"]["after"] == about["total"]["before"]


def test_a_start_that_it_knows_badly_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, _, warned = aligned(tmp_path, monkeypatch, [7.0, 6.0])
    assert about["best_step"] == 6
    assert "knows" not in warned


def test_without_the_guard_it_is_only_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about, _, warned = aligned(tmp_path, monkeypatch, [0.5, 6.0], guard="off")
    assert about["best_step"] == 6
    assert "gaming the rewards" in warned
