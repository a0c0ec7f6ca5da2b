"""Works on a project as fast as it can, and says what is done, until it is killed.

Run by ``test_project_kills.py`` as a process of its own. Each line on standard output is a JSON list
about something that has happened durably: what is printed must be there afterwards.
"""

from __future__ import annotations

import json
import os
import random
import sys

from engine.job import JobSpec, JobState
from engine.project import Project


def say(*words: object) -> None:
    """One line, past all buffers of this process, which will be killed."""
    os.write(1, json.dumps(words).encode() + b"\n")


def main(folder: str, seed: int) -> None:
    """Add jobs, make their results, end them, star some; for ever."""
    generator = random.Random(seed)
    with Project.open(folder) as project:
        say("open", project.recovered.interrupted, project.recovered.adopted)
        while True:
            spec = JobSpec(
                "images.generate", {"prompt": "a red circle"}, seed=generator.getrandbits(60)
            )
            job = project.add_job(spec)
            say("queued", job)
            project.set_job_state(job, JobState.RUNNING)
            for index in range(generator.randrange(3)):
                name = f"image-{index:04}"
                manifest = {"job": job, "name": name, "spec": spec.to_json(), "seed": spec.seed + index}
                # Now and then equal bytes of different jobs.
                data = generator.randbytes(generator.choice([100, 100_000])) if index else b"equal"
                artifact = project.store.put(data, "image/png", manifest)
                say("stored", job, name, artifact.to_json())
                record = project.add_result(job, name, artifact, manifest)
                say("recorded", record.id, job, name)
                if generator.random() < 0.3:
                    project.set_starred([record.id], True)
                    say("starred", record.id)
            state = generator.choice([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
            project.set_job_state(job, state)
            say("ended", job, state)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
