"""A window without a window: runs a project's queue in a real engine process until it is killed.

Run by ``test_session_kills.py`` as a process of its own. Each line on standard output is a JSON list
about something that was announced, and so must be there afterwards.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from engine.executors.process import ProcessExecutor
from engine.job import EngineReady, Event, JobSpec, JobState, Output, is_terminal
from engine.project import Project
from engine.scheduler import Scheduler

PLUGIN = "tests.engine.executors.job_kinds"


def say(*words: object) -> None:
    """One line, past all buffers of this process, which will be killed."""
    os.write(1, json.dumps(words).encode() + b"\n")


def tell(event: Event) -> None:
    """Say what the window would have been told."""
    if isinstance(event, EngineReady):
        say("engine", event.info["pid"])
    elif isinstance(event, Output):
        say("output", event.job, event.name, event.artifact.to_json())
    elif is_terminal(event):
        say("ended", event.job, type(event).__name__)


def main(folder: str, seed: int) -> None:
    """Run short jobs for ever; resume what was interrupted or give it up, by chance."""
    generator = random.Random(seed)
    with Project.open(Path(folder)) as project:
        say("open")
        executor = ProcessExecutor(project.store.root, plugins=[PLUGIN], warm=False)
        scheduler = Scheduler(project, executor, tell)
        for job in project.jobs([JobState.INTERRUPTED]):
            if generator.random() < 0.5:
                scheduler.requeue(job.id)
            else:
                scheduler.discard(job.id)
        while True:
            if scheduler.running is None:
                seconds = generator.random() * 0.004
                params = {"count": generator.randrange(1, 8), "seconds": seconds}
                scheduler.enqueue(JobSpec("test.work", params, seed=generator.getrandbits(60)))
            scheduler.step(0.5)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
