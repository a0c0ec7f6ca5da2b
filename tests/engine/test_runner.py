"""The runner itself: loading of job modules, errors, the ladder. Its promises are in executors/."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from engine import device, runner
from engine.artifacts import ArtifactStore
from engine.context import RunContext
from engine.errors import EngineError, ErrorCode
from engine.images.params import GenerateParams
from engine.job import Cancelled, Event, Failed, Finished, JobSpec, Output, Progress, Started, Warned
from engine.registry import JOBS, JobKind
from engine.runner import load_job_modules, plugin_modules, run_job

Handler = Callable[[Any, dict[str, Any], RunContext], Any]


class NoParams(BaseModel):
    model_config = ConfigDict(extra="forbid")


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Handler], None]]:
    """Give the job kind ``tested`` a handler for the time of the test."""
    monkeypatch.setattr(JOBS, "_items", dict(JOBS._items))
    return lambda handler: JOBS._items.update(tested=JobKind(NoParams, handler, "Tested"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Event]]:
    """Run a spec; its events."""

    def run(spec: JobSpec | None = None, cancel: Callable[[], bool] = lambda: False) -> list[Event]:
        events: list[Event] = []
        spec = spec or JobSpec("tested", device="cpu")
        run_job(spec, "job", ArtifactStore(tmp_path), events.append, cancel)
        return events

    return run


def test_metrics_have_time_and_device(handle, run) -> None:
    handle(lambda params, inputs, ctx: {"pictures": 3})
    started, finished = run()
    assert started == Started("job", "cpu")
    assert finished.metrics["pictures"] == 3
    assert finished.metrics["device"] == "cpu"
    assert finished.metrics["seconds"] >= 0


def test_a_handler_may_return_nothing(handle, run) -> None:
    handle(lambda params, inputs, ctx: None)
    assert isinstance(run()[-1], Finished)


def test_a_job_that_is_cancelled_before_it_starts_does_not_start(handle, run) -> None:
    handle(lambda params, inputs, ctx: pytest.fail("ran"))
    assert run(cancel=lambda: True) == [Cancelled("job")]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, RecursionError, AssertionError])
def test_whatever_a_handler_raises_is_one_terminal_event(handle, run, raised: type) -> None:
    def handler(params, inputs, ctx):
        raise raised("why")

    handle(handler)
    _, failed = run()
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INTERNAL
    assert raised.__name__ in failed.error.message
    assert "Traceback" in failed.error.detail


def test_an_engine_error_of_a_handler_is_passed_on(handle, run) -> None:
    error = EngineError(ErrorCode.MISSING_WEIGHTS, "not there", "look", "deep")

    def handler(params, inputs, ctx):
        raise error

    handle(handler)
    assert run()[-1] == Failed("job", error)


def test_a_store_that_is_full_fails_the_job_with_its_error(handle, tmp_path: Path) -> None:
    class FullStore(ArtifactStore):
        def put(self, *_: object) -> Any:
            raise EngineError(ErrorCode.INVALID_INPUT, "The disk is full.")

    handle(lambda params, inputs, ctx: ctx.save("one", b"1", "text/plain"))
    events: list[Event] = []
    run_job(JobSpec("tested", device="cpu"), "job", FullStore(tmp_path), events.append, lambda: False)
    assert isinstance(events[-1], Failed)
    assert events[-1].error.message == "The disk is full."


def test_what_emit_raises_leaves_the_runner(handle, tmp_path: Path) -> None:
    handle(lambda params, inputs, ctx: {})

    def emit(event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_job(JobSpec("tested", device="cpu"), "job", ArtifactStore(tmp_path), emit, lambda: False)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"steps": 0}, "steps: Input should be greater than or equal to 1 (given: 0)"),
        ({"steps": 10**6}, "steps: Input should be less than or equal to 1000 (given: 1000000)"),
        ({"sampler": {"name": "magic"}}, "sampler"),
        ({"sampler": {"name": "ddim", "eta": 2}}, "sampler.ddim.eta"),
        ({"count": "many"}, "count: Input should be a valid integer"),
        ({"prompt": "x" * 3000}, "prompt: String should have at most 2000 characters"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
    ],
)
def test_parameters_are_explained(handle, run, params: dict[str, Any], said: str) -> None:
    handle(lambda params, inputs, ctx: pytest.fail("ran"))
    JOBS._items["tested"] = JobKind(GenerateParams, JOBS._items["tested"].handler, "Tested")
    (failed,) = run(JobSpec("tested", params, device="cpu"))
    assert failed.error.code is ErrorCode.INVALID_INPUT
    assert said in failed.error.message
    assert len(failed.error.message) < 400


# --- out-of-memory ladder -------------------------------------------------------------------------


def test_the_ladder_halves_until_it_fits(handle, run, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    allocate = torch.zeros
    asked = []

    def short_of_memory(count: int) -> Any:
        """An allocator with room for two pictures."""
        asked.append(count)
        if count > 2:
            raise RuntimeError(f"DefaultCPUAllocator: can't allocate memory: {count} pictures")
        return allocate(count)

    monkeypatch.setattr(torch, "zeros", short_of_memory)

    def handler(params, inputs, ctx):
        batch, done = 8 >> ctx.attempt, 0
        while done < 8:
            ctx.progress(done, 8)
            torch.zeros(batch)
            done += batch
        ctx.progress(8, 8)
        return {"batch": batch}

    handle(handler)
    events = run()
    assert asked == [8, 4, 2, 2, 2, 2]
    assert events[-1].metrics["batch"] == 2
    assert sum(isinstance(event, Started) for event in events) == 1
    assert sum(isinstance(event, Warned) for event in events) == 1


def test_progress_stays_monotone_over_retries(handle, run) -> None:
    def handler(params, inputs, ctx):
        for done in range(4):
            ctx.progress(done, 4)
            if done == 3 and ctx.attempt < 2:
                raise MemoryError
        return {}

    handle(handler)
    shares = [event.done / event.total for event in run() if isinstance(event, Progress)]
    assert len(shares) == 12
    assert shares == sorted(shares)


def test_results_saved_before_a_retry_are_kept_and_told_once(handle, run) -> None:
    kept = []

    def handler(params, inputs, ctx):
        kept.append([ctx.is_kept("one"), ctx.is_kept("two")])
        first = ctx.save("one", f"by attempt {ctx.attempt}".encode(), "text/plain")
        if ctx.attempt == 0:
            raise MemoryError
        ctx.save("two", b"2", "text/plain")
        return {"one": first.sha256}

    handle(handler)
    events = run()
    outputs = [event for event in events if isinstance(event, Output)]
    assert [output.name for output in outputs] == ["one", "two"]
    assert events[-1].metrics["one"] == outputs[0].artifact.sha256
    assert kept == [[False, False], [True, False]]


def test_the_ladder_ends(handle, run) -> None:
    attempts = []

    def handler(params, inputs, ctx):
        attempts.append(ctx.attempt)
        raise MemoryError

    handle(handler)
    failed = run()[-1]
    assert attempts == [0, 1, 2, 3]
    assert failed.error.code is ErrorCode.OUT_OF_MEMORY
    assert failed.error.hint


def test_a_cancel_ends_the_ladder(handle, run) -> None:
    cancelled = []

    def handler(params, inputs, ctx):
        cancelled.append(True)
        raise MemoryError

    handle(handler)
    assert run(cancel=lambda: bool(cancelled))[-1] == Cancelled("job")
    assert len(cancelled) == 1


def test_a_retry_frees_models_and_what_the_failed_attempt_held(handle, run) -> None:
    import weakref

    class Large:
        pass

    alive: list[weakref.ref[Large]] = []

    def handler(params, inputs, ctx):
        if ctx.attempt == 0:
            large = Large()
            alive.append(weakref.ref(large))
            device.MODELS.get("model", lambda: "model", len)
            raise MemoryError
        return {"alive": alive[0]() is not None, "models": len(device.MODELS.keys())}

    handle(handler)
    metrics = run()[-1].metrics
    assert (metrics["alive"], metrics["models"]) == (False, 0)


# --- job modules ----------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module that can be imported for the time of the test."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(runner, "_broken_modules", {})
    monkeypatch.setattr(runner, "BUILTIN_MODULES", ())

    def write(name: str, text: str) -> str:
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_a_module_that_cannot_be_loaded_costs_only_its_own_jobs(handle, module, run) -> None:
    load_job_modules([module("broken_plugin", "import there_is_no_such_library")])
    handle(lambda params, inputs, ctx: {})
    assert isinstance(run()[-1], Finished)
    (failed,) = run(JobSpec("other", device="cpu"))
    assert failed.error.code is ErrorCode.INTERNAL
    assert "broken_plugin" in failed.error.message
    assert "there_is_no_such_library" in failed.error.detail


def test_a_repaired_module_is_forgiven(handle, module) -> None:
    load_job_modules([module("mended_plugin", "1 / 0")])
    assert "mended_plugin" in runner._broken_modules
    load_job_modules([module("mended_plugin", "")])
    assert runner._broken_modules == {}


def test_threads_wait_passively_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    load_job_modules([])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    load_job_modules([])
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_plugins_are_named_by_argument_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_PLUGINS", raising=False)
    assert plugin_modules() == []
    monkeypatch.setenv("TRIPTYCH_PLUGINS", " first , ,second.part,")
    assert plugin_modules(["given"]) == ["given", "first", "second.part"]
