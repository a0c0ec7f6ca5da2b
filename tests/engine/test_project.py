"""A project on disk: queue, history, settings, the lock, and what opening it repairs or refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError, ErrorCode
from engine.job import ArtifactRef, JobSpec, JobState
from engine.project import Project, ResultFilter, database, queue
from engine.project.project import ARTIFACTS, DATABASE, LOCK

TERMINAL = [JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED]
FAILURE = EngineError(ErrorCode.OUT_OF_MEMORY, "Too big.", "Ask for less.", "detail")


def spec(prompt: str = "a red circle", seed: int = 1) -> JobSpec:
    return JobSpec("images.generate", {"prompt": prompt, "model": "builtin"}, seed=seed)


def manifest(job: str, name: str = "image-0001", **details: object) -> dict[str, object]:
    return {"job": job, "name": name, "spec": spec().to_json(), **details}


def add_result(project: Project, job: str, name: str = "image-0001", **details: object):
    made = manifest(job, name, **details)
    data = json.dumps(made).encode()
    return project.add_result(job, name, project.store.put(data, "image/png", made), made)


def bring_to(project: Project, job: str, state: JobState) -> None:
    """Lead a queued job to a state."""
    ways = {
        JobState.QUEUED: [],
        JobState.RUNNING: [JobState.RUNNING],
        JobState.CANCELLING: [JobState.RUNNING, JobState.CANCELLING],
        JobState.CANCELLED: [JobState.CANCELLED],
        JobState.SUCCEEDED: [JobState.RUNNING, JobState.SUCCEEDED],
        JobState.FAILED: [JobState.RUNNING, JobState.FAILED],
        JobState.INTERRUPTED: [JobState.RUNNING, JobState.INTERRUPTED],
    }
    for step in ways[state]:
        project.set_job_state(job, step)


def order(project: Project) -> list[str]:
    return [job.id for job in project.jobs([JobState.QUEUED])]


# --- jobs ------------------------------------------------------------------------------------------


def test_a_job_is_kept_as_it_was_given(project):
    given_spec = JobSpec(
        "images.generate",
        {"prompt": "ein Kreis ☃", "steps": 3},
        {"mask": ArtifactRef("ab" * 32, "image/png", 3), "photo": Path("photo.png")},
        seed=2**63 - 1,
        device="cpu",
    )
    job = project.job(project.add_job(given_spec))
    assert job.spec == given_spec
    assert job.state is JobState.QUEUED
    assert (job.started, job.ended, job.error, dict(job.metrics)) == (None, None, None, {})


def test_the_life_of_a_job_is_recorded(project):
    first, second = project.add_jobs([spec(), spec()])
    project.set_job_state(first, JobState.RUNNING)
    project.set_job_state(first, JobState.SUCCEEDED, metrics={"seconds": 1.5, "odd": Path("x")})
    project.set_job_state(second, JobState.RUNNING)
    project.set_job_state(second, JobState.FAILED, error=FAILURE)
    done, failed = project.jobs()
    assert done.created <= done.started <= done.ended
    assert dict(done.metrics) == {"seconds": 1.5, "odd": "x"}
    assert done.error is None
    assert failed.error.to_json() == FAILURE.to_json()


def test_jobs_run_in_the_order_they_came(project):
    ids = project.add_jobs(spec(seed=seed) for seed in range(5))
    assert order(project) == ids
    assert project.next_queued().id == ids[0]
    project.set_job_state(ids[0], JobState.RUNNING)
    assert project.next_queued().id == ids[1]


def test_nothing_is_next_in_an_empty_queue(project):
    assert project.next_queued() is None
    assert project.jobs() == []


def test_jobs_are_listed_by_state_and_page(project):
    ids = project.add_jobs(spec(seed=seed) for seed in range(6))
    for job in ids[:2]:
        bring_to(project, job, JobState.SUCCEEDED)
    assert [job.id for job in project.jobs(limit=2, offset=1)] == ids[1:3]
    assert [job.id for job in project.jobs({JobState.SUCCEEDED, JobState.FAILED})] == ids[:2]
    assert project.jobs([]) == []
    counts = project.counts()
    assert set(counts) == set(JobState)
    assert (counts[JobState.QUEUED], counts[JobState.SUCCEEDED], counts[JobState.FAILED]) == (4, 2, 0)


def test_all_jobs_are_added_or_none(project):
    with pytest.raises(EngineError, match="cannot be kept"):
        project.add_jobs([spec(), JobSpec("images.generate", {"bad": object()})])
    assert project.jobs() == []
    assert project.add_jobs([]) == []


def test_an_unknown_job_is_refused_everywhere(project):
    known = project.add_job(spec())
    for call in (
        lambda: project.job("nobody"),
        lambda: project.set_job_state("nobody", JobState.RUNNING),
        lambda: project.move_job("nobody", None),
        lambda: project.move_job(known, "nobody"),
        lambda: project.discard("nobody"),
    ):
        with pytest.raises(EngineError, match="no job 'nobody'") as raised:
            call()
        assert raised.value.code is ErrorCode.INVALID_INPUT


@pytest.mark.parametrize("state", TERMINAL)
@pytest.mark.parametrize("next_state", JobState)
def test_terminal_states_never_change(project, state, next_state):
    job = project.add_job(spec())
    bring_to(project, job, state)
    before = project.job(job)
    for change in (
        lambda: project.set_job_state(job, next_state, error=FAILURE, metrics={"a": 1}),
        lambda: project.requeue(job),
        lambda: project.discard(job),
    ):
        with pytest.raises(EngineError, match=f"stays {state}"):
            change()
    assert project.job(job) == before


def test_an_interrupted_job_waits_for_a_decision(project):
    first, second, third = project.add_jobs([spec(seed=seed) for seed in range(3)])
    for job in (first, second):
        bring_to(project, job, JobState.INTERRUPTED)
    for state in (JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING):
        with pytest.raises(EngineError, match="stays interrupted"):
            project.set_job_state(first, state)
    project.requeue(first)
    again = project.job(first)
    assert (again.state, again.started, again.ended) == (JobState.QUEUED, None, None)
    assert order(project) == [first, third]
    project.discard(second)
    assert project.job(second).state is JobState.CANCELLED


def test_only_waiting_jobs_are_discarded_or_requeued(project):
    job = project.add_job(spec())
    with pytest.raises(EngineError, match="stays queued"):
        project.requeue(job)
    project.set_job_state(job, JobState.RUNNING)
    with pytest.raises(EngineError, match="stays running"):
        project.discard(job)


def test_only_queued_jobs_are_moved(project):
    first, second = project.add_jobs([spec(), spec()])
    project.set_job_state(first, JobState.RUNNING)
    with pytest.raises(EngineError, match="running"):
        project.move_job(first, None)
    project.move_job(second, first)  # just started while the user was dragging
    assert order(project) == [second]


OPERATIONS = st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from("amneri"))


@settings(max_examples=40, deadline=None)
@given(st.lists(OPERATIONS, max_size=25), st.sampled_from([1, 2, 3, queue._GAP]))
def test_moving_is_moving_in_a_list(operations, gap):
    """Against a plain list, with jobs added, moved, run and requeued in between; also without gaps."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        Project.create(folder) as project,
    ):
        patch.setattr(queue, "_GAP", gap)
        waiting = project.add_jobs([spec(seed=seed) for seed in range(4)])
        interrupted: list[str] = []
        for first, second, operation in operations:
            if operation == "a":
                waiting.append(project.add_job(spec()))
            elif operation == "r" and waiting:
                interrupted.append(waiting.pop(0))
                bring_to(project, interrupted[-1], JobState.INTERRUPTED)
            elif operation == "i" and interrupted:
                # Back in front of everything that it was in front of.
                job = interrupted.pop()
                project.requeue(job)
                project.move_job(job, waiting[0] if waiting else None)
                waiting.insert(0, job)
            elif operation in "mne" and waiting:
                job = waiting[first % len(waiting)]
                before = waiting[second % len(waiting)] if operation != "e" else None
                project.move_job(job, before)
                if before != job:
                    waiting.remove(job)
                    waiting.insert(waiting.index(before) if before else len(waiting), job)
            assert order(project) == waiting
        positions = [job.position for job in project.jobs()]
        assert len(set(positions)) == len(positions)


