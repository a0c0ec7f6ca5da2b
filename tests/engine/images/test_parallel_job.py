"""Parallel sampling as a job: what is saved and said, stopping and going on, other starts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load

from engine import cli
from engine.artifacts import ArtifactStore
from engine.errors import ErrorCode
from engine.images import parallel_run
from engine.images.generators import LatentGenerator
from engine.images.metadata import read_manifest
from engine.images.trajectory import read_trajectory
from engine.job import (
    ArtifactRef,
    Cancelled,
    Failed,
    Finished,
    JobSpec,
    Measured,
    Output,
    Preview,
    Progress,
    Warned,
)
from engine.runner import run_job

pytestmark = pytest.mark.usefixtures("tiny_model", "single_thread")
STEPS = 12
PARALLEL = {"name": "parataa"}


class Run:
    """A finished run of one parallel job."""

    def __init__(
        self,
        folder: Path,
        start: Path | None = None,
        seed: int = 3,
        rounds: int | None = None,
        sampler: dict[str, Any] | None = None,
        **params: Any,
    ) -> None:
        self.store = ArtifactStore(folder)
        self.events: list[Any] = []
        chosen = {"model": "tiny", "steps": STEPS, "prompt": "red heart", **params}
        chosen["sampler"] = {**PARALLEL, **(sampler or {})}
        inputs = {} if start is None else {"start": start}
        spec = JobSpec("images.generate", chosen, inputs, seed=seed, device="cpu")

        def cancelled() -> bool:
            return rounds is not None and len(self.of(Measured)) >= rounds

        run_job(spec, "job", self.store, self.events.append, cancelled)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def last(self) -> Any:
        return self.events[-1]

    @property
    def error(self) -> str:
        assert isinstance(self.last, Failed), self.last
        assert self.last.error.code is not ErrorCode.INTERNAL, self.last.error.detail
        return f"{self.last.error.message} {self.last.error.hint}"

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.of(Output)[0].manifest["parallel"])

    def pixels(self, index: int = 0) -> np.ndarray:
        data = self.store.read(self.of(Output)[index].artifact)
        return np.asarray(Image.open(io.BytesIO(data)))

    def picture(self) -> Path:
        return self.store.path(self.of(Output)[0].artifact)

    def trajectory(self) -> Path:
        return self.store.path(ArtifactRef.from_json(self.figures["trajectory"]))


# --- what is saved and said -----------------------------------------------------------------------


def test_a_picture_carries_its_rounds(tmp_path: Path) -> None:
    run = Run(tmp_path, count=2, preview_every=1)
    assert isinstance(run.last, Finished), run.last
    assert [output.name for output in run.of(Output)] == ["image-0001", "image-0002"]
    figures = run.figures
    assert figures["converged"] is True
    assert figures["stopped"] == "converged"
    assert figures["finished_per_round"][-1] == 0
    assert figures["rounds"] == len(figures["finished_per_round"]) <= STEPS
    assert figures["residual"] <= figures["tolerance"]
    assert figures["trajectory"] is None
    assert read_manifest(run.picture())["parallel"] == figures
    assert run.of(Output)[0].manifest["sampling"]["rounds"] == figures["rounds"]
    trace = load(run.store.read(ArtifactRef.from_json(figures["trace"])))
    assert trace["residuals"].shape == (figures["rounds"], STEPS)
    assert trace["finished"].tolist() == figures["finished_per_round"]
    assert trace["evaluations"][-1] == figures["evaluations"]
    assert np.nanmax(trace["residuals"][-1]) == pytest.approx(figures["residual"], rel=1e-5)
    assert np.isfinite(trace["residuals"][0]).all()
    if len(trace["preview_rounds"]):
        film = np.asarray(Image.open(io.BytesIO(trace["film"].tobytes())))
        assert film.shape == (32 * len(trace["preview_rounds"]), 32, 3)
    assert run.of(Preview)


def test_every_round_is_measured(tmp_path: Path) -> None:
    run = Run(tmp_path, count=2)
    points = [event.values for event in run.of(Measured)]
    assert {event.series for event in run.of(Measured)} == {"parallel"}
    for index in (0, 1):
        own = [point for point in points if point["image"] == index]
        assert [point["round"] for point in own] == list(range(1, len(own) + 1))
        finished = [point["finished"] for point in own]
        assert finished == sorted(set(finished), reverse=True)
        assert own[-1]["converged"]
        assert not own[0]["converged"]
        assert all(len(point["residuals"]) == point["steps"] == STEPS for point in own)
    json.dumps(points, allow_nan=False)
    done = [event.done / event.total for event in run.of(Progress)]
    assert done == sorted(done)
    assert done[-1] == 1


def test_metrics_say_what_the_command_line_promises(tmp_path: Path) -> None:
    run = Run(tmp_path, count=2, sampler={"method": "published"})
    metrics = run.last.metrics
    assert metrics["rounds"] == max(picture["rounds"] for picture in metrics["pictures"])
    assert [picture["seed"] for picture in metrics["pictures"]] == [3, 4]
    assert metrics["devices"] == ["cpu"]
    # Each state with and without the condition; and the look at the network.
    states = sum(picture["evaluations"] for picture in metrics["pictures"])
    assert 2 * states <= metrics["model_evaluations"] <= 2 * (states + 8)
    if metrics["batch_gain"] < 1.5:
        assert "more time than a sequential sampler" in metrics["notes"][0]


@pytest.mark.parametrize(
    ("sampler", "twin"),
    [
        ({}, {"name": "ddim"}),
        ({"eta": 1.0}, {"name": "ddpm"}),
        ({"eta": 0.5, "method": "published"}, {"name": "ddim", "eta": 0.5}),
        ({"solver": "dpmpp_2m", "spacing": "trailing"}, {"name": "dpmpp_2m"}),
    ],
    ids=["ddim", "ddpm", "published", "dpmpp_2m"],
)
def test_the_picture_is_that_of_the_sequential_sampler(tmp_path: Path, sampler, twin) -> None:
    parallel = Run(tmp_path / "a", sampler={**sampler, "tolerance": 1e-5}).pixels()
    sequential = Run(tmp_path / "b", sampler=twin).pixels()
    assert np.abs(parallel.astype(int) - sequential).max() <= 1


def test_comparing_with_the_sequential_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "a", count=2, batch=1, sampler={"compare_sequential": True})
    outputs = run.of(Output)
    assert [output.name for output in outputs] == [
        "image-0001", "image-0001-sequential", "image-0002", "image-0002-sequential",
    ]  # fmt: skip
    comparison = outputs[1].manifest["comparison"]
    assert 0 < comparison["rms"] < 0.01
    assert comparison["psnr"] > 40
    assert comparison["sequential"]["evaluations"] == STEPS
    assert run.last.metrics["pictures"][1]["comparison"] == outputs[3].manifest["comparison"]
    sequential = Run(tmp_path / "b", sampler={"name": "ddim"}).pixels()
    np.testing.assert_array_equal(run.pixels(1), sequential)
    done = [event.done / event.total for event in run.of(Progress)]
    assert done == sorted(done)
    assert done[-1] == 1


# --- stopping and going on ------------------------------------------------------------------------


def test_a_cancelled_run_leaves_its_picture_and_can_go_on(tmp_path: Path) -> None:
    whole = Run(tmp_path / "a")
    cancelled = Run(tmp_path / "b", rounds=3)
    assert isinstance(cancelled.last, Cancelled)
    figures = cancelled.figures
    assert (figures["stopped"], figures["rounds"], figures["converged"]) == ("cancelled", 3, False)
    manifest = cancelled.of(Output)[0].manifest
    assert manifest["converged"] is False
    assert "steps are solved" in manifest["warnings"][-1]
    resumed = Run(tmp_path / "c", start=cancelled.trajectory())
    assert isinstance(resumed.last, Finished), resumed.last
    np.testing.assert_array_equal(resumed.pixels(), whole.pixels())
    assert resumed.figures["rounds"] == whole.figures["rounds"]
    assert len(resumed.of(Measured)) == whole.figures["rounds"] - 3


def test_a_cancel_takes_no_further_round(tmp_path: Path) -> None:
    assert len(Run(tmp_path, rounds=2).of(Measured)) == 2


def test_stopping_after_some_rounds_is_a_result_with_a_warning(tmp_path: Path) -> None:
    run = Run(tmp_path, sampler={"max_rounds": 3})
    assert isinstance(run.last, Finished)
    assert run.figures["stopped"] == "max_rounds"
    assert "Not converged" in run.of(Output)[0].manifest["warnings"][-1]


def test_a_model_that_breaks_keeps_the_last_good_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrap_denoiser(monkeypatch, lambda eps, calls: eps * (float("nan") if calls > 6 else 1))
    run = Run(tmp_path)
    assert isinstance(run.last, Failed)
    assert "not a finite number" in run.last.error.message
    assert run.figures["stopped"] == "failed"
    assert run.figures["rounds"] >= 1
    assert run.pixels().std() > 0


# --- starting from another picture ----------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    """A solved picture with its trajectory."""
    return Run(tmp_path_factory.mktemp("kept"), sampler={"keep_trajectory": True})


def test_a_trajectory_holds_all_states(kept: Run) -> None:
    trajectory = read_trajectory(kept.trajectory())
    assert trajectory.complete
    assert trajectory.picture.states.shape == (STEPS + 1, 4 * 4 * 4)
    assert trajectory.about["prompt"] == "red heart"
    assert kept.figures["trajectory"]["size"] == kept.trajectory().stat().st_size


def test_varying_from_a_trajectory(kept: Run, tmp_path: Path) -> None:
    def vary(step: int, **more: Any) -> Run:
        return Run(
            tmp_path / f"{step}{len(more)}",
            kept.trajectory(),
            prompt="dog face",
            sampler={"variation_step": step, "keep_trajectory": True, "tolerance": 1e-5},
            **more,
        )

    own = Run(tmp_path / "own", prompt="dog face", sampler={"tolerance": 1e-5})
    np.testing.assert_allclose(vary(STEPS).pixels(), own.pixels(), atol=1)
    first, small = read_trajectory(kept.trajectory()).picture, vary(4)
    assert isinstance(small.last, Finished), small.last
    states = read_trajectory(small.trajectory()).picture.states
    assert torch.equal(states[4:], first.states[4:])
    assert (states[0] - first.states[0]).abs().max() > 1e-3
    assert small.figures["evaluations"] < own.figures["evaluations"]


def test_varying_from_a_picture_that_kept_nothing(kept: Run, tmp_path: Path) -> None:
    settings = {"variation_step": 5, "tolerance": 1e-5}
    with_states = Run(tmp_path / "a", kept.trajectory(), prompt="rocket", sampler=settings)
    # The picture was solved to another tolerance than the new run asks for.
    bare = Run(tmp_path / "b", kept.picture(), prompt="rocket", sampler=settings)
    assert isinstance(bare.last, Finished), bare.last
    np.testing.assert_allclose(bare.pixels(), with_states.pixels(), atol=3)
    sequential = Run(tmp_path / "c", sampler={"name": "ddim"})
    from_ddim = Run(tmp_path / "d", sequential.picture(), prompt="rocket", sampler=settings)
    np.testing.assert_allclose(from_ddim.pixels(), bare.pixels(), atol=2)
    stages = [event.stage for event in from_ddim.of(Progress)]
    assert any(stage.startswith("Solving the start picture") for stage in stages)


def test_the_start_picture_is_solved_whole(kept: Run, tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        kept.picture(),
        prompt="rocket",
        sampler={"variation_step": 5, "max_rounds": 1, "keep_trajectory": True},
    )
    states = read_trajectory(run.trajectory()).picture.states
    first = read_trajectory(kept.trajectory()).picture.states
    assert run.figures["rounds"] == 1
    assert (states[5:] - first[5:]).abs().max() < 0.05


@pytest.mark.parametrize(
    ("changes", "sampler", "reason"),
    [
        ({"seed": 4}, {}, "another seed (3 instead of 4)"),
        ({"steps": 10}, {}, "another number of steps (12 instead of 10)"),
        ({}, {"eta": 0.5}, "another Eta (0 instead of 0.5)"),
        ({}, {"solver": "dpmpp_2m"}, "another solver (first_order instead of dpmpp_2m)"),
        ({}, {"spacing": "trailing"}, "other time steps"),
        ({"count": 2}, {}, "for one picture"),
        ({}, {"variation_step": 13}, "outside this run of 12 steps"),
    ],
    ids=["seed", "steps", "eta", "solver", "spacing", "count", "step"],
)
@pytest.mark.parametrize("source", ["trajectory", "picture"])
def test_a_start_that_does_not_fit_is_refused(
    kept: Run, tmp_path: Path, source: str, changes, sampler, reason: str
) -> None:
    start = getattr(kept, source)()
    run = Run(tmp_path, start, sampler={"variation_step": 5, **sampler}, **changes)
    assert reason in run.error
    assert "othing was started" in run.error
    assert not run.of(Measured)


def test_a_start_of_another_model_is_refused(
    kept: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.engine.images.tiny import write_tiny_model

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = write_tiny_model(tmp_path / "data" / "triptych" / "models" / "other")
    about = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps({**about, "title": "Other"}))
    run = Run(tmp_path, kept.trajectory(), model="other", sampler={"variation_step": 5})
    assert "another model" in run.error


def test_contradictory_starts_are_refused(kept: Run, tmp_path: Path) -> None:
    assert "none was given" in Run(tmp_path, sampler={"variation_step": 5}).error
    assert "solved already" in Run(tmp_path, kept.trajectory()).error
    assert "finished picture" in Run(tmp_path, kept.picture()).error
    cancelled = Run(tmp_path, rounds=2)
    early = Run(tmp_path, cancelled.trajectory(), sampler={"variation_step": 2})
    assert "before step 2 was solved" in early.error
    changed = Run(tmp_path, cancelled.trajectory(), prompt="rocket")
    assert "another prompt (red heart instead of rocket)" in changed.error
    varied = Run(tmp_path, kept.trajectory(), prompt="rocket", sampler={"variation_step": 5})
    again = Run(tmp_path, varied.picture(), sampler={"variation_step": 3})
    assert "itself a variation" in again.error
    euler = Run(tmp_path, sampler={"name": "euler"})
    assert "sampler euler" in Run(tmp_path, euler.picture(), sampler={"variation_step": 3}).error


def test_damaged_trajectories_are_refused(kept: Run, tmp_path: Path) -> None:
    data = kept.trajectory().read_bytes()
    for name, content in {
        "short": data[: len(data) // 2],
        "empty": b"",
        "other": b"PK\x03\x04 something else",
        "header": data.replace(b"triptych-trajectory", b"another-trajectory-"),
        "shape": data.replace(b"[4, 4, 4]", b"[4, 4, 8]"),
    }.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        assert "othing" in Run(tmp_path, path, sampler={"variation_step": 5}).error, name


# --- the model, the machine -----------------------------------------------------------------------


def _wrap_denoiser(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    original = LatentGenerator.denoiser
    calls = 0

    def wrapped(self: LatentGenerator, *arguments: Any) -> Any:
        counting = original(self, *arguments)
        predict = counting._predict

        def predict_changed(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return change(predict(x, t), calls)

        counting._predict = predict_changed
        return counting

    monkeypatch.setattr(LatentGenerator, "denoiser", wrapped)
    monkeypatch.setattr(parallel_run, "_probes", type(parallel_run._probes)())


def test_a_model_whose_rows_mix_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _wrap_denoiser(monkeypatch, lambda eps, calls: eps - 0.1 * eps.mean(dim=0, keepdim=True))
    run = Run(tmp_path)
    assert "depends on the others in the batch" in run.error
    assert not run.of(Output)
    assert isinstance(Run(tmp_path, sampler={"name": "ddim"}).last, Finished)


def test_a_tolerance_below_the_rounding_noise_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Run(tmp_path).of(Warned)
    _wrap_denoiser(monkeypatch, lambda eps, calls: eps.bfloat16().to(eps))
    run = Run(tmp_path, sampler={"tolerance": 1e-6, "max_rounds": 2})
    assert "below the rounding noise" in run.of(Warned)[0].message


def test_a_window_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_run, "memory_budget", lambda device: 40_000)
    assert "MiB for the states of one picture" in Run(tmp_path, sampler={"window": 12}).error
    small = Run(tmp_path)
    assert isinstance(small.last, Finished)
    assert small.figures["window"] < STEPS


def test_rows_are_shared_by_all_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Run(tmp_path / "a")
    monkeypatch.setattr(parallel_run, "peers", lambda requested, resolved: [resolved, "cpu:0"])
    shared = Run(tmp_path / "b")
    assert isinstance(shared.last, Finished), shared.last
    assert shared.last.metrics["devices"] == ["cpu", "cpu:0"]
    np.testing.assert_array_equal(shared.pixels(), alone.pixels())


# --- the command line -----------------------------------------------------------------------------


def triptych(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    code = cli.main([str(word) for word in ("generate", "--model", "tiny", *words, "--json")])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--steps", STEPS, "--prompt", "red heart", "--seed", 3, "--sampler", "parataa")
    code, said = triptych(
        capsys, *common, "--order", 6, "--window", 8, "--memory", 2, "--tolerance", "1e-4",
        "--max-rounds", 30, "--compare-sequential", "--keep-trajectory", "--out", tmp_path,
    )  # fmt: skip
    assert code == cli.OK, said
    names = sorted(Path(name).name for name in said["files"])
    assert names == [
        "00003_red-heart-sequential.png",
        "00003_red-heart-trajectory.safetensors",
        "00003_red-heart.png",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (picture,) = said["pictures"]
    assert (picture["order"], picture["window"], picture["memory"]) == (6, 8, 2)
    assert picture["rounds"] == said["rounds"] == len(picture["finished_per_round"])
    assert picture["residual"] <= 1e-4
    assert picture["comparison"]["rms"] < 1e-3
    code, varied = triptych(
        capsys, *common, "--prompt", "rocket", "--start", tmp_path / names[1],
        "--variation-step", 6, "--out", tmp_path / "varied",
    )  # fmt: skip
    assert code == cli.OK, varied
    assert varied["pictures"][0]["converged"]
    code, refused = triptych(
        capsys, *common, "--seed", 9, "--start", tmp_path / names[1], "--variation-step", 6,
        "--out", tmp_path / "refused",
    )  # fmt: skip
    assert code == cli.BAD_INPUT
    assert "another seed" in refused["error"]["message"]
    code, refused = triptych(capsys, "--start", tmp_path / names[1], "--out", tmp_path / "refused")
    assert code == cli.BAD_INPUT
    assert "Only the sampler parataa" in refused["error"]["message"]


def test_a_picture_of_a_variation_runs_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Run(tmp_path / "a", sampler={"keep_trajectory": True})
    varied = Run(tmp_path / "b", first.trajectory(), prompt="rocket", sampler={"variation_step": 6})
    code = cli.main(["run", str(varied.picture()), "--out", str(tmp_path / "again"), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == cli.OK, said
    again = np.asarray(Image.open(said["files"][0]))
    np.testing.assert_array_equal(again, varied.pixels())
