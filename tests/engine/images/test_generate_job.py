"""The generation job: same seed, same picture; what is saved; what is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.artifacts import ArtifactStore
from engine.errors import ErrorCode
from engine.images.generators import initial_noise
from engine.images.metadata import read_manifest
from engine.images.samplers import SAMPLERS
from engine.job import Cancelled, Event, Failed, Finished, JobSpec, Output, Preview, Progress, Warned
from engine.runner import run_job

pytestmark = pytest.mark.usefixtures("tiny_model")


class Run:
    """A finished run of one job: its events by type and its pictures."""

    def __init__(
        self, folder: Path, seed: int = 3, cancel_after: int | None = None, **params: Any
    ) -> None:
        self.store = ArtifactStore(folder)
        self.events: list[Event] = []
        spec = JobSpec(
            "images.generate", {"model": "tiny", "steps": 4, **params}, seed=seed, device="cpu"
        )

        def cancelled() -> bool:
            return cancel_after is not None and len(self.of(Progress)) >= cancel_after

        run_job(spec, "job", self.store, self.events.append, cancelled)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def last(self) -> Any:
        return self.events[-1]

    def pictures(self) -> list[np.ndarray]:
        return [
            np.asarray(Image.open(io.BytesIO(self.store.read(output.artifact))))
            for output in self.of(Output)
        ]


def test_pictures_are_saved_with_all_that_made_them(tmp_path: Path) -> None:
    run = Run(tmp_path, prompt="red heart", count=2, guidance=3.0)
    assert isinstance(run.last, Finished)
    outputs = run.of(Output)
    assert [output.name for output in outputs] == ["image-0001", "image-0002"]
    manifest = outputs[1].manifest
    assert manifest["seed"] == 4
    assert manifest["class_name"] == "hearts"
    assert (manifest["width"], manifest["height"]) == (32, 32)
    inside = read_manifest(run.store.path(outputs[1].artifact))
    assert inside["spec"] == manifest["spec"]
    assert inside["weights_sha256"] == run.last.metrics["weights_sha256"]
    # 4 steps, 2 pictures, with and without the condition.
    assert run.last.metrics["model_evaluations"] == 16


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_a_picture_does_not_depend_on_its_neighbours(tmp_path: Path, sampler: str) -> None:
    settings = {"prompt": "dog face", "sampler": {"name": sampler}}
    together = Run(tmp_path, seed=10, count=5, batch=5, **settings).pictures()
    apart = Run(tmp_path, seed=10, count=5, batch=2, **settings).pictures()
    alone = Run(tmp_path, seed=13, **settings).pictures()
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(together[3], alone[0])
    assert (together[3] != together[4]).any()


def test_guidance_one_costs_half_and_zero_ignores_the_prompt(tmp_path: Path) -> None:
    one = Run(tmp_path, prompt="rocket", guidance=1.0)
    assert one.last.metrics["model_evaluations"] == 4
    zero = Run(tmp_path, prompt="rocket", guidance=0.0).pictures()[0]
    np.testing.assert_array_equal(zero, Run(tmp_path, prompt="dog face", guidance=0.0).pictures()[0])
    assert (zero != one.pictures()[0]).any()


def test_progress_and_previews(tmp_path: Path) -> None:
    run = Run(tmp_path, count=3, batch=2, preview_every=1)
    done = [event.done / event.total for event in run.of(Progress)]
    assert done == sorted(done)
    assert done[-1] == 1
    assert all(event.image.shape[1:] == (32, 32, 3) for event in run.of(Preview))
    assert run.of(Preview)
    assert not Run(tmp_path, preview_every=0).of(Preview)


def test_cancel_keeps_finished_pictures(tmp_path: Path) -> None:
    run = Run(tmp_path, count=4, batch=1, cancel_after=7)
    assert isinstance(run.last, Cancelled)
    assert 1 <= len(run.of(Output)) < 4


def test_unknown_words_are_said(tmp_path: Path) -> None:
    run = Run(tmp_path, prompt="red hart")
    assert isinstance(run.last, Finished)
    messages = [event.message for event in run.of(Warned)]
    assert any("'hart' is not in this model's words" in message for message in messages)
    assert run.of(Output)[0].manifest["warnings"] == messages


def test_a_negative_prompt_that_is_not_used_is_said(tmp_path: Path) -> None:
    plain = Run(tmp_path / "plain", prompt="red heart")
    run = Run(tmp_path / "negative", prompt="red heart", negative_prompt="dog face")
    assert not plain.of(Warned)
    (warning,) = run.of(Warned)
    assert "negative prompt" in warning.message
    np.testing.assert_array_equal(run.pictures()[0], plain.pictures()[0])


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 10**6}, "steps"),
        ({"count": 0}, "count"),
        ({"width": 100}, "multiple of 8"),
        ({"height": 4096}, "height"),
        ({"width": 64}, "32 x 32 pixels only"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt"),
        ({"model": "tinny"}, "no model called 'tinny'"),
        ({"class_name": "dragons"}, "no class 'dragons'"),
        ({"sampler": {"name": "magic"}}, "sampler"),
        ({"sampler": {"name": "heun", "eta": 1}}, "eta"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_parameters_are_refused(tmp_path: Path, params: dict[str, Any], says: str) -> None:
    run = Run(tmp_path, **params)
    assert isinstance(run.last, Failed)
    assert run.last.error.code is ErrorCode.INVALID_INPUT
    assert says in str(run.last.error)
    assert not run.of(Output)


def test_too_many_at_once_are_made_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Run(tmp_path, count=4, batch=4).pictures()
    monkeypatch.setattr("engine.images.jobs.memory_budget", lambda device: 300_000)
    run = Run(tmp_path, count=4, batch=4)
    assert any("at a time" in event.message for event in run.of(Warned))
    for a, b in zip(full, run.pictures(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_damaged_weights_are_named(tmp_path: Path, tiny_model: Path) -> None:
    file = tiny_model / "transformer.safetensors"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[: len(whole) // 2])
        run = Run(tmp_path)
    finally:
        file.write_bytes(whole)
    assert isinstance(run.last, Failed)
    assert run.last.error.code is ErrorCode.BAD_FILE
    assert "transformer.safetensors" in str(run.last.error)


def test_a_retry_makes_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out once, in the second of two batches."""
    whole = Run(tmp_path / "whole", count=4, batch=2)
    calls = []

    def short_once(seeds: list[int], *rest: Any) -> Any:
        calls.append(list(seeds))
        if len(calls) == 2:
            raise MemoryError
        return initial_noise(seeds, *rest)

    monkeypatch.setattr("engine.images.jobs.initial_noise", short_once)
    run = Run(tmp_path / "short", count=4, batch=2)
    assert isinstance(run.last, Finished)
    assert calls == [[3, 4], [5, 6], [5], [6]]
    assert len(run.of(Output)) == 4
    for a, b in zip(whole.pictures(), run.pictures(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_manifest_does_not_rely_on_defaults(tmp_path: Path) -> None:
    params = Run(tmp_path).of(Output)[0].manifest["spec"]["params"]
    assert params["sampler"] == {"name": "ddim", "eta": 0.0, "spacing": "model"}
    assert params["guidance"] == 2.5
