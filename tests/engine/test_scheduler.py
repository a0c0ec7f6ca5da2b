"""The scheduler, with an executor that does exactly what the test says."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.artifacts import ArtifactStore
from engine.errors import EngineError, ErrorCode
from engine.job import (
    ArtifactRef,
    Cancelled,
    EngineDied,
    EngineReady,
    Event,
    Failed,
    Finished,
    JobSpec,
    JobState,
    Logged,
    Output,
    Progress,
    Started,
    is_terminal,
)
from engine.project import Project
from engine.scheduler import Scheduler

DIED = EngineError(ErrorCode.ENGINE_DIED, "The engine process ended.", "Run the job again.")


def spec(seed: int = 1) -> JobSpec:
    return JobSpec("test.kind", {"text": "x"}, seed=seed)


class ScriptedExecutor:
    """Takes one job and waits for the test to say what happens to it."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.submitted: list[tuple[str, JobSpec]] = []
        self.cancelled: list[str] = []
        self.refusal: EngineError | None = None
        self.says_on_close: list[Event] = []
        self.closed = 0
        self._events: list[Event] = []

    def submit(self, spec: JobSpec, job_id: str | None = None) -> str:
        assert job_id is not None
        if self.refusal:
            raise self.refusal
        self.submitted.append((job_id, spec))
        self.say(Started(job_id, "cpu"))
        return job_id

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def events(self, timeout: float) -> list[Event]:
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self.closed += 1
        self._events += self.says_on_close

    def say(self, *events: Event) -> None:
        self._events += events

    def make(self, job: str, name: str) -> Output:
        """Store a result, as the engine process does before it tells."""
        manifest = {"job": job, "name": name, "spec": spec().to_json()}
        return Output(job, name, self.store.put(name.encode(), "image/png", manifest), manifest)