# --- results ---------------------------------------------------------------------------------------


def test_a_result_has_what_lists_show_and_a_manifest_with_everything(project):
    job = project.add_job(spec())
    record = add_result(
        project, job, prompt="a red circle", seed=7, model="mine", width=64, height=32, extra=[1]
    )
    assert (record.job, record.name, record.kind) == (job, "image-0001", "images.generate")
    assert (record.prompt, record.seed, record.model) == ("a red circle", 7, "mine")
    assert (record.width, record.height) == (64, 32)
    assert (record.starred, record.liked, record.removed) == (False, 0, False)
    assert project.result(record.id) == project.result_of(job, "image-0001") == record
    assert project.manifest(record.id)["extra"] == [1]
    assert project.store.verify(record.artifact)


def test_values_missing_in_a_manifest_come_from_its_spec(project):
    record = add_result(project, project.add_job(spec()))
    assert (record.prompt, record.seed, record.model) == ("a red circle", 1, "builtin")
    assert (record.width, record.height) == (None, None)


@pytest.mark.parametrize(
    "details",
    [
        {"spec": None},
        {"spec": [1]},
        {"spec": {"params": 3}},
        {"seed": "seven", "width": 1.5, "prompt": 3, "model": None},
        {"seed": 2**63},
        {"prompt": "half a pair \ud800", "class_name": ["x"]},
        {"loss": float("nan")},
    ],
)
def test_a_result_is_recorded_whatever_its_manifest_holds(project, details):
    record = add_result(project, "job", **details)
    assert project.result(record.id) == record
    assert set(project.manifest(record.id)) >= set(details)


