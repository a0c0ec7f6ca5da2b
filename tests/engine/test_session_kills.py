"""Window and engine process killed at random moments of running jobs: nothing announced is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.job import ArtifactRef, JobState
from engine.project import Project

WRITER = Path(__file__).with_name("session_writer.py")
STATES = {
    "Finished": JobState.SUCCEEDED,
    "Failed": JobState.FAILED,
    "Cancelled": JobState.CANCELLED,
}


def run_until_killed(folder: Path, seed: int, repository: Path) -> list[list[Any]]:
    """What a session said; its engine is killed first in two of three, itself always."""
    generator = random.Random(seed)
    said: list[list[Any]] = []
    session = subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), str(seed)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
    )

    def listen(lines: int) -> None:
        said.extend(json.loads(session.stdout.readline()) for _ in range(lines))

    with session:
        listen(2)
        for _ in range(generator.randrange(3)):
            listen(generator.randrange(1, 12))
            engine = next(line[1] for line in reversed(said) if line[0] == "engine")
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
        listen(generator.randrange(1, 12))
        with pytest.raises(subprocess.TimeoutExpired):
            session.wait(generator.random() * 0.01)
        session.kill()
        rest = session.stdout.readlines()
    return said + [json.loads(line) for line in rest if line.endswith(b"\n")]


def check(folder: Path, said: list[list[Any]]) -> None:
    ended = Counter(line[1] for line in said if line[0] == "ended")
    assert not ended or max(ended.values()) == 1, "one terminal event a job"
    with Project.open(folder) as project:
        for line in said:
            if line[0] == "output":
                artifact = ArtifactRef.from_json(line[3])
                record = project.result_of(line[1], line[2])
                assert record.artifact == artifact
                assert project.store.verify(artifact)
            elif line[0] == "ended":
                assert project.job(line[1]).state is STATES[line[2]]
        assert not project.jobs([JobState.RUNNING, JobState.CANCELLING])


@pytest.mark.parametrize(
    "sessions",
    [pytest.param(8, id="8"), pytest.param(200, id="200", marks=[pytest.mark.slow])],
)
@pytest.mark.timeout(1800)
def test_what_was_announced_survives_kills_of_window_and_engine(tmp_path, repository, sessions) -> None:
    Project.create(tmp_path).close()
    said: list[list[Any]] = []
    for seed in range(sessions):
        said += run_until_killed(tmp_path, seed, repository)
        if seed % 4 == 3:
            check(tmp_path, said)
    check(tmp_path, said)
    counts = Counter(line[0] for line in said)
    assert counts["open"] == sessions
    assert counts["engine"] > sessions, "engines were killed and started again"
    assert counts["output"] > sessions
    outcomes = Counter(line[2] for line in said if line[0] == "ended")
    assert outcomes["Finished"]
    assert outcomes["Failed"], "a killed engine fails its job"
