"""Rounds as they come, and as they are read from a trace file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from desktop.background import Background
from desktop.bridge import Bridge
from desktop.images.rounds import Rounds, Trace, read_trace
from desktop.images.sampling_model import JOBS_KEPT, PICTURES_KEPT, SamplingModel
from engine.errors import EngineError, ErrorCode
from engine.project import Project
from tests.desktop.images.parallel import (
    ROUNDS,
    STEPS,
    add_parallel,
    events_of_a_run,
    rounds_of_a_run,
    spec,
    trace_bytes,
)
from tests.desktop.support import WAIT_MS


def test_rounds_grow_with_the_run() -> None:
    residuals, finished = rounds_of_a_run(rounds=70, steps=90)
    rounds = Rounds(90, 1e-3)
    assert (rounds.count, rounds.converged_steps, rounds.evaluations) == (0, 0, 0)
    for count, values in enumerate(events_of_a_run(rounds=70, steps=90), start=1):
        rounds.add(values)
        assert rounds.count == count
        assert rounds.converged_steps == 90 - finished[count - 1]
    assert np.array_equal(rounds.residuals, residuals, equal_nan=True)
    assert rounds.finished.tolist() == finished.tolist()
    assert rounds.evaluations == int((~np.isnan(residuals)).sum())
    assert rounds.seconds == 35.0
    assert rounds.converged


def test_a_retry_counts_from_the_first_round_again() -> None:
    rounds = Rounds(STEPS, 1e-3)
    events = list(events_of_a_run())
    for values in (*events[:3], *events[:2]):
        rounds.add(values)
    assert rounds.count == 2
    assert np.array_equal(rounds.residuals, rounds_of_a_run()[0][:2], equal_nan=True)


def test_a_run_that_is_gone_on_with_goes_on_counting() -> None:
    rounds = Rounds(STEPS, 1e-3)
    for values in list(events_of_a_run())[2:]:
        rounds.add(values)
    assert (rounds.first, rounds.count, rounds.number) == (3, 3, 5)
    assert np.array_equal(rounds.residuals, rounds_of_a_run()[0][2:], equal_nan=True)


def about(project: Project, data: bytes, rounds: int = ROUNDS) -> dict[str, Any]:
    stored = project.store.put(data, "application/x-safetensors", {"name": "trace"})
    return {"trace": stored.to_json(), "tolerance": 1e-3, "rounds": rounds}


def test_the_trace_of_a_run_that_was_gone_on_with_starts_later(project: Project) -> None:
    trace = read_trace(project, about(project, trace_bytes(), rounds=ROUNDS + 7))
    assert (trace.rounds.first, trace.rounds.number) == (8, ROUNDS + 7)


def test_a_trace_has_the_rounds_and_a_picture_of_each(project: Project) -> None:
    trace = read_trace(project, about(project, trace_bytes()))
    residuals, finished = rounds_of_a_run()
    assert np.array_equal(trace.rounds.residuals, residuals, equal_nan=True)
    assert trace.rounds.finished.tolist() == finished.tolist()
    assert trace.rounds.converged
    assert [number for number, _ in trace.film] == list(range(1, ROUNDS + 1))
    assert [image.pixelColor(3, 3).red() for _, image in trace.film] == [10, 20, 30, 40, 50]


def test_a_trace_without_previews_has_no_film(project: Project) -> None:
    assert read_trace(project, about(project, trace_bytes(film=False))).film == ()


def cut(arrays: bytes) -> bytes:
    return arrays[: len(arrays) // 2]


def film_of_another_length() -> bytes:
    from safetensors.numpy import load, save

    arrays = load(trace_bytes())
    return save({**arrays, "preview_rounds": np.arange(3, dtype=np.int32)})


@pytest.mark.parametrize("data", [b"", b"junk", cut(trace_bytes()), film_of_another_length()])
def test_a_damaged_trace_is_said_and_the_picture_is_not_doubted(project: Project, data: bytes) -> None:
    with pytest.raises(EngineError, match="the picture itself is not affected") as caught:
        read_trace(project, about(project, data))
    assert caught.value.code is ErrorCode.BAD_FILE


@pytest.fixture
def model(project: Project, quiet_bridge: Bridge, qtbot: QtBot) -> SamplingModel:
    return SamplingModel(project, quiet_bridge, Background(quiet_bridge), quiet_bridge)


def test_the_model_follows_every_picture_of_a_batch(model: SamplingModel, quiet_bridge: Bridge) -> None:
    heard: list[tuple[str, int]] = []
    model.measured.connect(lambda job, image: heard.append((job, image)))
    for first, second in zip(events_of_a_run(0), events_of_a_run(1), strict=True):
        quiet_bridge.measured.emit("a", "parallel", first)
        quiet_bridge.measured.emit("a", "parallel", second)
        quiet_bridge.measured.emit("a", "another", {"value": 1})
    assert heard == [("a", 0), ("a", 1)] * ROUNDS
    found = model.rounds("a", 1)
    assert found is not None
    assert found.count == ROUNDS
    assert model.rounds("a", 2) is None
    assert model.rounds("b", 0) is None


def test_the_first_picture_that_is_not_done_leads(model: SamplingModel, quiet_bridge: Bridge) -> None:
    assert model.leading("a") == 0
    for image in (0, 1, 2):
        for values in list(events_of_a_run(image))[: ROUNDS if image == 0 else 2]:
            quiet_bridge.measured.emit("a", "parallel", values)
    assert model.leading("a") == 1


def test_only_the_last_pictures_of_the_last_jobs_are_kept(
    model: SamplingModel, quiet_bridge: Bridge
) -> None:
    for number in range(JOBS_KEPT + 2):
        for image in range(PICTURES_KEPT + 3):
            quiet_bridge.measured.emit(f"{number}", "parallel", next(events_of_a_run(image)))
    assert model.rounds("0", PICTURES_KEPT) is None
    last = f"{JOBS_KEPT + 1}"
    assert model.rounds(last, 2) is None
    assert model.rounds(last, PICTURES_KEPT + 2) is not None


def test_traces_are_read_once_beside_the_window(
    model: SamplingModel, project: Project, qtbot: QtBot
) -> None:
    result = add_parallel(project, project.add_job(spec()))
    known = project.manifest(result)["parallel"]
    assert model.trace(known) is None
    with qtbot.waitSignal(model.trace_ready, timeout=WAIT_MS):
        assert model.trace(known) is None
    trace = model.trace(known)
    assert isinstance(trace, Trace)
    assert model.trace(known) is trace


def test_a_lost_trace_is_an_error_that_stays(
    model: SamplingModel, project: Project, qtbot: QtBot
) -> None:
    result = add_parallel(project, project.add_job(spec()))
    known = project.manifest(result)["parallel"]
    project.store.path(known["trace"]["sha256"]).unlink()
    with qtbot.waitSignal(model.trace_ready, timeout=WAIT_MS):
        model.trace(known)
    assert isinstance(model.trace(known), EngineError)