def test_recording_the_same_result_twice_changes_nothing(project):
    job = project.add_job(spec())
    first = add_result(project, job)
    project.set_starred([first.id], True)
    assert add_result(project, job) == project.result(first.id)
    assert project.count_results() == 1


def test_a_result_made_again_takes_the_place_and_stars_of_the_first(project):
    job = project.add_job(spec())
    first = add_result(project, job, seconds=1)
    project.set_starred([first.id], True)
    second = add_result(project, job, seconds=2)
    assert (second.id, second.starred) == (first.id, True)
    assert second.artifact != first.artifact
    assert project.manifest(first.id)["seconds"] == 2
    assert project.count_results() == 1


@pytest.fixture
def gallery(project):
    """Five results; the project."""
    prompts = ["a red circle", "a RED square", "ein grüner Kreis", "Ärger", "blue"]
    for index, prompt in enumerate(prompts, start=1):
        model = "builtin" if index % 2 else "mine"
        details = {"prompt": prompt, "seed": 100 + index, "model": model}
        record = add_result(project, "job", f"image-{index}", **details)
        assert record.id == index
    project.set_starred([1, 3], True)
    project.set_liked([2, 3], 1)
    project.set_liked([4], -1)
    project.set_removed([5], True)
    return project


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (ResultFilter(), [4, 3, 2, 1]),
        (ResultFilter(include_removed=True), [5, 4, 3, 2, 1]),
        (ResultFilter(text="red"), [2, 1]),
        (ResultFilter(text="  Circle RED "), [1]),
        (ResultFilter(text="GRÜNER"), [3]),
        (ResultFilter(text="ärger"), [4]),
        (ResultFilter(text="103"), [3]),
        (ResultFilter(text="mine"), [4, 2]),
        (ResultFilter(text="100%"), []),
        (ResultFilter(text="_"), []),
        (ResultFilter(text="'; DROP TABLE results; --"), []),
        (ResultFilter(text="\ud800"), []),
        (ResultFilter(model="mine"), [4, 2]),
        (ResultFilter(starred=True), [3, 1]),
        (ResultFilter(liked=1), [3, 2]),
        (ResultFilter(liked=0), [1]),
        (ResultFilter(liked=-1), [4]),
        (ResultFilter(kind="images.generate", starred=True, liked=1), [3]),
        (ResultFilter(kind="tracks.detect"), []),
    ],
)
def test_filters(gallery, wanted, ids):
    assert gallery.result_ids(wanted) == ids
    assert [record.id for record in gallery.results(wanted)] == ids
    assert gallery.count_results(wanted) == len(ids)


