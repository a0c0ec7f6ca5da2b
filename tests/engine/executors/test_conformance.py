"""What every executor promises; each test runs in all of them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.artifacts import ArtifactStore
from engine.errors import EngineError, ErrorCode
from engine.executors import Executor
from engine.job import (
    Cancelled,
    Failed,
    Finished,
    JobSpec,
    Output,
    Preview,
    Progress,
    Started,
    Warned,
    is_terminal,
)
from tests.engine.executors.watching import Watcher, job


def test_a_job_reports_in_order_and_its_results_are_stored(
    watcher: Watcher, store: ArtifactStore
) -> None:
    job_id = watcher.executor.submit(job("work"))
    finished = watcher.ends(job_id)
    assert isinstance(finished, Finished)
    assert finished.metrics["units"] == 3
    assert finished.metrics["pair"] == [1, 2]
    assert finished.metrics["device"] == "cpu"
    assert finished.metrics["seconds"] >= 0
    assert watcher.of(job_id, Started) == [Started(job_id, "cpu")]
    outputs = watcher.of(job_id, Output)
    assert [output.name for output in outputs] == ["result-0000", "result-0001", "result-0002"]
    for index, output in enumerate(outputs):
        assert len(store.read(output.artifact)) == 100
        assert output.manifest["n"] == index
        assert output.manifest["job"] == job_id
        assert JobSpec.from_json(output.manifest["spec"]) == job("work", count=3, seconds=0.0, text="")
        for key in ("triptych", "torch", "python", "platform", "device", "device_name"):
            assert output.manifest[key]
    assert watcher.of(job_id, Warned) == [Warned(job_id, "made for a test")]
    assert watcher.of(job_id, Progress)[-1] == Progress(job_id, 3, 3)


def test_previews_arrive_as_arrays(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("work", count=1))
    watcher.ends(job_id)
    (preview,) = watcher.of(job_id, Preview)
    expected = np.random.default_rng(7).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    assert preview.image.dtype == np.uint8
    np.testing.assert_array_equal(preview.image, expected)


def test_a_shown_preview_does_not_change_any_more(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("numbers"))
    assert isinstance(watcher.ends(job_id), Finished)
    (preview,) = watcher.of(job_id, Preview)
    assert (preview.image == 7).all()
    (progress,) = watcher.of(job_id, Progress)
    assert (type(progress.done), progress.done) == (float, 0.25)


@pytest.mark.parametrize(
    ("text", "said"), [("metrics", "JSON"), ("preview", "a preview must be uint8")]
)
def test_what_cannot_be_carried_fails_the_job(watcher: Watcher, text: str, said: str) -> None:
    failed = watcher.ends(watcher.executor.submit(job("numbers", text=text)))
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INTERNAL
    assert said in failed.error.detail


def test_jobs_run_one_after_another_in_order(watcher: Watcher) -> None:
    ids = [watcher.executor.submit(job("work", count=2), f"job-{number}") for number in range(4)]
    for job_id in ids:
        assert isinstance(watcher.ends(job_id), Finished)
    edges = [event for event in watcher.events if isinstance(event, Started) or is_terminal(event)]
    assert [event.job for event in edges] == [job_id for job_id in ids for _ in range(2)]


def test_cancel_answers_within_200_milliseconds(watcher: Watcher) -> None:
    waited = []
    for _ in range(3):
        job_id = watcher.executor.submit(job("wait"))
        watcher.runs(job_id)
        asked = time.monotonic()
        watcher.executor.cancel(job_id)
        assert watcher.ends(job_id) == Cancelled(job_id)
        waited.append(time.monotonic() - asked)
    assert min(waited) <= 0.2, waited  # the best of three: the machine may be busy with others


def test_a_cancelled_job_keeps_its_results(watcher: Watcher, store: ArtifactStore) -> None:
    job_id = watcher.executor.submit(job("work", count=1000, seconds=0.02))
    watcher.until(lambda event: isinstance(event, Output))
    watcher.executor.cancel(job_id)
    watcher.executor.cancel(job_id)
    assert watcher.ends(job_id) == Cancelled(job_id)
    outputs = watcher.of(job_id, Output)
    assert 1 <= len(outputs) < 1000
    assert all(store.verify(output.artifact) for output in outputs)


def test_a_waiting_job_is_cancelled_at_once(watcher: Watcher) -> None:
    running = watcher.executor.submit(job("wait"))
    waiting = watcher.executor.submit(job("work"))
    last = watcher.executor.submit(job("work"))
    watcher.runs(running)
    watcher.executor.cancel(waiting)
    assert watcher.ends(waiting) == Cancelled(waiting)
    assert watcher.of(waiting) == [Cancelled(waiting)]
    watcher.executor.cancel(running)
    assert isinstance(watcher.ends(last), Finished)


def test_a_late_or_wrong_cancel_is_ignored(watcher: Watcher) -> None:
    watcher.executor.cancel("nobody")
    job_id = watcher.executor.submit(job("work"), "again")
    watcher.ends(job_id)
    watcher.executor.cancel(job_id)
    watcher.events.clear()
    assert watcher.executor.submit(job("work"), "again") == "again"
    assert isinstance(watcher.ends("again"), Finished)


def test_an_id_runs_once_at_a_time(watcher: Watcher) -> None:
    watcher.executor.submit(job("wait"), "one")
    watcher.executor.submit(job("wait"), "two")
    for taken in ("one", "two"):
        with pytest.raises(EngineError) as caught:
            watcher.executor.submit(job("work"), taken)
        assert caught.value.code is ErrorCode.INVALID_INPUT


def test_bad_parameters_fail_as_invalid_input(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("work", count=0, colour="blue"))
    failed = watcher.ends(job_id)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INVALID_INPUT
    assert "count: Input should be greater than or equal to 1 (given: 0)" in failed.error.message
    assert "colour: Extra inputs are not permitted" in failed.error.message
    assert watcher.of(job_id) == [failed]
    assert isinstance(watcher.ends(watcher.executor.submit(job("work"))), Finished)


def test_an_unknown_kind_is_named(watcher: Watcher) -> None:
    failed = watcher.ends(watcher.executor.submit(job("wrok")))
    assert isinstance(failed, Failed)
    assert "test.wrok" in str(failed.error)
    assert "test.work" in str(failed.error)


def test_parameters_must_be_json(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        executor.submit(job("work", text=tmp_path))
    assert caught.value.code is ErrorCode.INVALID_INPUT


def test_an_unknown_device_fails_the_job(watcher: Watcher) -> None:
    failed = watcher.ends(watcher.executor.submit(replace(job("work"), device="abacus")))
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INVALID_INPUT
    assert "'abacus' is not a device" in failed.error.message


def test_an_exception_fails_the_job_with_its_traceback(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("raise", text="two by zero"))
    failed = watcher.ends(job_id)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INTERNAL
    assert "ZeroDivisionError: two by zero" in failed.error.message
    assert "job_kinds.py" in failed.error.detail
    assert [output.name for output in watcher.of(job_id, Output)] == ["before"]


def test_a_handler_cannot_end_the_process(watcher: Watcher) -> None:
    failed = watcher.ends(watcher.executor.submit(job("quit")))
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.INTERNAL
    assert isinstance(watcher.ends(watcher.executor.submit(job("work"))), Finished)


def test_printing_is_harmless(watcher: Watcher, store: ArtifactStore) -> None:
    job_id = watcher.executor.submit(job("print", text="stray text"))
    assert isinstance(watcher.ends(job_id), Finished)
    (output,) = watcher.of(job_id, Output)
    assert store.read(output.artifact) == b"stray text"


def test_inputs_are_given_as_files(watcher: Watcher, store: ArtifactStore, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("from a path")
    artifact = store.put(b"from the store", "text/plain", {"job": "earlier", "name": "notes"})
    spec = replace(job("inputs"), inputs={"path": file, "artifact": artifact})
    finished = watcher.ends(watcher.executor.submit(spec))
    assert isinstance(finished, Finished)
    assert finished.metrics["path"] == "from a path"
    assert finished.metrics["artifact"] == "from the store"


def test_missing_and_damaged_inputs_are_named(
    watcher: Watcher, store: ArtifactStore, tmp_path: Path
) -> None:
    artifact = store.put(b"from the store", "text/plain", {"job": "earlier", "name": "notes"})
    store.path(artifact).write_bytes(b"from the stork")
    for value, code in (
        (tmp_path / "gone.txt", ErrorCode.INVALID_INPUT),
        (artifact, ErrorCode.BAD_FILE),
    ):
        spec = replace(job("inputs"), inputs={"notes": value})
        failed = watcher.ends(watcher.executor.submit(spec))
        assert isinstance(failed, Failed)
        assert failed.error.code is code
        assert "'notes'" in failed.error.message


@pytest.mark.parametrize("text", ["", "torch"])
def test_out_of_memory_is_tried_again_with_less(
    watcher: Watcher, store: ArtifactStore, text: str
) -> None:
    job_id = watcher.executor.submit(job("hungry", count=2, text=text))
    finished = watcher.ends(job_id)
    assert isinstance(finished, Finished)
    assert finished.metrics["attempt"] == 2
    assert len(watcher.of(job_id, Started)) == 1
    assert len(watcher.of(job_id, Warned)) == 1
    outputs = watcher.of(job_id, Output)
    assert [output.name for output in outputs] == ["part-0", "part-1", "part-2", "part-3"]
    contents = [store.read(output.artifact) for output in outputs]
    assert contents == [b"0 0", b"1 1", b"2 2", b"3 2"]  # each by the attempt that made it first
    assert not outputs[0].manifest["warnings"]
    assert outputs[3].manifest["warnings"]


def test_out_of_memory_ends_after_three_retries(watcher: Watcher) -> None:
    job_id = watcher.executor.submit(job("hungry", text="never"))
    failed = watcher.ends(job_id)
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.OUT_OF_MEMORY
    assert "after 3 attempts with smaller batches" in failed.error.message
    assert "smaller batch" in failed.error.hint
    assert "MemoryError" in failed.error.detail
    assert len(watcher.of(job_id, Output)) == 1


def test_global_generators_are_seeded(watcher: Watcher) -> None:
    first, second = (watcher.ends(watcher.executor.submit(job("random"))) for _ in range(2))
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    drop = {"seconds": 0}
    assert {**first.metrics, **drop} == {**second.metrics, **drop}


def test_a_slow_consumer_gets_the_newest_and_everything_that_matters(watcher: Watcher) -> None:
    executor = watcher.executor
    first = executor.submit(job("flood", count=2000))
    last = executor.submit(job("raise"))
    deadline = time.monotonic() + 60
    # Nobody listens until the second job has run: its result is a file.
    while not is_terminal((watcher.events or [Started("")])[-1]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
        watcher.events += executor.events(0.0)
    watcher.ends(last)
    assert isinstance(watcher.ends(first), Finished)
    assert watcher.of(first, Progress)[-1] == Progress(first, 2000, 2000)
    assert len(watcher.of(first, Progress)) < 200
    assert [event.name for event in watcher.of(first, Output)] == ["flood"]


def test_events_returns_when_the_time_is_over(executor: Executor) -> None:
    started = time.monotonic()
    assert executor.events(0.05) == []
    assert 0.04 <= time.monotonic() - started < 5


def test_close_ends_every_job(watcher: Watcher) -> None:
    running = watcher.executor.submit(job("wait"))
    waiting = watcher.executor.submit(job("work"))
    watcher.runs(running)
    watcher.executor.close()
    watcher.executor.close()
    watcher.events += watcher.executor.events(10)
    for job_id in (running, waiting):
        assert watcher.ends(job_id) == Cancelled(job_id)
    assert watcher.executor.events(10) == []  # at once
    with pytest.raises(EngineError, match="shut down"):
        watcher.executor.submit(job("work"))


def test_every_place_gives_the_same_results(make, store: ArtifactStore) -> None:
    results = []
    for place in ("inline", "process"):
        watcher = Watcher(make(place))
        watcher.ends(watcher.executor.submit(job("work"), "same"))
        outputs = watcher.of("same", Output)
        manifests = [{**output.manifest, "seconds": 0} for output in outputs]
        results.append([(o.name, o.artifact, m) for o, m in zip(outputs, manifests, strict=True)])
    assert results[0] == results[1]
