"""A project whose process is killed at random moments, again and again: what was said is kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.job import ArtifactRef, JobState
from engine.project import Project, ResultFilter

WRITER = Path(__file__).with_name("project_writer.py")
EVERYTHING = ResultFilter(include_removed=True)


def work_until_killed(folder: Path, seed: int, repository: Path) -> list[list[Any]]:
    """What a writer said before it was killed, at a moment that ``seed`` decides."""
    generator = random.Random(seed)
    lines_before_kill = 1 + generator.randrange(60)
    delay = generator.random() * 0.005
    writer = subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), str(seed)],
        cwd=repository,
        env={"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
    )
    with writer:
        said = [writer.stdout.readline() for _ in range(lines_before_kill)]
        # Not at the moment of a line, but somewhere in the work between two.
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(delay)
        writer.kill()
        said += writer.stdout.readlines()
    return [json.loads(line) for line in said if line.endswith(b"\n")]


def check(folder: Path, said: list[list[Any]], ended_before: dict[str, JobState]) -> None:
    """Open the project and compare it with everything its writers ever said."""
    with Project.open(folder) as project:
        jobs = {job.id: job for job in project.jobs()}
        results = {record.id: record for record in project.results(EVERYTHING, None)}
        stored = [line for line in said if line[0] == "stored"]
        for _, job, name, reference in stored:
            artifact = ArtifactRef.from_json(reference)
            record = project.result_of(job, name)
            assert record.artifact == artifact
            assert project.manifest(record.id)["name"] == name
            assert project.store.verify(artifact)
        for word, number, *rest in said:
            if word == "recorded":
                assert [results[number].job, results[number].name] == rest
            elif word == "starred":
                assert results[number].starred
            elif word == "queued":
                assert number in jobs
            elif word == "ended":
                assert jobs[number].state == rest[0]
        # Once: as many results as names, and what had ended is as it was.
        assert len({(record.job, record.name) for record in results.values()}) == len(results)
        assert len(results) >= len(stored)
        for job, state in ended_before.items():
            assert jobs[job].state is state
        for job in jobs.values():
            assert job.state in (JobState.QUEUED, JobState.INTERRUPTED, *ENDED)
            assert (job.ended is not None) == job.state.terminal
            if job.state is not JobState.QUEUED:
                assert job.started is not None
            if job.state in ENDED:
                ended_before[job.id] = job.state
        assert project.store.stored() == []
        assert not list(project.store.root.rglob("*.partial"))
        assert project._database.rows("PRAGMA integrity_check") == [("ok",)]


ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(20, id="20"), pytest.param(200, id="200", marks=[pytest.mark.slow])],
)
@pytest.mark.timeout(1800)
def test_whatever_was_said_is_kept_through_kills(tmp_path, repository, kills):
    Project.create(tmp_path).close()
    said: list[list[Any]] = []
    ended: dict[str, JobState] = {}
    for seed in range(kills):
        said += work_until_killed(tmp_path, seed, repository)
        if seed % 4 == 3:  # in between, the next writer has to repair what the last one left
            check(tmp_path, said, ended)
    check(tmp_path, said, ended)
    counts = Counter(line[0] for line in said)
    assert counts["open"] == kills
    # The kills have hit something: jobs were interrupted, and results saved but not recorded.
    assert (
        min(counts[word] for word in ("queued", "stored", "recorded", "starred", "ended")) > kills / 2
    )
    assert sum(len(line[1]) for line in said if line[0] == "open") > kills / 4
