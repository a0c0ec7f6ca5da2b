"""The executors under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.artifacts import ArtifactStore
from engine.executors import Executor
from engine.executors.inline import InlineExecutor
from engine.executors.process import ProcessExecutor
from tests.engine.executors.watching import PLUGIN, Watcher


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


MakeExecutor = Callable[..., Executor]


@pytest.fixture
def make(store: ArtifactStore) -> Iterator[MakeExecutor]:
    """Make executors by name; they are closed after the test."""
    made: list[Executor] = []

    def factory(place: str, **options: object) -> Executor:
        executor: Executor
        if place == "inline":
            executor = InlineExecutor(store, plugins=[PLUGIN])
        else:
            executor = ProcessExecutor(store.root, plugins=[PLUGIN], warm=False, **options)
        made.append(executor)
        return executor

    yield factory
    for executor in made:
        executor.close()


@pytest.fixture(params=["inline", "process"])
def executor(request: pytest.FixtureRequest, make: MakeExecutor) -> Executor:
    return make(request.param)


@pytest.fixture
def watcher(executor: Executor) -> Watcher:
    return Watcher(executor)
