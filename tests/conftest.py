"""Fixtures that every test may use. No test touches the user's own folders or needs a display."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from engine.project import Project

# Before Qt is imported. installers/test.sh chooses another platform where it started an X server.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if displays := os.environ.get("TRIPTYCH_TEST_DISPLAYS", "").split():
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.environ["DISPLAY"] = displays[process % len(displays)]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _own_user_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point home, settings, data and caches of this process and its children to a temporary place."""
    home = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
            folder = home / kind.lower()
            folder.mkdir()
            patch.setenv(f"XDG_{kind}_HOME", str(folder))
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture
def untouched_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User folders in which no other test has left a model, a taste or a measurement."""
    for kind in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "user" / kind.lower()))
    return tmp_path / "user"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that is tested."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden files; a test that asks for it is skipped where there is none."""
    folder = ROOT.parent / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip("the golden files are not beside this checkout")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20_011)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project in a temporary folder, open for the time of the test."""
    from engine.project import Project

    with Project.create(tmp_path / "project") as opened:
        yield opened


@pytest.fixture
def single_thread() -> Iterator[None]:
    """One torch thread, so that sums are taken in one order whatever the machine is busy with."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