def test_results_come_in_pages_newest_first(gallery):
    everything = ResultFilter(include_removed=True)
    pages = [gallery.results(everything, 2, offset) for offset in (0, 2, 4, 6)]
    assert [[record.id for record in page] for page in pages] == [[5, 4], [3, 2], [1], []]
    assert len(gallery.results(everything, None)) == 5


def test_flags_are_taken_back(gallery):
    gallery.set_starred([1, 3], False)
    gallery.set_liked([2, 3, 4], 0)
    gallery.set_removed([5], False)
    assert gallery.result_ids(ResultFilter(liked=0)) == [5, 4, 3, 2, 1]
    assert gallery.result_ids(ResultFilter(starred=True)) == []


def test_flags_of_very_many_and_of_unknown_results(gallery):
    gallery.set_starred(range(100_000), True)
    assert gallery.count_results(ResultFilter(starred=True)) == 4


def test_a_rating_that_does_not_exist_is_refused(gallery):
    with pytest.raises(EngineError, match="rating of 2"):
        gallery.set_liked([1], 2)


def test_an_unknown_result_is_refused(project):
    for call in (
        lambda: project.result(1),
        lambda: project.manifest(1),
        lambda: project.result_of("job", "image-0001"),
    ):
        with pytest.raises(EngineError, match=r"no result"):
            call()


def test_settings_are_kept(project):
    assert project.get("view") is None
    assert project.get("view", 3) == 3
    for value in ({"zoom": 1.5, "list": [1, None]}, None, "text"):
        project.put("view", value)
        assert project.get("view", 3) == value


# --- opening and closing ---------------------------------------------------------------------------


def test_everything_is_there_after_reopening(tmp_path):
    with Project.create(tmp_path / "a" / "project") as project:
        jobs = project.add_jobs([spec(seed=seed) for seed in range(3)])
        bring_to(project, jobs[0], JobState.SUCCEEDED)
        record = add_result(project, jobs[0])
        project.set_starred([record.id], True)
        project.put("key", 1)
        listed = project.jobs()
    with Project.open(tmp_path / "a" / "project") as project:
        assert project.recovered == type(project.recovered)()
        assert project.jobs() == listed
        assert project.results()[0].starred
        assert project.get("key") == 1
        assert project.store.read(record.artifact)


def test_open_or_create(tmp_path):
    with Project.open_or_create(tmp_path) as project:
        job = project.add_job(spec())
    with Project.open_or_create(str(tmp_path)) as project:
        assert project.job(job).id == job
    with pytest.raises(EngineError, match="already"):
        Project.create(tmp_path)


def test_a_folder_without_a_project_is_refused_and_left_alone(tmp_path):
    with pytest.raises(EngineError, match="no Triptych project") as raised:
        Project.open(tmp_path)
    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError) as raised:
        Project.create(tmp_path / "file")
    assert raised.value.code is ErrorCode.INVALID_INPUT


def test_a_closed_project_says_so(tmp_path):
    project = Project.create(tmp_path)
    project.close()
    project.close()
    for call in (project.counts, lambda: project.add_job(spec())):
        with pytest.raises(EngineError, match="is closed"):
            call()


def test_a_project_is_opened_once(project):
    for _ in range(2):
        with pytest.raises(EngineError, match=rf"already open .*\(process {os.getpid()}\)") as raised:
            Project.open(project.folder)
        assert raised.value.code is ErrorCode.INVALID_INPUT
    project.add_job(spec())


