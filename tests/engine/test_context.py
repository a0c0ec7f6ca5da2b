"""What a handler may say: series for panels, and files that go with a result."""

from __future__ import annotations

from engine.context import RunContext
from engine.job import Event, JobSpec, Measured, event_from_message, event_to_message
from engine.project import Project


def make(project: Project, events: list[Event]) -> RunContext:
    job = project.add_job(JobSpec("images.generate", {}, seed=3))
    return RunContext(
        job, project.job(job).spec, "cpu", events.append, lambda: False, project.store, {}
    )


def test_a_measured_point_survives_the_pipe(project: Project) -> None:
    events: list[Event] = []
    context = make(project, events)
    values = {"round": 2, "residuals": [0.5, None], "converged": False}
    context.measure("parallel", values)
    assert events == [Measured(context.job, "parallel", values)]
    assert event_from_message(*event_to_message(events[0])) == events[0]


def test_an_attachment_is_stored_but_is_no_result(project: Project) -> None:
    events: list[Event] = []
    context = make(project, events)
    artifact = context.attach("image-0001", "trajectory", b"states", "application/x-safetensors")
    assert project.store.read(artifact) == b"states"
    assert events == []
    folder = project.folder
    project.close()
    with Project.open(folder) as opened:
        assert opened.results() == []
        assert opened.store.read(artifact) == b"states"
        assert not list((opened.store.root / "incoming").iterdir()), "its manifest is settled too"
