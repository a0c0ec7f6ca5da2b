"""Commands on results: done, undone, redone; every result gets its own former value back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtGui import QUndoCommand, QUndoStack

from desktop.commands import RateResults, RemoveResults, StarResults, pictures
from engine.job import JobSpec
from engine.project import Project


@pytest.fixture
def results(project: Project) -> list[int]:
    """Four results of one job; the second starred, the third disliked."""
    job = project.add_job(JobSpec("images.generate"))
    ids = []
    for index in range(4):
        manifest = {"job": job, "name": f"image-{index}", "spec": {"kind": "images.generate"}}
        artifact = project.store.put(bytes([index]), "image/png", manifest)
        ids.append(project.add_result(job, manifest["name"], artifact, manifest).id)
    project.set_starred([ids[1]], True)
    project.set_liked([ids[2]], -1)
    return ids


def state(project: Project, ids: list[int]) -> list[tuple[bool, int, bool]]:
    records = [project.result(result) for result in ids]
    return [(record.starred, record.liked, record.removed) for record in records]


MAKERS: dict[str, Callable[[Project, list[int], Callable[[list[int]], None]], QUndoCommand]] = {
    "star": lambda project, ids, changed: StarResults(project, ids, True, changed),
    "unstar": lambda project, ids, changed: StarResults(project, ids, False, changed),
    "like": lambda project, ids, changed: RateResults(project, ids, 1, changed),
    "dislike": lambda project, ids, changed: RateResults(project, ids, -1, changed),
    "clear": lambda project, ids, changed: RateResults(project, ids, 0, changed),
    "remove": lambda project, ids, changed: RemoveResults(project, ids, changed),
}


@pytest.mark.parametrize("name", MAKERS)
def test_undo_gives_each_result_its_own_value_back(
    project: Project, results: list[int], name: str, qapp: object
) -> None:
    heard: list[list[int]] = []
    stack = QUndoStack()
    before = state(project, results)
    stack.push(MAKERS[name](project, results, heard.append))
    after = state(project, results)
    assert after != before
    stack.undo()
    assert state(project, results) == before
    stack.redo()
    assert state(project, results) == after
    assert heard == [results] * 3


def test_a_removed_result_leaves_the_list_and_its_file_stays(
    project: Project, results: list[int], qapp: object
) -> None:
    path: Path = project.store.path(project.result(results[0]).artifact)
    stack = QUndoStack()
    stack.push(RemoveResults(project, results[:2], lambda _ids: None))
    assert project.result_ids() == results[:1:-1]
    assert path.read_bytes() == b"\x00"
    stack.undo()
    assert project.result_ids() == results[::-1]


def test_commands_say_what_they_do(project: Project, results: list[int], qapp: object) -> None:
    def ignore(_ids: list[int]) -> None:
        pass

    assert StarResults(project, results[:1], True, ignore).text() == "star 1 picture"
    assert RateResults(project, results, -1, ignore).text() == "dislike 4 pictures"
    assert RateResults(project, results, 0, ignore).text() == "clear the rating of 4 pictures"
    assert RemoveResults(project, results, ignore).text() == "remove 4 pictures"
    assert pictures(12_000) == "12,000 pictures"