HOLD = """
import sys
from engine.project import Project
Project.open_or_create(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path, repository):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(
        command, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(EngineError, match=rf"process {holder.pid}\)"):
            Project.open(tmp_path)
        holder.kill()
    assert (tmp_path / LOCK).read_text().strip() == str(holder.pid)
    with Project.open(tmp_path) as project:
        assert project.counts()[JobState.QUEUED] == 0


def test_a_newer_project_is_refused_untouched(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", [*database.MIGRATIONS, ["CREATE TABLE more (a)"]])
        with Project.create(tmp_path) as project:
            project.add_job(spec())
        (tmp_path / LOCK).unlink()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(EngineError, match="newer Triptych") as raised:
        Project.open(tmp_path)
    assert raised.value.code is ErrorCode.BAD_FILE
    assert "Update" in raised.value.hint
    assert (tmp_path / DATABASE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]


def test_an_older_project_is_migrated(tmp_path, monkeypatch):
    with Project.create(tmp_path) as project:
        job = project.add_job(spec())
    newer = [*database.MIGRATIONS, ["ALTER TABLE jobs ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"]]
    monkeypatch.setattr(database, "MIGRATIONS", newer)
    with Project.open(tmp_path) as project:
        assert project.job(job).id == job
    with Project.open(tmp_path):
        pass  # once is enough: the column cannot be added twice
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("SELECT note FROM jobs").fetchall() == [("none",)]
    connection.close()


def test_a_failing_migration_leaves_the_project_as_it_was(tmp_path, monkeypatch):
    with Project.create(tmp_path) as project:
        job = project.add_job(spec())
    before = (tmp_path / DATABASE).read_bytes()
    broken = [*database.MIGRATIONS, ["DELETE FROM jobs", "NONSENSE"]]
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", broken)
        with pytest.raises(EngineError) as raised:
            Project.open(tmp_path)
        assert raised.value.code is ErrorCode.INTERNAL
    assert (tmp_path / DATABASE).read_bytes() == before
    with Project.open(tmp_path) as project:
        assert project.job(job).id == job


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def overwrite_tables(data: bytes) -> bytes:
    return data[:4096] + b"\xa5" * (len(data) - 4096)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a database at all" * 10,
        lambda data: bytes(len(data)),
        lambda data: data[:100],
        truncate,
        overwrite_tables,
    ],
    ids=["empty", "text", "zeros", "header only", "half", "pages overwritten"],
)
def test_a_damaged_database_is_refused_untouched_and_the_results_can_be_had_back(tmp_path, damage):
    with Project.create(tmp_path) as project:
        project.add_jobs([spec(seed=seed) for seed in range(200)])
        made = [add_result(project, "job", f"image-{index}", prompt="kept") for index in range(3)]
        write_ahead_log = (tmp_path / f"{DATABASE}-wal").read_bytes()
    path = tmp_path / DATABASE
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(EngineError, match="damaged") as raised:
            Project.open(tmp_path)
        assert raised.value.code is ErrorCode.BAD_FILE
        assert path.read_bytes() == before
    # As the hint says:
    assert "make a new project in that folder" in raised.value.hint
    path.rename(tmp_path / "damaged.sqlite")
    (tmp_path / f"{DATABASE}-wal").write_bytes(write_ahead_log)  # as a crash leaves it
    with Project.create(tmp_path) as project:
        assert project.jobs() == []
        found = project.results()
        assert [record.name for record in found] == ["image-2", "image-1", "image-0"]
        assert [record.artifact for record in reversed(found)] == [record.artifact for record in made]
        assert {record.prompt for record in found} == {"kept"}
        assert len(project.recovered.adopted) == 3
    with Project.open(tmp_path) as project:
        assert project.count_results() == 3


def test_damage_found_while_working_is_told_as_such(tmp_path):
    with Project.create(tmp_path) as project:
        project.add_jobs([spec(seed=seed) for seed in range(500)])
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = b"\xa5" * (len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(EngineError, match="damaged") as raised, Project.open(tmp_path) as project:
        project.jobs()
    assert raised.value.code is ErrorCode.BAD_FILE


def test_the_database_of_another_program_is_refused_untouched(tmp_path):
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(EngineError, match="another program"):
        Project.open(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


# --- a disk that does not take more ----------------------------------------------------------------


def test_a_full_disk_is_told_and_nothing_is_lost(project):
    kept = project.add_job(spec())
    connection = project._database._open_connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(EngineError, match="disk is full") as raised:
        project.add_jobs([spec(seed=seed) for seed in range(1000)])
    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert [job.id for job in project.jobs()] == [kept]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert len(project.add_jobs([spec(seed=seed) for seed in range(1000)])) == 1000


def test_a_read_only_project_is_told(project):
    project._database._open_connection().execute("PRAGMA query_only = 1")
    with pytest.raises(EngineError, match="cannot be written") as raised:
        project.add_job(spec())
    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert project.jobs() == []


def test_a_folder_that_cannot_be_written_is_told_on_opening(tmp_path, monkeypatch):
    with Project.create(tmp_path) as project:
        job = project.add_job(spec())

    def refuse(*_args: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(EngineError, match="not opened") as raised:
            Project.open(tmp_path)
    assert raised.value.code is ErrorCode.INVALID_INPUT
    with Project.open(tmp_path) as project:
        assert project.job(job).id == job


# --- repairs ---------------------------------------------------------------------------------------


def test_what_was_running_is_interrupted_and_nothing_else(tmp_path):
    with Project.create(tmp_path) as project:
        jobs = {state: project.add_job(spec()) for state in JobState}
        for state, job in jobs.items():
            bring_to(project, job, state)
    with Project.open(tmp_path) as project:
        expected = {jobs[JobState.RUNNING], jobs[JobState.CANCELLING]}
        assert set(project.recovered.interrupted) == expected
        for state, job in jobs.items():
            record = project.job(job)
            assert record.state is (JobState.INTERRUPTED if job in expected else state)
            assert (record.ended is not None) == record.state.terminal


def test_orphaned_results_are_adopted_exactly_once(tmp_path):
    with Project.create(tmp_path) as project:
        job = project.add_job(spec())
        add_result(project, job, "known")
        orphan = manifest(job, "orphan", prompt="found", seed=5)
        artifact = project.store.put(b"orphan", "image/png", orphan)
        project.store.put(b"an input file", "image/png", {"name": "not a result of any job"})
    with Project.open(tmp_path) as project:
        record = project.result_of(job, "orphan")
        assert project.recovered.adopted == (record.id,)
        assert (record.artifact, record.prompt, record.seed) == (artifact, "found", 5)
        assert project.manifest(record.id) == orphan
    with Project.open(tmp_path) as project:
        assert project.recovered.adopted == ()
        assert project.count_results() == 2
        assert project.store.stored() == []


def test_results_are_adopted_also_when_the_last_session_did_not_end_tidily(tmp_path):
    with Project.create(tmp_path) as project:
        first = add_result(project, "job", "first")
        project.set_removed([first.id], True)
        second = manifest("job", "second")
        project.store.put(b"second", "image/png", second)
        project._unsettled.clear()  # a killed process settles nothing
    with Project.open(tmp_path) as project:
        assert project.recovered.adopted == (project.result_of("job", "second").id,)
        assert [record.name for record in project.results()] == ["second"]


def test_an_older_version_found_on_disk_does_not_replace_a_newer_one(tmp_path):
    with Project.create(tmp_path) as project:
        add_result(project, "job", seconds=1)
        newer = add_result(project, "job", seconds=2)
        project._unsettled.clear()
    with Project.open(tmp_path) as project:
        assert project.recovered.adopted == ()
        assert project.results() == [newer]


def test_partial_files_are_removed(tmp_path):
    with Project.create(tmp_path) as project:
        add_result(project, "job")
    partial = tmp_path / ARTIFACTS / "incoming" / "0123.abc.partial"
    partial.write_bytes(b"half")
    with Project.open(tmp_path) as project:
        assert project.recovered.removed_partials == 1
        assert not partial.exists()


def test_a_manifest_nobody_can_read_does_not_keep_the_project_closed(tmp_path):
    with Project.create(tmp_path) as project:
        add_result(project, "job")
        for index, bad in enumerate([{"job": 5, "name": []}, {"job": "job", "name": None}]):
            project.store.put(bytes([index]), "image/png", bad)
        (tmp_path / ARTIFACTS / "incoming" / "x.manifest.json").write_text("nonsense")
    with Project.open(tmp_path) as project:
        assert project.count_results() == 1


def test_adopting_while_open_takes_what_the_engine_did_not_live_to_report(project):
    add_result(project, "job", "reported")
    project.store.put(b"unreported", "image/png", manifest("job", "unreported"))
    assert [record.name for record in project.adopt()] == ["unreported"]
    assert project.adopt() == []
    assert project.count_results() == 2


# --- threads ---------------------------------------------------------------------------------------


def test_several_threads_at_once(project):
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for index in range(25):
                job = project.add_job(spec(seed=index))
                bring_to(project, job, JobState.SUCCEEDED)
                name = f"{number}-{index}"
                project.add_result(
                    job, name, ArtifactRef("0" * 64, "image/png", 1), manifest(job, name)
                )
                project.counts()
                project.result_ids()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert project.counts()[JobState.SUCCEEDED] == project.count_results() == 100