class Bench:
    """A scheduler with everything around it, and what its listener heard."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.executor = ScriptedExecutor(project.store)
        self.heard: list[Event] = []
        self.scheduler = Scheduler(project, self.executor, self.listen)

    def listen(self, event: Event) -> None:
        if isinstance(event, Output):
            assert self.project.result_of(event.job, event.name).artifact == event.artifact
        elif is_terminal(event):
            assert self.project.job(event.job).state.terminal
        self.heard.append(event)

    def state(self, job: str) -> JobState:
        return self.project.job(job).state

    def start(self) -> str:
        """Queue a job and let it start."""
        job = self.scheduler.enqueue(spec())
        self.scheduler.step(0)
        assert self.state(job) is JobState.RUNNING
        return job


@pytest.fixture
def bench(project: Project) -> Bench:
    return Bench(project)


def test_jobs_run_one_after_another_in_the_order_of_the_queue(bench):
    ids = bench.scheduler.enqueue_many([spec(seed) for seed in range(3)])
    bench.project.move_job(ids[2], ids[0])
    for job in (ids[2], ids[0], ids[1]):
        assert bench.scheduler.step(0)
        assert bench.scheduler.running == job
        assert list(map(bench.state, ids)).count(JobState.RUNNING) == 1
        bench.executor.say(Finished(job, {"seconds": 1}))
        assert bench.scheduler.step(0)
        assert bench.scheduler.running is None
        assert bench.state(job) is JobState.SUCCEEDED
        assert bench.project.job(job).metrics["seconds"] == 1
    assert not bench.scheduler.step(0)
    assert [job for job, _ in bench.executor.submitted] == [ids[2], ids[0], ids[1]]
    assert [spec.seed for _, spec in bench.executor.submitted] == [2, 0, 1]


def test_everything_is_heard_in_order_after_it_is_recorded(bench):
    job = bench.start()
    events = [
        EngineReady({"device": "cpu"}),
        Progress(job, 1, 2),
        bench.executor.make(job, "one"),
        Logged("", "INFO", "a line"),
        *(bench.executor.make(job, f"more-{index}") for index in range(30)),
        Finished(job, {}),
    ]
    bench.executor.say(*events)
    bench.scheduler.step(0)
    assert bench.heard == [Started(job, "cpu"), *events]
    assert bench.project.count_results() == 31


def test_a_failure_is_recorded_with_its_reason(bench):
    job = bench.start()
    bench.executor.say(Failed(job, DIED))
    bench.scheduler.step(0)
    assert bench.state(job) is JobState.FAILED
    assert bench.project.job(job).error.to_json() == DIED.to_json()
    assert bench.scheduler.running is None


def test_pausing_lets_the_running_job_end_and_starts_no_other(bench):
    first, second = bench.scheduler.enqueue_many([spec(), spec()])
    bench.scheduler.step(0)
    bench.scheduler.pause()
    assert bench.scheduler.paused
    bench.executor.say(Finished(first, {}))
    bench.scheduler.step(0)
    assert not bench.scheduler.step(0)
    assert bench.state(second) is JobState.QUEUED
    bench.scheduler.resume()
    assert not bench.scheduler.paused
    assert bench.scheduler.step(0)
    assert bench.scheduler.running == second


def test_a_waiting_job_is_cancelled_at_once_and_never_given_to_the_executor(bench):
    job = bench.scheduler.enqueue(spec())
    bench.scheduler.cancel(job)
    assert bench.state(job) is JobState.CANCELLED
    bench.scheduler.step(0)
    assert bench.heard == [Cancelled(job)]
    assert bench.executor.submitted == bench.executor.cancelled == []


def test_a_running_job_is_cancelled_when_the_executor_says_so(bench):
    job = bench.start()
    bench.scheduler.cancel(job)
    assert bench.state(job) is JobState.CANCELLING
    bench.scheduler.cancel(job)
    assert bench.executor.cancelled == [job]
    bench.executor.say(bench.executor.make(job, "made before"), Cancelled(job))
    bench.scheduler.step(0)
    assert bench.state(job) is JobState.CANCELLED
    assert bench.project.count_results() == 1


def test_a_job_that_was_ready_before_its_cancel_arrived_has_succeeded(bench):
    job = bench.start()
    bench.scheduler.cancel(job)
    bench.executor.say(Finished(job, {}))
    bench.scheduler.step(0)
    assert bench.state(job) is JobState.SUCCEEDED


def test_cancelling_what_has_ended_changes_nothing(bench):
    job = bench.start()
    bench.executor.say(Finished(job, {}))
    bench.scheduler.step(0)
    bench.scheduler.cancel(job)
    assert bench.state(job) is JobState.SUCCEEDED
    assert bench.executor.cancelled == []
    with pytest.raises(EngineError, match="no job"):
        bench.scheduler.cancel("nobody")


def test_an_interrupted_job_is_run_again_or_discarded_only_when_asked(bench):
    jobs = bench.scheduler.enqueue_many([spec(), spec()])
    for job in jobs:
        bench.project.set_job_state(job, JobState.RUNNING)
        bench.project.set_job_state(job, JobState.INTERRUPTED)
    assert not bench.scheduler.step(0)
    bench.scheduler.requeue(jobs[0])
    bench.scheduler.discard(jobs[1])
    assert bench.scheduler.step(0)
    assert bench.scheduler.running == jobs[0]
    assert bench.state(jobs[1]) is JobState.CANCELLED
    assert Cancelled(jobs[1]) in bench.heard


def test_a_job_the_executor_refuses_fails_and_the_next_one_runs(bench):
    refused, following = bench.scheduler.enqueue_many([spec(), spec()])
    bench.executor.refusal = EngineError(ErrorCode.INVALID_INPUT, "No such thing.")
    bench.scheduler.step(0)
    assert bench.state(refused) is JobState.FAILED
    assert [(type(event), event.job) for event in bench.heard] == [(Failed, refused)]
    bench.executor.refusal = None
    bench.scheduler.step(0)
    assert bench.scheduler.running == following


def test_a_second_terminal_event_is_not_heard(bench, caplog):
    job = bench.start()
    bench.executor.say(Cancelled(job), Failed(job, DIED), Finished(job, {}))
    bench.scheduler.step(0)
    assert bench.state(job) is JobState.CANCELLED
    assert [event for event in bench.heard if is_terminal(event)] == [Cancelled(job)]
    assert "ended twice" in caplog.text


def test_what_a_dead_engine_stored_is_announced_before_its_job_ends(bench):
    job, following = bench.start(), bench.scheduler.enqueue(spec())
    bench.executor.say(bench.executor.make(job, "told"))
    untold = bench.executor.make(job, "untold")
    bench.executor.say(EngineDied("it was ended by SIGKILL"), Failed(job, DIED))
    bench.scheduler.step(0)
    assert [type(event) for event in bench.heard] == [Started, Output, Output, EngineDied, Failed]
    assert bench.heard[2] == untold
    assert bench.project.count_results() == 2
    bench.scheduler.step(0)
    assert bench.scheduler.running == following


def full_disk(*_arguments: object, **_options: object) -> None:
    raise EngineError(ErrorCode.INVALID_INPUT, "The disk is full.")


@pytest.mark.parametrize("method", ["add_result", "set_job_state"])
def test_nothing_is_lost_when_the_project_cannot_be_written_for_a_while(bench, method, monkeypatch):
    job = bench.start()
    output = bench.executor.make(job, "one")
    bench.executor.say(Progress(job, 1, 2), output, Finished(job, {"seconds": 2}))
    with monkeypatch.context() as patch:
        patch.setattr(bench.project, method, full_disk)
        for _ in range(3):
            with pytest.raises(EngineError, match="full"):
                bench.scheduler.step(0)
        assert not any(is_terminal(event) for event in bench.heard)
    bench.scheduler.step(0)
    expected = [Started(job, "cpu"), Progress(job, 1, 2), output, Finished(job, {"seconds": 2})]
    assert bench.heard == expected
    assert bench.state(job) is JobState.SUCCEEDED


def test_a_job_that_cannot_be_marked_as_running_is_not_started(bench, monkeypatch):
    job = bench.scheduler.enqueue(spec())
    with monkeypatch.context() as patch:
        patch.setattr(bench.project, "set_job_state", full_disk)
        with pytest.raises(EngineError, match="full"):
            bench.scheduler.step(0)
    assert bench.executor.submitted == []
    assert bench.state(job) is JobState.QUEUED
    bench.scheduler.step(0)
    assert bench.scheduler.running == job


def test_a_running_job_is_cancelled_also_on_a_full_disk(bench, monkeypatch):
    job = bench.start()
    with monkeypatch.context() as patch:
        patch.setattr(bench.project, "set_job_state", full_disk)
        with pytest.raises(EngineError, match="full"):
            bench.scheduler.cancel(job)
    assert bench.executor.cancelled == [job]


def test_a_listener_that_fails_misses_one_event_and_the_project_none(bench):
    job = bench.start()

    def fail(event: Event) -> None:
        raise RuntimeError(str(event))

    scheduler = bench.scheduler
    scheduler._listener = fail
    bench.executor.say(bench.executor.make(job, "one"), Finished(job, {}))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            scheduler.step(0)
    assert bench.state(job) is JobState.SUCCEEDED
    assert bench.project.count_results() == 1
    assert not scheduler.step(0)


# --- closing ---------------------------------------------------------------------------------------


def test_closing_interrupts_what_runs_and_keeps_what_waits(bench):
    job, waiting = bench.start(), bench.scheduler.enqueue(spec())
    heard = list(bench.heard)
    bench.executor.say(bench.executor.make(job, "just told"))
    bench.executor.says_on_close = [bench.executor.make(job, "told while closing"), Cancelled(job)]
    bench.scheduler.close()
    bench.scheduler.close()
    assert bench.executor.closed == 1
    assert bench.state(job) is JobState.INTERRUPTED
    assert bench.state(waiting) is JobState.QUEUED
    assert bench.project.count_results() == 2
    assert bench.heard == heard
    assert not bench.scheduler.step(0)
    assert bench.state(waiting) is JobState.QUEUED


@pytest.mark.parametrize(
    ("before", "while_closing", "expected"),
    [
        ([], [Finished], JobState.SUCCEEDED),
        ([Finished], [], JobState.SUCCEEDED),
        ([Cancelled], [], JobState.CANCELLED),
        ([], [Cancelled], JobState.INTERRUPTED),
        ([], [Failed], JobState.INTERRUPTED),
        ([], [], JobState.INTERRUPTED),
    ],
)
def test_how_a_running_job_stands_after_closing(bench, before, while_closing, expected):
    job = bench.start()
    more = {Finished: {}, Failed: DIED}
    ends = {
        kind: kind(job, more[kind]) if kind in more else kind(job) for kind in (*before, *while_closing)
    }
    bench.executor.say(*(ends[kind] for kind in before))
    bench.executor.says_on_close = [ends[kind] for kind in while_closing]
    bench.scheduler.close()
    assert bench.state(job) is expected


def test_a_job_being_cancelled_is_cancelled_by_closing(bench):
    job = bench.start()
    bench.scheduler.cancel(job)
    bench.scheduler.close()
    assert bench.state(job) is JobState.CANCELLED


def test_closing_ends_the_executor_also_on_a_full_disk(bench, monkeypatch):
    job = bench.start()
    bench.executor.say(bench.executor.make(job, "one"))
    with monkeypatch.context() as patch:
        patch.setattr(bench.project, "add_result", full_disk)
        patch.setattr(bench.project, "set_job_state", full_disk)
        bench.scheduler.close()
    assert bench.executor.closed == 1
    # As a later session would find it:
    bench.project.close()
    with Project.open(bench.project.folder) as project:
        assert project.job(job).state is JobState.INTERRUPTED
        assert project.count_results() == 1


# --- threads and imports ---------------------------------------------------------------------------


def test_jobs_may_be_added_and_cancelled_while_another_thread_steps(bench):
    """Every job ends once, whichever of cancel and start comes first."""
    done = threading.Event()

    def loop() -> None:
        while not done.is_set() or bench.scheduler.running or bench.project.next_queued():
            bench.scheduler.step(0)
            if bench.scheduler.running:
                bench.executor.say(Finished(bench.scheduler.running, {}))

    thread = threading.Thread(target=loop)
    thread.start()
    ids = []
    for seed in range(60):
        ids.append(bench.scheduler.enqueue(spec(seed)))
        if seed % 2:
            bench.scheduler.cancel(ids[-1])
    done.set()
    thread.join(60)
    assert not thread.is_alive()
    bench.scheduler.step(0)
    states = {bench.state(job) for job in ids}
    assert states <= {JobState.SUCCEEDED, JobState.CANCELLED}
    assert sorted(event.job for event in bench.heard if is_terminal(event)) == sorted(ids)


def test_the_durable_side_is_light_to_import(repository: Path):
    """The window imports it before its first paint."""
    code = "import sys, engine.scheduler, engine.project; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pydantic", "PySide6", "scipy", "PIL", "psutil"} & set(modules)


def test_an_output_is_recorded_for_any_job(bench):
    """Results are never dropped, also of a job the project does not know."""
    bench.executor.say(Output("elsewhere", "one", ArtifactRef("0" * 64, "image/png", 1), {}))
    bench.scheduler.step(0)
    assert bench.project.result_of("elsewhere", "one").kind == ""
