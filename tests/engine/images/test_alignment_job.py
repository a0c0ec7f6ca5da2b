"""Alignment as a job: what is saved and said, stopping and going on, other starts, bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load

from engine import cli
from engine.artifacts import ArtifactStore
from engine.errors import ErrorCode
from engine.images.alignment_files import read_noise
from engine.images.metadata import read_manifest
from engine.images.rewards import differentiable
from engine.job import ArtifactRef, Cancelled, Failed, Finished, JobSpec, Measured, Output, Warned
from engine.runner import run_job

pytestmark = pytest.mark.usefixtures("tiny_model", "single_thread")
STEPS = 6
PICTURE = {"model": "tiny", "steps": 5, "prompt": "red heart", "sampler": {"name": "ddpm"}}
BRIGHT = [{"name": "brightness", "options": {"ceiling": False}}]


def run(
    folder: Path,
    kind: str = "images.align",
    inputs: dict[str, Path] | None = None,
    stop_after: int | None = None,
    picture: dict[str, Any] | None = None,
    **params: Any,
) -> Run:
    made = {**PICTURE, **(picture or {})}
    chosen: dict[str, Any] = made
    if kind == "images.align":
        common = {"rewards": BRIGHT, "steps": STEPS, "check_density": False, "store_every": 2}
        chosen = {**common, **params, "picture": made}
    store, events = ArtifactStore(folder), []
    spec = JobSpec(kind, chosen, inputs or {}, seed=3, device="cpu")

    def cancelled() -> bool:
        return stop_after is not None and sum(isinstance(e, Measured) for e in events) >= stop_after

    run_job(spec, "job", store, events.append, cancelled)
    return Run(store, events)


class Run:
    """A finished job."""

    def __init__(self, store: ArtifactStore, events: list[Any]) -> None:
        self.store, self.events = store, events

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def points(self) -> list[dict[str, Any]]:
        return [dict(event.values) for event in self.of(Measured)]

    @property
    def about(self) -> dict[str, Any]:
        assert not self.of(Failed), self.of(Failed)[0].error.detail or self.of(Failed)[0].error
        return dict(self.of(Output)[0].manifest["align"])

    @property
    def error(self) -> str:
        (failed,) = self.of(Failed)
        assert failed.error.code is not ErrorCode.INTERNAL, failed.error.detail
        return f"{failed.error.message} {failed.error.hint}"

    def path(self, index: int = 0) -> Path:
        return self.store.path(self.of(Output)[index].artifact)

    def pixels(self, index: int = 0) -> np.ndarray:
        return np.asarray(Image.open(self.path(index)))

    def noise(self, index: int = 0) -> Path:
        about = self.of(Output)[index].manifest["align"]
        return self.store.path(ArtifactRef.from_json(about["noise"]))

    def film(self) -> dict[int, np.ndarray]:
        path = self.store.path(ArtifactRef.from_json(self.about["curve"]))
        data = load(path.read_bytes())
        sheet = np.asarray(Image.open(io.BytesIO(data["film"].tobytes())))
        frames = sheet.reshape(len(data["film_steps"]), -1, *sheet.shape[1:])
        return dict(zip(data["film_steps"].tolist(), frames, strict=True))


# --- what is saved and said -----------------------------------------------------------------------


def test_the_best_picture_is_saved_with_its_curve_and_noise(tmp_path: Path) -> None:
    job = run(tmp_path)
    assert isinstance(job.events[-1], Finished), job.events[-1]
    points, about = job.points, job.about
    assert [point["step"] for point in points] == list(range(STEPS + 1))
    assert all(point["steps"] == STEPS and point["image"] == 0 for point in points)
    assert about["total"]["after"] == max(p["total"] for p in points if p["status"] != "red")
    assert points[about["best_step"]]["total"] == about["total"]["after"]
    assert about["total"]["after"] > about["total"]["before"] == points[0]["total"]
    assert about["rewards"]["brightness"]["after"] > about["rewards"]["brightness"]["before"]
    assert {"contrast", "jpeg_size", "symmetry"} <= set(about["rewards"])  # what was traded away
    assert about["rewards"]["contrast"]["weight"] == 0
    assert about["mode"] == "gradient"
    assert read_manifest(job.path())["align"] == about
    curve = job.store.path(ArtifactRef.from_json(about["curve"]))
    with safe_open(curve, framework="numpy") as file:
        header = json.loads(file.metadata()["triptych"])
    assert header["points"] == points
    film = job.film()
    assert {0, 2, 4, 6, about["best_step"]} == set(film)
    assert np.array_equal(film[about["best_step"]], job.pixels())


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "ddim"},
        {"name": "ddim", "eta": 0.5},
        {"name": "ddpm"},
        {"name": "dpmpp_2m"},
        {"name": "euler"},
        {"name": "heun"},
        {"name": "parataa"},
        {"name": "parataa", "eta": 1.0},
    ],
    ids=lambda sampler: "-".join(str(value) for value in sampler.values()),
)
def test_the_first_step_is_the_clicked_picture_to_the_bit(
    tmp_path: Path, sampler: dict[str, Any]
) -> None:
    clicked = run(tmp_path / "a", "images.generate", picture={"sampler": sampler})
    aligned = run(tmp_path / "b", picture={"sampler": sampler}, steps=2, store_every=1)
    assert np.array_equal(aligned.film()[0], clicked.pixels())
    totals = [point["total"] for point in aligned.points]
    assert totals[-1] > totals[0]


def test_it_is_the_same_every_time_and_in_company(tmp_path: Path) -> None:
    alone = run(tmp_path / "a")
    both = run(tmp_path / "b", picture={"count": 2})
    assert [o.name for o in both.of(Output)] == ["image-0001", "image-0002"]
    assert np.array_equal(alone.pixels(), both.pixels())
    assert both.of(Output)[1].manifest["seed"] == 4
    assert {point["image"] for point in both.points} == {0, 1}


def test_the_model_is_asked(tmp_path: Path) -> None:
    assert set(run(tmp_path, check_density=True).about["density"]) == {"before", "after"}


def test_red_stops_and_is_not_kept(tmp_path: Path) -> None:
    job = run(tmp_path, guard="off", lr=0.5, steps=40)
    assert job.about["ended"] == "red"
    assert job.points[-1]["status"] == "red"
    assert job.about["status"] != "red"
    free = run(tmp_path, guard="off", lr=0.5, steps=8, stop_at_red=False)
    assert free.about["ended"] == "steps"
    assert free.about["status"] == "red"


@pytest.mark.parametrize("mode", ["auto", "zeroth", "hybrid1", "hybrid2"])
def test_rewards_without_gradient(tmp_path: Path, mode: str) -> None:
    job = run(tmp_path, rewards=[{"name": "jpeg_size", "weight": -1}], mode=mode, neighbours=3, steps=3)
    about = job.about
    assert about["mode"] == ("hybrid2" if mode == "auto" else mode)
    assert all(point["mu"] > 0 for point in job.points[:-1])
    assert about["rewards"]["jpeg_size"]["after"] <= about["rewards"]["jpeg_size"]["before"]


def test_a_mix_of_both_kinds(tmp_path: Path) -> None:
    job = run(tmp_path, rewards=[*BRIGHT, {"name": "jpeg_size", "weight": -0.1}], neighbours=2)
    assert job.about["mode"] == "mixed"
    assert job.about["rewards"]["brightness"]["after"] > job.about["rewards"]["brightness"]["before"]


# --- stopping and going on ------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["ddpm", "parataa"])
def test_a_cancelled_run_goes_on_to_the_same_numbers(tmp_path: Path, sampler: str) -> None:
    picture = {"sampler": {"name": sampler, **({"eta": 1.0} if sampler == "parataa" else {})}}
    whole = run(tmp_path / "a", picture=picture)
    stopped = run(tmp_path / "b", stop_after=3, picture=picture)
    assert isinstance(stopped.events[-1], Cancelled)
    assert stopped.about["ended"] == "cancelled"
    rest = run(tmp_path / "c", inputs={"start": stopped.noise()}, picture=picture)
    assert rest.points[0]["step"] == 3

    def figures(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in point.items() if k != "seconds"} for point in points]

    assert figures([*stopped.points[:3], *rest.points]) == figures(whole.points)
    assert np.array_equal(rest.pixels(), whole.pixels())
    assert rest.about["rewards"] == whole.about["rewards"]


def test_a_branch_begins_with_the_picture_of_its_step(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    dark = [{"name": "brightness", "weight": -1, "options": {"ceiling": False}}]
    branch = run(
        tmp_path / "b", inputs={"start": first.noise()}, branch_step=4, rewards=dark, store_every=1
    )
    assert np.array_equal(branch.film()[0], first.film()[4])
    assert branch.points[0]["terms"] == first.points[4]["terms"]
    values = branch.about["rewards"]["brightness"]
    assert values["after"] < values["before"]


def test_last_steps_only(tmp_path: Path) -> None:
    job = run(tmp_path, last_steps=3)
    noise = read_noise(job.noise())
    assert torch.equal(noise.best.pure, noise.start.pure)
    assert noise.active.rows == (1, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"branch_step": 3}, "Stored are the steps 0, 2, 4"),
        ({"lr": 0.02}, "other settings or rewards.*--branch-step"),
        ({"steps": 3}, "has done 6 steps already"),
        ({"picture": {"steps": 6}}, "other time steps"),
        ({"picture": {"prompt": "rocket"}}, "another prompt"),
        ({"picture": {"count": 2}}, "Set Count to 1"),
        ({"eta": 0.0}, "another Eta"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    first = run(tmp_path / "a")
    settings = {"steps": 9, **change}
    import re

    assert re.search(told, run(tmp_path / "b", inputs={"start": first.noise()}, **settings).error)


# --- pictures of another origin -------------------------------------------------------------------


def _foreign(folder: Path, pixels: np.ndarray) -> Path:
    path = folder / "foreign.png"
    Image.fromarray(pixels).save(path)
    return path


def test_noise_is_found_for_a_picture(tmp_path: Path) -> None:
    sampler = {"sampler": {"name": "ddim"}}
    made = run(tmp_path / "a", "images.generate", picture=sampler)
    path = _foreign(tmp_path, made.pixels())
    job = run(tmp_path / "b", inputs={"start": path}, invert=True, picture=sampler, steps=2)
    start = job.about["start"]
    assert start["inverted"] is True
    assert start["rms_difference"] < 128
    assert any("differs from foreign.png by" in event.message for event in job.of(Warned))


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "not stored in it.*--invert"),
        ({"invert": True}, "deterministic sampler ddim only"),
        ({"invert": True, "eta": 0.0, "branch_step": 2}, "no stored steps to branch from"),
    ],
)
def test_a_picture_without_noise(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    import re

    path = _foreign(tmp_path, np.zeros((32, 32, 3), np.uint8))
    assert re.search(told, run(tmp_path, inputs={"start": path}, **params).error)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    path = _foreign(tmp_path, np.zeros((32, 40, 3), np.uint8))
    job = run(tmp_path, inputs={"start": path}, invert=True, eta=0.0)
    assert "40 x 32 pixels, and the pictures of this run have 32 x 32" in job.error


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"rewards": []}, "no reward"),
        ({"rewards": [{"name": "brightness", "weight": 0}]}, "weight 0"),
        ({"rewards": [{"name": "brigthness"}]}, "Did you mean"),
        ({"rewards": [{"name": "jpeg_size"}], "mode": "gradient"}, "jpeg_size have no gradient"),
        ({"last_steps": 3, "eta": 0.0}, "first noise alone"),
        ({"last_steps": 1}, "Set 'Last steps only' to 2"),
        ({"picture": {"sampler": {"name": "heun"}}, "eta": 1.0}, "heun adds no noise"),
        ({"picture": {"sampler": {"name": "heun"}}, "solving": "parallel"}, "in parallel with a grad"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, params: dict[str, Any], told: str
) -> None:
    assert told in run(tmp_path, **params).error


def test_damaged_noise_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad-noise.safetensors"
    bad.write_bytes(b"no")
    assert run(tmp_path, inputs={"start": bad}).of(Failed)[0].error.code is ErrorCode.BAD_FILE
    first = run(tmp_path)
    curve = first.store.path(ArtifactRef.from_json(first.about["curve"]))
    assert "not the noise of an aligned picture" in run(tmp_path, inputs={"start": curve}).error


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda values: values * float("nan"), "returned nan"),
        (lambda values: values[:0], "returned numbers of shape (0,)"),
        (lambda values: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_reward_that_breaks_half_way_keeps_the_best_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Any, told: str
) -> None:
    formula = differentiable.Formula.batch
    calls = 0

    def batch(self: Any, x: torch.Tensor, context: Any) -> torch.Tensor:
        nonlocal calls
        calls += self.name == "brightness" and len(x) == 1
        values = formula(self, x, context)
        return broken(values) if self.name == "brightness" and calls == 6 else values

    monkeypatch.setattr(differentiable.Formula, "batch", batch)
    job = run(tmp_path)
    (failed,) = job.of(Failed)
    assert failed.error.code is ErrorCode.INVALID_INPUT
    assert told in failed.error.message
    assert "brightness" in failed.error.message
    (output,) = job.of(Output)
    assert output.manifest["align"]["ended"] == "failed"
    assert output.manifest["align"]["best_step"] == 1


# --- the command line -----------------------------------------------------------------------------


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path), "--json"]
    asked = ["--model", "tiny", "--prompt", "red heart", "--steps", "5", "--sampler", "ddpm"]
    assert cli.main(["generate", *asked, "--seed", "3", *out]) == 0
    (picture,) = json.loads(capsys.readouterr().out)["files"]
    reward = ["--reward", "brightness:ceiling=false=1", "--no-check-density"]
    assert cli.main(["align", picture, *reward, "--steps", "3", *out]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [point["step"] for point in told["curves"]] == [0, 1, 2, 3]
    assert told["pictures"][0]["best_step"] == 3
    names = [Path(file).name for file in told["files"]]
    assert names == ["00003_red-heart-noise.safetensors", "00003_red-heart-aligned.png"]
    # An aligned picture goes on from its own noise.
    assert cli.main(["align", told["files"][1], *reward, "--steps", "2", *out]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["curves"][0]["total"] == told["curves"][-1]["total"]


def test_mistakes_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = str(_foreign(tmp_path, np.zeros((32, 32, 3), np.uint8)))
    for arguments, told in (
        ([foreign, "--reward", "brightness"], "--invert"),
        ([foreign, "--invert"], "No reward was given"),
        ([foreign, "--invert", "--reward", "brightnes"], "Did you mean"),
        ([foreign, "--settings", foreign, "--reward", "brightness"], "--settings is for pictures"),
        ([str(tmp_path / "none.json"), "--reward", "brightness"], "cannot be read"),
        ([str(tmp_path / "none.png"), "--reward", "brightness"], "no longer there"),
    ):
        assert cli.main(["align", *arguments, "--out", str(tmp_path)]) == 2
        assert told in capsys.readouterr().err


def test_rewards_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "rewards", "--json"]) == 0
    names = [item["name"] for item in json.loads(capsys.readouterr().out)["rewards"]]
    assert {"brightness", "jpeg_size", "taste"} <= set(names)


def test_the_film_of_a_run_that_went_on_is_whole(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole").film()
    first = run(tmp_path / "first", steps=2)
    film = run(tmp_path / "second", inputs={"start": first.noise()}).film()
    assert set(whole) <= set(film)
    for step, frame in whole.items():
        assert np.array_equal(film[step], frame), step
